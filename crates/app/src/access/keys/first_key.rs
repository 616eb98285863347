//! The first key of a lake, for the administrator of a server that other machines can reach.

use rollbook_model::{TenantName, Timestamp};

use super::{ApiKeys, IssuedKey, NewKey};
use crate::AppError;
use crate::access::bounds::Bounds;
use crate::access::rights::Role;

const NAME: &str = "first admin";
/// The same for every server: of several that start at once on a lake without keys, one puts the key.
const PREFIX: &str = "firstadmin";

impl ApiKeys {
    /// Creates the first key of the lake, with all rights in a tenant; `None` if the lake ever had a key, or if
    /// another server is creating it.
    ///
    /// # Errors
    /// The lake cannot be read or written.
    pub async fn create_first(
        &self,
        tenant: &TenantName,
        at: Timestamp,
    ) -> Result<Option<IssuedKey>, AppError> {
        if !self.versions().await?.is_empty() {
            return Ok(None);
        }
        let new = NewKey {
            name: NAME.to_owned(),
            role: Role::Admin,
            rights: Vec::new(),
            tenants: vec![tenant.clone()],
            bounds: Bounds::default(),
            trial: false,
            expires: None,
        };
        let prefix = PREFIX.parse().expect("it has the form of prefixes");
        self.issue(prefix, &new, None, at).await
    }
}
