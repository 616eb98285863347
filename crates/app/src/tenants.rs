//! Tenants: creating, listing, limiting, suspending and deleting them.
//!
//! A tenant has its own folder in the lake, whether or not it has a record here: data of one that was never created
//! by a command belong to an active tenant without quotas. The records lie at the root of the lake,
//! `_tenants/<name>.<version>.json`, where a tenant's own callers change nothing.

mod record;
mod served;
mod usage;

use std::collections::BTreeMap;

use rollbook_lake::storage::Put;
use rollbook_lake::{LakeRoot, RemovedTenant};
use rollbook_model::{TenantName, Timestamp};
use serde::Serialize;

use crate::quotas::{QuotaChange, Quotas};
use crate::versioned::Versioned;
use crate::{AppError, Workspace};

use record::TenantRecord;
pub use record::TenantStatus;
pub use served::{ServedTenant, ServedTenants};
use usage::usage_of;
pub use usage::{Usage, day_of, new_rows};

const FOLDER: &str = "_tenants";
/// Attempts to store a change while others change the same tenant.
const ATTEMPTS: u32 = 20;
/// Servers know within this time that a tenant was deleted; nothing is removed before.
const NOTICE: std::time::Duration = std::time::Duration::from_secs(1);

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantInfo {
    /// Its name.
    pub tenant: TenantName,
    /// Whether it is served.
    pub status: TenantStatus,
    /// When it was created; `None` if it was not created by a command, but by its first rows.
    pub created_at: Option<Timestamp>,
    /// What it may use.
    #[serde(flatten)]
    pub quotas: Quotas,
}

/// A tenant with what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantWithUsage {
    /// The tenant.
    #[serde(flatten)]
    pub info: TenantInfo,
    /// What it uses.
    #[serde(flatten)]
    pub usage: Usage,
}

/// The tenants of a lake.
#[derive(Debug, Clone)]
pub struct Tenants {
    root: LakeRoot,
    records: Versioned<TenantRecord>,
}

impl Tenants {
    /// The tenants of the lake of a workspace.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub fn of(workspace: &Workspace) -> Result<Self, AppError> {
        let root = workspace.root()?;
        let records = Versioned::new(root.store().clone(), FOLDER);
        Ok(Self { root, records })
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// [`AppError::TenantExists`], also if it was not created by a command; [`AppError::TenantDeleted`] if there was
    /// one of this name, since keys and tokens for it may still be around; the lake cannot be written.
    pub async fn create(
        &self,
        tenant: &TenantName,
        quotas: Quotas,
        at: Timestamp,
    ) -> Result<TenantInfo, AppError> {
        let record = TenantRecord::new(tenant.clone(), quotas, Some(at));
        let is_known = match self.find(tenant).await? {
            Some((_, record)) if record.status == TenantStatus::Deleted => {
                return Err(deleted(tenant));
            }
            found => found.is_some() || self.has_objects(tenant).await?,
        };
        if is_known || self.records.put(&record, 1).await? == Put::Exists {
            let tenant = tenant.clone();
            return Err(AppError::TenantExists { tenant });
        }
        Ok(record.info())
    }

