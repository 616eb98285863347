//! State that all handlers share: workspace, limits, clock, queues, workers, metrics.

pub(crate) mod commit_queue;
mod metrics;
mod readiness;
mod refusals;
pub(crate) mod wal_buffer;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use rollbook_app::access::{Authenticator, Grant, JwtIssuer, JwtOptions};
use rollbook_app::audit::AuditLog;
use rollbook_app::maintenance::compact_beside;
use rollbook_app::{AppError, Workspace, data};
use rollbook_model::{BatchId, Timestamp};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::api::scalars::Moment;
use crate::limits::{CallLimits, ServeLimits};
use crate::problem::{Problem, busy};
use crate::state::metrics::Metrics;
use crate::state::readiness::Readiness;

use crate::workers::pool::Workers;
use crate::workers::process::Program;
use crate::workers::waiting::WaitingCount;
use commit_queue::CommitQueue;
use refusals::Refusals;
use wal_buffer::WalBuffer;

/// Options of a server.
#[derive(Clone)]
pub struct Options {
    /// The lake and tenant.
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

/// The server, with the rights of one caller. Background tasks have all rights; handlers take the one of
/// [`crate::access::Authorized`].
#[derive(Clone)]
pub(crate) struct Server {
    inner: Arc<Inner>,
    workspace: Arc<Workspace>,
    grant: Arc<Grant>,
}

struct Inner {
    options: Options,
    /// The workspace with all rights.
    workspace: Arc<Workspace>,
    /// `None` in a worker, whose requests were checked by the server.
    authenticator: Option<Authenticator>,
    /// `None` in a worker.
    audit_log: Option<AuditLog>,
    refusals: Refusals,
    call_limits: CallLimits,
    metrics: Metrics,
    compute_permits: Arc<Semaphore>,
    /// Requests that wait for a permit to compute.
    computing: WaitingCount,
    /// Serialises the commits of this process, which would otherwise conflict and retry.
    writing: Mutex<()>,
    compacting: Mutex<()>,
    commit_queue: CommitQueue,
    wal: WalBuffer,
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
        Ok(Self::with(options, Some((authenticator, audit_log))))
    }

    /// A worker, which takes over the rights that the server names.
    pub(crate) fn worker(options: Options) -> Self {
        Self::with(options, None)
    }

    fn with(options: Options, callers: Option<(Authenticator, AuditLog)>) -> Self {
        let (authenticator, audit_log) = callers.unzip();
        let workspace = Arc::new(options.workspace.clone());
        let pool = options.workspace.limits.memory;
        let workers = options.workers.clone();
        let workers = workers.map(|program| Arc::new(Workers::new(program, pool)));
        let inner = Inner {
            workspace: Arc::clone(&workspace),
            authenticator,
            audit_log,
            refusals: Refusals::default(),
            call_limits: CallLimits::new(&options.limits),
            workers,
            compute_permits: Arc::new(Semaphore::new(options.limits.computing)),
            computing: WaitingCount::default(),
            writing: Mutex::new(()),
            compacting: Mutex::new(()),
            commit_queue: CommitQueue::default(),
            wal: WalBuffer::default(),
            readiness: Readiness::default(),
            metrics: Metrics::new(),
            options,
        };
        Self {
            inner: Arc::new(inner),
            workspace,
            grant: Arc::new(Grant::local()),
        }
    }

    /// The same server for a caller.
    pub(crate) fn with_grant(&self, grant: &Grant) -> Self {
        let all = &self.inner.workspace;
        let workspace = match grant.rights == all.rights && grant.bounds().is_none() {
            true => Arc::clone(all),
            false => Arc::new(all.for_caller(grant)),
        };
        Self {
            inner: Arc::clone(&self.inner),
            workspace,
            grant: Arc::new(grant.clone()),
        }
    }

    /// The same server with all rights, for work that is not done for one caller alone.
    pub(crate) fn with_all_rights(&self) -> Self {
        self.with_grant(&Grant::local())
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

    /// Records how long the queues are, and the memory of the server and its workers.
    pub(crate) fn record_load(&self) {
        let of_workers = self.workers().map_or(0, |workers| workers.waiting());
        let queues = [
            ("commit", self.commit_queue().len()),
            ("journal", self.wal().len()),
            ("compute", self.inner.computing.get()),
            ("worker", of_workers),
        ];
        let memory = self.workers().map(|workers| workers.usage());
        self.metrics().current.load(&queues, memory);
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

    /// Requests that wait for the next commit.
    pub(crate) fn commit_queue(&self) -> &CommitQueue {
        &self.inner.commit_queue
    }

    /// The write-ahead log: acknowledged requests that are in no snapshot yet.
    pub(crate) fn wal(&self) -> &WalBuffer {
        &self.inner.wal
    }

    pub(crate) fn workers(&self) -> Option<&Arc<Workers>> {
        self.inner.workers.as_ref()
    }

    /// The lock for committing.
    pub(crate) async fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.inner.writing.lock().await
    }

    /// Compacts tables that are due, unless a compaction is running.
    pub(crate) async fn compact_if_due(&self) {
        let Ok(_lock) = self.inner.compacting.try_lock() else {
            return;
        };
        let compacted = compact_beside(self.workspace(), self.now(), &self.inner.writing).await;
        match compacted {
            Ok(tables) => {
                for done in tables {
                    tracing::info!(table = done.table, rows = done.rows, "compacted");
                }
            }
            // The tables are unchanged; the next commit tries again.
            Err(error) => tracing::warn!(%error, "compaction failed"),
        }
    }

    /// Runs CPU-bound work on a blocking thread once a compute permit is free, so that cheap requests are
    /// answered meanwhile.
    pub(crate) async fn compute<T, F, W>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<T, AppError>>,
    {
        let permit = self.compute_permit().await?;
        // The permit is held until the work ends, even if the caller disconnects.
        self.run_blocking(move |server| async move {
            let result = work(server).await;
            drop(permit);
            result
        })
        .await
    }

    /// A permit to compute.
    ///
    /// # Errors
    /// 503 `busy` if none gets free within the time limit of answers.
    pub(crate) async fn compute_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let _waiting = self.inner.computing.enter();
        let permit = Arc::clone(&self.inner.compute_permits).acquire_owned();
        let waiting = tokio::time::timeout(self.limits().answer_time, permit);
        waiting.await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// Runs work on a blocking thread at once, without a permit.
    pub(crate) async fn run_blocking<T, F, W>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<T, AppError>>,
    {
        let (server, rights) = (self.clone(), self.grant.rights);
        let handle = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || handle.block_on(work(server)));
        match done.await {
            Ok(result) => result.map_err(|error| Problem::for_rights(error, rights)),
            Err(_) => Err(Problem::internal()),
        }
    }
}
