//! Workspace: the lake and tenant that a use case works on, with limits, rights and caches.

mod bounded;
mod cache;
mod cache_slot;
mod first_changes;
mod segment_sessions;
mod sessions;

use std::sync::{Arc, OnceLock};

use datafusion_catalog::TableProvider;
use rollbook_engine::EngineError;
use rollbook_lake::{Lake, LakeRoot, State, Store};
use rollbook_model::config::Limits;
use rollbook_model::memory::{MemoryReservation, MemoryUse};
use rollbook_model::{SnapshotNumber, TenantName, Timestamp};

use crate::AppError;
use crate::access::{ApiKeys, Bounds, Grant, Right, Rights};
use crate::audit::{self, Act, ActFilter, AuditLog, Finding, Verified};
use crate::quotas::Quotas;
use cache_slot::CacheSlot;
pub use cache_slot::CacheStats;
use first_changes::FirstChanges;
pub(crate) use segment_sessions::SegmentSessions;

/// A tenant's lake with the limits and rights of queries on it.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// A folder, a `file://` or an `s3://` URL.
    pub location: String,
    /// The tenant.
    pub tenant: TenantName,
    /// Limits of one query, and the memory that it shares with the other workspaces of a server.
    pub limits: Limits,
    /// Rights of the caller.
    pub rights: Rights,
    /// What the tenant may use; the command line knows no quotas.
    quotas: Quotas,
    /// What the key of the caller is bound to, if it is.
    bounds: Option<Arc<Bounds>>,
    /// Opened once, because the store caches files that are read often.
    root: OnceLock<LakeRoot>,
    /// Columns and events of the newest data, cached across queries about criteria; `None` if disabled.
    cache: Option<Arc<CacheSlot>>,
    /// When the clock alone first changes memberships, for those that were asked about.
    pub(crate) first_changes: Arc<FirstChanges>,
}

impl Workspace {
    /// A workspace without a cache; the lake may not exist yet.
    pub fn new(location: String, tenant: TenantName, limits: Limits) -> Self {
        Self {
            location,
            tenant,
            limits,
            rights: Rights::ALL,
            quotas: Quotas::default(),
            bounds: None,
            root: OnceLock::new(),
            cache: None,
            first_changes: Arc::default(),
        }
    }

    /// Enables the cache for queries about criteria: for long-running processes.
    #[must_use]
    pub fn with_cache(mut self) -> Self {
        self.cache = Some(Arc::default());
        self
    }

    /// The same workspace, with its caches, for a caller.
    #[must_use]
    pub fn for_caller(&self, grant: &Grant) -> Self {
        Self {
            rights: grant.rights,
            bounds: grant.bounds().cloned(),
            ..self.clone()
        }
    }

    /// The same workspace, with its caches, for a caller with these rights.
    #[must_use]
    pub fn with_rights(&self, rights: Rights) -> Self {
        Self {
            rights,
            ..self.clone()
        }
    }

    /// The same workspace, with its caches, for a tenant with these quotas.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Quotas) -> Self {
        if let Some(bytes) = quotas.memory_bytes {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.limits.memory = self.limits.memory.min(bytes);
        }
        self.quotas = quotas;
        self
    }

    /// What the tenant may use.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The workspace of another tenant of the same lake, with caches of its own, so that they end with it. Both share
    /// the memory of the server.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub fn of_tenant(&self, tenant: TenantName) -> Result<Self, AppError> {
        let store = self.root()?.store().clone();
        let other = Self {
            root: OnceLock::from(LakeRoot::new(store)),
            cache: self.cache.as_ref().map(|_| Arc::default()),
            rights: self.rights,
            ..Self::new(self.location.clone(), tenant, self.limits)
        };
        Ok(other)
    }

    /// A reservation of memory for rows and answers.
    pub fn reservation(&self) -> MemoryReservation {
        MemoryReservation::empty(self.limits.shared, MemoryUse::Answers)
    }

    /// The API keys of the lake.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub fn api_keys(&self) -> Result<ApiKeys, AppError> {
        Ok(ApiKeys::new(self.root()?.store().clone()))
    }

    /// Starts a log of what callers do, as a chain of its own.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub fn audit_log(&self, clock: fn() -> Timestamp) -> Result<AuditLog, AppError> {
        Ok(AuditLog::start(self.root()?, clock))
    }

    /// The newest acts that were recorded in the lake, by time.
    ///
    /// # Errors
    /// There is no lake, or it cannot be read.
    pub async fn acts(&self, filter: &ActFilter) -> Result<Vec<Act>, AppError> {
        let acts = audit::acts(self.root()?.store(), filter).await?;
        if acts.is_empty() {
            self.require_some_lake().await?;
        }
        Ok(acts)
    }

    /// The table of acts in the tenant up to a moment, for SQL.
    pub(crate) fn audit_table(&self, as_of: Timestamp) -> Result<Arc<dyn TableProvider>, AppError> {
        let store = self.root()?.store().clone();
        Ok(audit::audit_table(store, self.tenant.clone(), as_of))
    }

    /// Refuses a location without any lake: it has neither keys nor data of the tenant.
    async fn require_some_lake(&self) -> Result<(), AppError> {
        if !self.api_keys()?.any().await? {
            self.lake().await?;
        }
        Ok(())
    }

    /// Verifies everything that was recorded in the lake.
    ///
    /// # Errors
    /// There is no lake, or it or the master key cannot be read.
    pub async fn verify_audit(&self) -> Result<Verified, AppError> {
        let mut verified = audit::verify(&self.root()?).await?;
        if verified.chains == 0 {
            self.require_some_lake().await?;
        }
        if verified.seals == 0 && self.api_keys()?.any().await? {
            verified.findings.push(Finding {
                place: "_audit".to_owned(),
                problem: "the lake has API keys, and nothing of what callers did".to_owned(),
            });
        }
        Ok(verified)
    }

    /// Where the master key was created, if this workspace created it.
    pub fn created_key(&self) -> Option<String> {
        let master = self.root.get()?.master();
        master.was_made().then(|| master.place())
    }

    /// Refuses callers without the right to read personal values, for values that no query returns.
    ///
    /// # Errors
    /// [`EngineError::Personal`] if the caller lacks the right.
    pub(crate) fn require_personal_rights(
        &self,
        table: &str,
        column: &str,
    ) -> Result<(), EngineError> {
        match self.rights.has(Right::Pii) {
            true => Ok(()),
            false => Err(EngineError::Personal {
                column: column.to_owned(),
                table: table.to_owned(),
                position: None,
            }),
        }
    }

    /// The lake, which must exist.
    pub(crate) async fn lake(&self) -> Result<Lake, AppError> {
        Ok(Lake::open_in(self.root()?, self.tenant.clone()).await?)
    }

    /// The lake; the first commit creates it if it does not exist.
    pub(crate) async fn lake_or_new(&self) -> Result<Lake, AppError> {
        Ok(Lake::on(self.root()?, self.tenant.clone()).await?)
    }

    pub(crate) fn root(&self) -> Result<LakeRoot, AppError> {
        if let Some(root) = self.root.get() {
            return Ok(root.clone());
        }
        let root = LakeRoot::new(Store::at(&self.location)?);
        Ok(self.root.get_or_init(|| root).clone())
    }

    /// The lake's state at a snapshot; at the newest one if `None`.
    pub(crate) async fn state(
        &self,
        lake: &Lake,
        snapshot: Option<SnapshotNumber>,
    ) -> Result<State, AppError> {
        Ok(match snapshot {
            Some(number) => lake.state(number).await?,
            None => lake.head().await?,
        })
    }
}
