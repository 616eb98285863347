//! The handle on a tenant's lake.

use std::sync::Arc;

use futures::future::try_join_all;
use rollbook_model::TenantName;

use crate::LakeError;
use crate::lease::Lease;
use crate::store::Store;

/// The lake of one tenant.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Store,
    tenant: TenantName,
    lease: Arc<Lease>,
}

impl Lake {
    /// A handle of its own on whatever is there.
    pub(crate) fn handle(store: Store, tenant: TenantName) -> Self {
        Self {
            store,
            tenant,
            lease: Arc::default(),
        }
    }

    pub(crate) fn lease_cell(&self) -> &Lease {
        &self.lease
    }

    /// Where its objects lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The path in the store of something in the tenant's folder.
    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.tenant)
    }

    pub(crate) async fn list(&self, below: &str) -> Result<Vec<String>, LakeError> {
        self.store.list(&self.path(below)).await
    }

    /// Makes sure that objects are there, and of that size where one is given.
    pub(crate) async fn must_have(
        &self,
        objects: &[(String, Option<u64>)],
    ) -> Result<(), LakeError> {
        for some in objects.chunks(self.store.read_at_once()) {
            let looked = some.iter().map(|(below, _)| async move {
                let path = self.path(below);
                self.store.get_size(&path).await
            });
            for ((below, size), found) in some.iter().zip(try_join_all(looked).await?) {
                if found.is_none() || size.is_some() && *size != found {
                    return Err(LakeError::Vanished {
                        path: below.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
