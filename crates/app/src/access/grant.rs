//! Grant: what one caller may do, and in which tenants.

use rollbook_model::TenantName;

use crate::AppError;
use crate::access::rights::{Right, Rights};
use crate::access::token::KeyPrefix;

/// What a caller may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The key of the caller; `None` for the local administrator, and for callers that need no key.
    pub key: Option<KeyPrefix>,
    /// Their rights.
    pub rights: Rights,
    /// The tenants that they may name; `None` means all.
    tenants: Option<Vec<TenantName>>,
}

impl Grant {
    /// The grant of the local administrator: the command line, and callers of a server without keys.
    pub fn local() -> Self {
        Self {
            key: None,
            rights: Rights::ALL,
            tenants: None,
        }
    }

    /// The grant of an anonymous caller: nothing, in no tenant.
    pub fn nobody() -> Self {
        Self::forwarded(Rights::NONE)
    }

    /// The grant of a request that a server has checked and forwards to a worker.
    pub fn forwarded(rights: Rights) -> Self {
        let tenants = Some(Vec::new());
        Self {
            key: None,
            rights,
            tenants,
        }
    }

    /// The grant of a key.
    pub(crate) fn of_key(key: KeyPrefix, rights: Rights, tenants: Vec<TenantName>) -> Self {
        Self {
            key: Some(key),
            rights,
            tenants: Some(tenants),
        }
    }

    /// Whether the caller is the local administrator.
    pub fn is_local(&self) -> bool {
        self.tenants.is_none()
    }

    /// Whether the caller may know of a tenant.
    pub fn covers(&self, tenant: &TenantName) -> bool {
        let tenants = self.tenants.as_ref();
        tenants.is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether the caller may know of all these tenants.
    pub fn covers_all(&self, tenants: &[TenantName]) -> bool {
        tenants.iter().all(|tenant| self.covers(tenant))
    }

    /// Refuses a caller without all of `needed`.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] names the first missing right.
    pub fn require(&self, needed: &[Right]) -> Result<(), AppError> {
        match self.rights.missing(needed) {
            None => Ok(()),
            Some(right) => Err(AppError::Forbidden {
                right: right.name(),
            }),
        }
    }
}