    /// All tenants by name, also those that were not created by a command; without those that were deleted.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn list(&self) -> Result<Vec<TenantInfo>, AppError> {
        let mut all: BTreeMap<TenantName, TenantRecord> = BTreeMap::new();
        for name in self.root.store().folders("").await? {
            let Ok(tenant) = name.parse::<TenantName>() else {
                continue;
            };
            if self.has_objects(&tenant).await? {
                let record = TenantRecord::new(tenant.clone(), Quotas::default(), None);
                all.insert(tenant, record);
            }
        }
        let records = self.records.newest(None).await?.into_iter();
        all.extend(records.map(|(tenant, (_, record))| (tenant, (*record).clone())));
        let known = all.into_values().map(|record| record.info());
        Ok(known
            .filter(|info| info.status != TenantStatus::Deleted)
            .collect())
    }

    /// What a tenant uses.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn usage(&self, tenant: &TenantName, at: Timestamp) -> Result<Usage, AppError> {
        usage_of(&self.root, tenant, at).await
    }

    /// All tenants with what they use.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn list_with_usage(&self, at: Timestamp) -> Result<Vec<TenantWithUsage>, AppError> {
        let mut listed = Vec::new();
        for info in self.list().await? {
            let usage = self.usage(&info.tenant, at).await?;
            listed.push(TenantWithUsage { info, usage });
        }
        Ok(listed)
    }

    /// Changes the quotas of a tenant.
    ///
    /// # Errors
    /// [`AppError::UnknownTenant`]; the lake cannot be written.
    pub async fn limit(
        &self,
        tenant: &TenantName,
        change: &QuotaChange,
    ) -> Result<TenantInfo, AppError> {
        self.change(tenant, |record| record.quotas = change.of(record.quotas))
            .await
    }

    /// Suspends a tenant: servers refuse its callers within a second, and compute nothing for it. Its data stay.
    ///
    /// # Errors
    /// [`AppError::UnknownTenant`]; the lake cannot be written.
    pub async fn suspend(&self, tenant: &TenantName) -> Result<TenantInfo, AppError> {
        self.change(tenant, |record| record.status = TenantStatus::Suspended)
            .await
    }

    /// Ends the suspension of a tenant.
    ///
    /// # Errors
    /// [`AppError::UnknownTenant`]; the lake cannot be written.
    pub async fn resume(&self, tenant: &TenantName) -> Result<TenantInfo, AppError> {
        self.change(tenant, |record| record.status = TenantStatus::Active)
            .await
    }

    /// Deletes a tenant for good: the keys of its values first, then all its objects. Servers refuse its callers from
    /// then on. Repeat this after an interruption. The name is not used again.
    ///
    /// # Errors
    /// [`AppError::UnknownTenant`]; the lake cannot be written.
    pub async fn delete(&self, tenant: &TenantName) -> Result<RemovedTenant, AppError> {
        let is_again = match self.find(tenant).await? {
            Some((_, record)) => record.status == TenantStatus::Deleted,
            None => false,
        };
        if !is_again {
            self.change(tenant, |record| record.status = TenantStatus::Deleted)
                .await?;
        }
        tokio::time::sleep(NOTICE).await;
        Ok(self.root.remove_tenant(tenant).await?)
    }

    /// One tenant; also one that was deleted, and one that nobody created yet.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn info(&self, tenant: &TenantName) -> Result<TenantInfo, AppError> {
        let found = self.find(tenant).await?;
        let new = || TenantRecord::new(tenant.clone(), Quotas::default(), None);
        Ok(found.map_or_else(new, |(_, record)| record).info())
    }

    /// Refuses the name of a tenant that was deleted.
    ///
    /// # Errors
    /// [`AppError::TenantDeleted`]; the lake cannot be read.
    pub async fn check_name(&self, tenant: &TenantName) -> Result<(), AppError> {
        match self.find(tenant).await? {
            Some((_, record)) if record.status == TenantStatus::Deleted => Err(deleted(tenant)),
            _ => Ok(()),
        }
    }

    /// Stores a change of a tenant, which was not deleted.
    async fn change(
        &self,
        tenant: &TenantName,
        edit: impl Fn(&mut TenantRecord),
    ) -> Result<TenantInfo, AppError> {
        for _ in 0..ATTEMPTS {
            let (version, mut record) = match self.find(tenant).await? {
                Some((_, record)) if record.status == TenantStatus::Deleted => {
                    return Err(deleted(tenant));
                }
                Some(found) => found,
                None if self.has_objects(tenant).await? => {
                    let record = TenantRecord::new(tenant.clone(), Quotas::default(), None);
                    (0, record)
                }
                None => return Err(unknown(tenant)),
            };
            let before = record.clone();
            edit(&mut record);
            if record == before || self.records.put(&record, version + 1).await? == Put::Done {
                return Ok(record.info());
            }
        }
        Err(AppError::TenantBusy {
            tenant: tenant.clone(),
        })
    }

    /// The newest version of a record, with its number.
    async fn find(&self, tenant: &TenantName) -> Result<Option<(u64, TenantRecord)>, AppError> {
        let versions = self.records.versions().await?;
        let Some(version) = versions.get(tenant) else {
            return Ok(None);
        };
        Ok(Some((*version, self.records.read(tenant, *version).await?)))
    }

    async fn has_objects(&self, tenant: &TenantName) -> Result<bool, AppError> {
        let (store, folder) = (self.root.store(), tenant.as_str());
        Ok(!store.folders(folder).await?.is_empty() || !store.list(folder).await?.is_empty())
    }
}

fn unknown(tenant: &TenantName) -> AppError {
    AppError::UnknownTenant {
        tenant: tenant.to_string(),
    }
}

fn deleted(tenant: &TenantName) -> AppError {
    AppError::TenantDeleted {
        tenant: tenant.clone(),
    }
}

#[cfg(test)]
mod tests;
