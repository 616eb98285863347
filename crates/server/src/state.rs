//! State that all handlers share: tenants, limits, clock, queues, workers, metrics.

pub(crate) mod commit_queue;
mod computations;
mod compute;
pub(crate) mod metrics;
pub(crate) mod pulls;
mod readiness;
mod refusals;
mod tenant;
mod tenants;
pub(crate) mod usage;
pub(crate) mod wal_buffer;

use std::path::PathBuf;
use std::sync::Arc;

use rollbook_app::access::{Authenticator, Grant, JwtIssuer, JwtOptions};
use rollbook_app::audit::AuditLog;
use rollbook_app::{AppError, Quotas, Workspace, data};
use rollbook_model::{BatchId, TenantName, Timestamp};

use crate::api::scalars::Moment;
use crate::limits::{CallLimits, FairQueue, ServeLimits};
use crate::state::metrics::Metrics;
use crate::state::readiness::Readiness;
use crate::state::tenant::TenantState;
use crate::state::tenants::TenantStates;
use crate::workers::pool::Workers;
use crate::workers::process::Program;
use crate::workers::waiting::WaitingCount;
use computations::Computations;
use pulls::Pulls;
use refusals::Refusals;

/// Options of a server.
#[derive(Clone)]
pub struct Options {
    /// The lake, and the tenant that is served to callers without a key.
    pub workspace: Workspace,
    /// A folder of custom mappings, with one subfolder per provider.
    pub mappings: Option<PathBuf>,
    /// Limits of requests.
    pub limits: ServeLimits,
    /// The clock, read once per request.
    pub clock: fn() -> Timestamp,
    /// Generates ids of ingest runs.
    pub new_batch: fn() -> BatchId,
    /// How to start worker processes for requests of unbounded cost; `None` runs them in this process.
    pub workers: Option<Program>,
    /// Whose JWTs are accepted, if any.
    pub jwt: Option<JwtOptions>,
}

/// The server, for one tenant and with the rights of one caller. Background tasks have all rights; handlers take the
/// one of [`crate::access::Authorized`].
#[derive(Clone)]
pub(crate) struct Server {
    inner: Arc<Inner>,
    tenant: Arc<TenantState>,
    /// The workspace of the tenant with the rights of the caller.
    workspace: Arc<Workspace>,
    grant: Arc<Grant>,
}

struct Inner {
    options: Options,
    tenants: TenantStates,
    /// `None` in a worker, whose requests were checked by the server.
    authenticator: Option<Authenticator>,
    /// `None` in a worker.
    audit_log: Option<AuditLog>,
    refusals: Refusals,
    call_limits: CallLimits,
    metrics: Metrics,
    compute_queue: Arc<FairQueue>,
    /// Requests that wait for a permit to compute.
    computing: WaitingCount,
    /// Computations in this process that have a permit.
    computations: Arc<Computations>,
    /// Streams of members.
    pulls: Arc<Pulls>,
    readiness: Readiness,
    workers: Option<Arc<Workers>>,
}

