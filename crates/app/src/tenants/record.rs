//! A tenant as it is stored.

use rollbook_model::{TenantName, Timestamp};
use serde::{Deserialize, Serialize};

use super::TenantInfo;
use crate::quotas::Quotas;
use crate::versioned::Named;

/// A stored tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TenantRecord {
    pub(super) tenant: TenantName,
    pub(super) status: TenantStatus,
    pub(super) created_at: Option<Timestamp>,
    pub(super) quotas: Quotas,
}

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// It is.
    Active,
    /// Its callers are refused, and its data stay.
    Suspended,
    /// Its data are gone.
    Deleted,
}

impl TenantStatus {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Deleted];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

impl TenantRecord {
    /// An active tenant.
    pub(super) fn new(tenant: TenantName, quotas: Quotas, created_at: Option<Timestamp>) -> Self {
        Self {
            tenant,
            status: TenantStatus::Active,
            created_at,
            quotas,
        }
    }

    pub(super) fn info(self) -> TenantInfo {
        TenantInfo {
            tenant: self.tenant,
            status: self.status,
            created_at: self.created_at,
            quotas: self.quotas,
        }
    }
}

impl Named for TenantRecord {
    type Name = TenantName;

    fn name(&self) -> &TenantName {
        &self.tenant
    }
}
