//! The tenants of the server: which there are, and what it holds for each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rollbook_app::access::Grant;
use rollbook_app::tenants::ServedTenants;
use rollbook_app::{AppError, Workspace};
use rollbook_model::TenantName;

use super::Server;
use super::metrics::current::CurrentState;
use super::tenant::TenantState;

/// Time between two looks at whether the tenant of a running request is still served.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Tenants of one caller whose metrics are shown, at most.
const MAX_TENANTS: usize = 100;

/// The tenants of a server.
pub(crate) struct TenantStates {
    /// The tenant that is served to callers without a key.
    default: Arc<TenantState>,
    /// What the lake says about its tenants.
    pub(crate) served: ServedTenants,
    states: Mutex<BTreeMap<TenantName, Arc<TenantState>>>,
    /// The only tenant of a worker: that of its first request.
    bound: OnceLock<TenantName>,
}

impl TenantStates {
    /// The tenants of the lake of a workspace, of which that one is served to callers without a key.
    pub(super) fn new(workspace: &Workspace) -> Result<(Self, Arc<TenantState>), AppError> {
        let default = Arc::new(TenantState::new(workspace.clone()));
        let own = Self {
            default: Arc::clone(&default),
            served: ServedTenants::of(workspace)?,
            states: Mutex::new(BTreeMap::from([(
                workspace.tenant.clone(),
                Arc::clone(&default),
            )])),
            bound: OnceLock::new(),
        };
        Ok((own, default))
    }