impl Server {
    /// A server that authenticates its callers; one that `is_exposed` to other machines answers nobody without a
    /// key, also if the lake has none.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub(crate) fn new(options: Options, is_exposed: bool) -> Result<Self, AppError> {
        let keys = options.workspace.api_keys()?;
        let authenticator = match is_exposed {
            true => Authenticator::closed(keys),
            false => Authenticator::new(keys),
        };
        let issuer = options.jwt.clone().map(|jwt| {
            // A failure is no fault of the request that notices it.
            JwtIssuer::new(jwt, |error| tracing::warn!(%error, "no keys of the issuer"))
        });
        let authenticator = authenticator.with_issuer(issuer);
        let audit_log = options.workspace.audit_log(options.clock)?;
        Self::with(options, Some((authenticator, audit_log)))
    }

    /// A worker, which takes over the tenant and the rights that the server names.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub(crate) fn worker(options: Options) -> Result<Self, AppError> {
        Self::with(options, None)
    }

    fn with(
        options: Options,
        callers: Option<(Authenticator, AuditLog)>,
    ) -> Result<Self, AppError> {
        let (authenticator, audit_log) = callers.unzip();
        let (pool, shared) = {
            let limits = &options.workspace.limits;
            (limits.total_memory(), limits.shared)
        };
        let workers = options.workers.clone();
        let workers = workers.map(|program| Arc::new(Workers::new(program, pool, shared)));
        let (tenants, tenant) = TenantStates::new(&options.workspace)?;
        let inner = Inner {
            tenants,
            authenticator,
            audit_log,
            refusals: Refusals::default(),
            call_limits: CallLimits::new(&options.limits),
            workers,
            compute_queue: FairQueue::new(options.limits.computing),
            computing: WaitingCount::default(),
            computations: Arc::default(),
            pulls: Arc::default(),
            readiness: Readiness::default(),
            metrics: Metrics::new(),
            options,
        };
        Ok(Self {
            inner: Arc::new(inner),
            workspace: Arc::clone(&tenant.workspace),
            tenant,
            grant: Arc::new(Grant::local()),
        })
    }

    /// The same server for a caller, in the same tenant.
    pub(crate) fn with_grant(&self, grant: &Grant) -> Self {
        self.with_tenant(Arc::clone(&self.tenant), grant)
    }

    /// The same server for a caller and a tenant.
    fn with_tenant(&self, tenant: Arc<TenantState>, grant: &Grant) -> Self {
        let all = &tenant.workspace;
        // Work that is not done for one caller, such as a commit of the rows of several, is no query.
        let quotas = match grant.is_local() {
            true => Quotas::default(),
            false => tenant.quotas(),
        };
        let is_unlimited = grant.bounds().is_none() && quotas == *all.quotas();
        let workspace = match grant.rights == all.rights && is_unlimited {
            true => Arc::clone(all),
            false => Arc::new(all.for_caller(grant).with_quotas(quotas)),
        };
        Self {
            inner: Arc::clone(&self.inner),
            tenant,
            workspace,
            grant: Arc::new(grant.clone()),
        }
    }

    /// The same server for another tenant, with all rights.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub(crate) fn of_tenant(&self, tenant: &TenantName) -> Result<Self, AppError> {
        let tenant = self.inner.tenants.state(tenant)?;
        Ok(self.with_tenant(tenant, &Grant::local()))
    }

    /// The same server with all rights, for work that is not done for one caller alone.
    pub(crate) fn with_all_rights(&self) -> Self {
        self.with_grant(&Grant::local())
    }

    /// The name of the tenant.
    pub(crate) fn tenant(&self) -> &TenantName {
        &self.workspace.tenant
    }

    /// What the server holds for the tenant.
    pub(crate) fn state(&self) -> &TenantState {
        &self.tenant
    }

    /// The tenants of the server.
    pub(crate) fn tenants(&self) -> &TenantStates {
        &self.inner.tenants
    }

    /// The lake and tenant, with the rights of the caller.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the caller may do.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// `None` in a worker.
    pub(crate) fn authenticator(&self) -> Option<&Authenticator> {
        self.inner.authenticator.as_ref()
    }

    /// The record of what callers do; `None` in a worker, whose server records.
    pub(crate) fn audit_log(&self) -> Option<&AuditLog> {
        self.inner.audit_log.as_ref()
    }

    /// Refusals of callers without a key.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.inner.refusals
    }

    /// What callers have used of their limits.
    pub(crate) fn call_limits(&self) -> &CallLimits {
        &self.inner.call_limits
    }

    /// Whether callers need a key; false if that cannot be determined, and then requests are refused.
    pub(crate) async fn needs_key(&self) -> bool {
        match self.authenticator() {
            Some(authenticator) => authenticator.needs_key().await.unwrap_or(false),
            None => false,
        }
    }

    /// Fetches the keys of the issuer of JWTs, so that the first request does not wait for them.
    pub(crate) async fn fetch_signing_keys(&self) {
        if let Some(issuer) = self.authenticator().and_then(Authenticator::issuer) {
            issuer.fetch_keys().await;
        }
    }

    pub(crate) fn limits(&self) -> &ServeLimits {
        &self.inner.options.limits
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Measures the memory of the server and its workers.
    pub(crate) fn measure_memory(&self) {
        if let Some(workers) = self.workers() {
            workers.usage();
        }
    }

    /// The running streams of members.
    pub(crate) fn pulls(&self) -> &Arc<Pulls> {
        &self.inner.pulls
    }

    pub(crate) fn mappings(&self) -> Option<&PathBuf> {
        self.inner.options.mappings.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.inner.options.clock)()
    }

    /// The instant of a given `as_of`, or now if `None`.
    pub(crate) async fn moment(&self, given: Option<Moment>) -> Result<Timestamp, AppError> {
        match given {
            Some(given) => data::moment(self.workspace(), given.0).await,
            None => Ok(self.now()),
        }
    }

    pub(crate) fn new_batch(&self) -> BatchId {
        (self.inner.options.new_batch)()
    }

    pub(crate) fn workers(&self) -> Option<&Arc<Workers>> {
        self.inner.workers.as_ref()
    }
}
