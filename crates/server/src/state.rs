//! State that all handlers share: workspace, limits, clock, queues, workers, metrics.

pub(crate) mod commit_queue;
mod metrics;
pub(crate) mod wal_buffer;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use rollbook_app::maintenance::compact_beside;
use rollbook_app::{AppError, Workspace, data};
use rollbook_model::{BatchId, Timestamp};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::api::scalars::Moment;
use crate::limits::ServeLimits;
use crate::problem::{Problem, busy};
use crate::state::metrics::Metrics;

use crate::workers::pool::Workers;
use crate::workers::process::Program;
use commit_queue::CommitQueue;
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
}

#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    options: Options,
    metrics: Metrics,
    compute_permits: Arc<Semaphore>,
    /// Serialises the commits of this process, which would otherwise conflict and retry.
    writing: Mutex<()>,
    compacting: Mutex<()>,
    commit_queue: CommitQueue,
    wal: WalBuffer,
    workers: Option<Arc<Workers>>,
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        let pool = options.workspace.limits.memory;
        let workers = options.workers.clone();
        let workers = workers.map(|program| Arc::new(Workers::new(program, pool)));
        Self(Arc::new(Inner {
            workers,
            compute_permits: Arc::new(Semaphore::new(options.limits.computing)),
            writing: Mutex::new(()),
            compacting: Mutex::new(()),
            commit_queue: CommitQueue::default(),
            wal: WalBuffer::default(),
            metrics: Metrics::new(),
            options,
        }))
    }

    pub(crate) fn workspace(&self) -> &Workspace {
        &self.0.options.workspace
    }

    pub(crate) fn limits(&self) -> &ServeLimits {
        &self.0.options.limits
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn mappings(&self) -> Option<&PathBuf> {
        self.0.options.mappings.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    /// The instant of a given `as_of`, or now if `None`.
    pub(crate) async fn moment(&self, given: Option<Moment>) -> Result<Timestamp, AppError> {
        match given {
            Some(given) => data::moment(self.workspace(), given.0).await,
            None => Ok(self.now()),
        }
    }

    pub(crate) fn new_batch(&self) -> BatchId {
        (self.0.options.new_batch)()
    }

    /// Requests that wait for the next commit.
    pub(crate) fn commit_queue(&self) -> &CommitQueue {
        &self.0.commit_queue
    }

    /// The write-ahead log: acknowledged requests that are in no snapshot yet.
    pub(crate) fn wal(&self) -> &WalBuffer {
        &self.0.wal
    }

    pub(crate) fn workers(&self) -> Option<&Arc<Workers>> {
        self.0.workers.as_ref()
    }

    /// The lock for committing.
    pub(crate) async fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.0.writing.lock().await
    }

    /// Compacts tables that are due, unless a compaction is running.
    pub(crate) async fn compact_if_due(&self) {
        let Ok(_lock) = self.0.compacting.try_lock() else {
            return;
        };
        let compacted = compact_beside(self.workspace(), self.now(), &self.0.writing).await;
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
        let permit = Arc::clone(&self.0.compute_permits).acquire_owned();
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
        let server = self.clone();
        let handle = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || handle.block_on(work(server)));
        match done.await {
            Ok(result) => result.map_err(Problem::from),
            Err(_) => Err(Problem::internal()),
        }
    }
}