    fn with<T>(&self, edit: impl FnOnce(&mut BTreeMap<TenantName, Arc<TenantState>>) -> T) -> T {
        edit(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the server holds for a tenant: nothing yet, if this is the first time that it is asked for.
    pub(super) fn state(&self, tenant: &TenantName) -> Result<Arc<TenantState>, AppError> {
        if let Some(state) = self.with(|states| states.get(tenant).cloned()) {
            return Ok(state);
        }
        let workspace = self.default.workspace.of_tenant(tenant.clone())?;
        let state = Arc::new(TenantState::new(workspace));
        Ok(self.with(|states| Arc::clone(states.entry(tenant.clone()).or_insert(state))))
    }

    /// All tenants that the server holds anything for.
    pub(crate) fn names(&self) -> Vec<TenantName> {
        self.with(|states| states.keys().cloned().collect())
    }

    fn states(&self) -> Vec<Arc<TenantState>> {
        self.with(|states| states.values().cloned().collect())
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(&self) -> bool {
        self.with(|states| states.len() > 1)
    }

    /// Forgets a tenant that is no longer served, with its caches and keys.
    pub(crate) fn forget(&self, tenant: &TenantName) {
        self.with(|states| states.remove(tenant));
    }
}

impl Server {
    /// The server for a caller in one of their tenants: the one that is named, or the only one. Of a tenant that is not
    /// theirs they learn nothing.
    ///
    /// # Errors
    /// - [`AppError::UnknownTenant`]: the name is of none of the caller's tenants, or of one that was deleted.
    /// - [`AppError::TenantNeeded`]: the caller has several, and names none.
    /// - [`AppError::NoTenantOfKey`]: the caller has none.
    /// - [`AppError::TenantSuspended`].
    /// - The lake cannot be read.
    pub(crate) async fn for_caller(&self, grant: &Grant, named: &[&str]) -> Result<Self, AppError> {
        let tenant = match (grant.tenants(), named.first()) {
            (_, Some(_)) => named_tenant(self, grant, named)?,
            (None, None) => self.default_tenant().clone(),
            (Some([only]), None) => only.clone(),
            (Some([]), None) => return Err(AppError::NoTenantOfKey),
            (Some(_), None) => return Err(AppError::TenantNeeded),
        };
        let found = self.tenants().served.find(&tenant).await;
        let served = found.map_err(|error| match (error, named) {
            // A name that the caller did not say is not repeated.
            (AppError::UnknownTenant { .. }, []) => AppError::NoTenantOfKey,
            (error, _) => error,
        })?;
        let state = self.tenants().state(&tenant)?;
        state.set_quotas(served.quotas);
        Ok(self.with_tenant(state, grant))
    }

    /// Waits until the tenant is no longer served, if ever; returns why. In a worker this is for its server to do.
    pub(crate) async fn until_refused(&self) -> AppError {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.authenticator().is_none() {
                continue;
            }
            let found = self.tenants().served.find(self.tenant()).await;
            // A lake that cannot be read at the moment is no reason.
            if let Err(error @ (AppError::TenantSuspended | AppError::UnknownTenant { .. })) = found
            {
                return error;
            }
        }
    }

    /// The server for each tenant of the caller that is served, at most [`MAX_TENANTS`].
    pub(crate) async fn all_of_caller(&self) -> Vec<Self> {
        let grant = self.grant();
        let Some(tenants) = grant.tenants() else {
            return vec![self.clone()];
        };
        let mut all = Vec::new();
        for tenant in tenants.iter().take(MAX_TENANTS) {
            // A suspended tenant has no figures.
            if let Ok(server) = self.for_caller(grant, &[tenant.as_str()]).await {
                all.push(server);
            }
        }
        all
    }

    /// Records how long the queues are, and the memory of the server and its workers.
    pub(crate) fn record_load(&self, current: &CurrentState) {
        let states = self.tenants().states();
        let of_workers = self.workers().map_or(0, |workers| workers.waiting());
        let queues = [
            (
                "commit",
                states.iter().map(|one| one.commit_queue.len()).sum(),
            ),
            ("journal", states.iter().map(|one| one.wal.len()).sum()),
            ("compute", self.inner.computing.get()),
            ("worker", of_workers),
        ];
        let memory = self.workers().map(|workers| workers.usage());
        current.load(&queues, memory);
        if let Some(shared) = self.workspace().limits.shared {
            current.reserved(shared);
        }
    }

    /// A worker for the tenant that its server names. It serves no other one after that.
    ///
    /// # Errors
    /// [`AppError::UnknownTenant`] if it has served another one; the location of the lake is invalid.
    pub(crate) async fn for_server(&self, grant: &Grant, named: &[&str]) -> Result<Self, AppError> {
        let name = named.first().copied().unwrap_or_default();
        let unknown = || AppError::UnknownTenant {
            tenant: name.to_owned(),
        };
        let tenant: TenantName = name.parse().map_err(|_| unknown())?;
        if *self.tenants().bound.get_or_init(|| tenant.clone()) != tenant {
            tracing::error!("a worker got a request of another tenant");
            return Err(unknown());
        }
        let served = self.tenants().served.find(&tenant).await?;
        let state = self.tenants().state(&tenant)?;
        state.set_quotas(served.quotas);
        Ok(self.with_tenant(state, grant))
    }

    /// The tenant that is served to callers without a key.
    pub(crate) fn default_tenant(&self) -> &TenantName {
        &self.tenants().default.workspace.tenant
    }
}

/// The tenant that a caller names, if it is one of theirs.
fn named_tenant(server: &Server, grant: &Grant, named: &[&str]) -> Result<TenantName, AppError> {
    let mut found: Option<TenantName> = None;
    for name in named {
        let tenant = name.parse::<TenantName>().ok().filter(|tenant| {
            let is_other = found.as_ref().is_some_and(|before| before != tenant);
            // Without keys, one tenant is served alone.
            let is_theirs = match grant.tenants() {
                Some(tenants) => tenants.contains(tenant),
                None => tenant == server.default_tenant(),
            };
            is_theirs && !is_other
        });
        let unknown = || AppError::UnknownTenant {
            tenant: name.chars().take(64).collect(),
        };
        found = Some(tenant.ok_or_else(unknown)?);
    }
    found.ok_or(AppError::NoTenantOfKey)
}
