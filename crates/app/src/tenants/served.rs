//! The tenants as a server knows them: as they were at most a second ago.

use rollbook_model::TenantName;

use super::Tenants;
use super::record::{TenantRecord, TenantStatus};
use crate::quotas::Quotas;
use crate::recent::Recent;
use crate::versioned::Documents;
use crate::{AppError, Workspace};

/// The tenants of a server.
#[derive(Debug)]
pub struct ServedTenants {
    tenants: Tenants,
    known: Recent<Documents<TenantRecord>>,
}

/// A tenant that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedTenant {
    /// What it may use.
    pub quotas: Quotas,
}

impl ServedTenants {
    /// The tenants of the lake of a workspace; nothing is read yet.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub fn of(workspace: &Workspace) -> Result<Self, AppError> {
        Ok(Self {
            tenants: Tenants::of(workspace)?,
            known: Recent::default(),
        })
    }

    /// The tenants of the lake.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// A tenant, if it is served. One without a record is, whether or not it has data yet.
    ///
    /// # Errors
    /// [`AppError::TenantSuspended`]; [`AppError::UnknownTenant`] if it was deleted; the lake cannot be read.
    pub async fn find(&self, tenant: &TenantName) -> Result<ServedTenant, AppError> {
        let records = &self.tenants.records;
        let known = self
            .known
            .get(|before| async move { records.newest(before.as_deref()).await })
            .await?;
        let record = known.get(tenant).map(|(_, record)| record);
        let quotas = record.map(|record| record.quotas).unwrap_or_default();
        match record.map_or(TenantStatus::Active, |record| record.status) {
            TenantStatus::Active => Ok(ServedTenant { quotas }),
            TenantStatus::Suspended => Err(AppError::TenantSuspended),
            TenantStatus::Deleted => Err(super::unknown(tenant)),
        }
    }

    /// Forgets what is known, after a change by this server.
    pub async fn forget(&self) {
        self.known.forget().await;
    }
}
