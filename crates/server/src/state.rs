//! What all handlers share: the lake's place, the limits, the clock, the figures.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use rollbook_app::compacting::compact_beside;
use rollbook_app::{AppError, Workspace, data};
use rollbook_model::{BatchId, Timestamp};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::limits::ServeLimits;
use crate::metrics::Metrics;
use crate::problem::{Problem, busy};
use crate::scalars::Moment;

pub(crate) mod journal;
pub(crate) mod queue;
pub(crate) mod together;
pub(crate) mod worker;
pub(crate) mod workers;

use journal::Journal;
use queue::Queue;
use worker::Program;
use workers::Workers;

/// How to serve.
#[derive(Clone)]
pub struct Options {
    /// The lake and tenant.
    pub workspace: Workspace,
    /// A folder with a folder of mappings for each provider of the user's own.
    pub mappings: Option<PathBuf>,
    /// What requests may use.
    pub limits: ServeLimits,
    /// The time, read for each request.
    pub clock: fn() -> Timestamp,
    /// A name for a run of ingest.
    pub new_batch: fn() -> BatchId,
    /// How processes are started that answer questions in a caller's own SQL; without it they are
    /// answered here.
    pub workers: Option<Program>,
}

#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    options: Options,
    metrics: Metrics,
    computing: Arc<Semaphore>,
    /// Commits of this process follow each other, instead of overtaking and repeating themselves.
    writing: Mutex<()>,
    compacting: Mutex<()>,
    queue: Queue,
    journal: Journal,
    workers: Option<Arc<Workers>>,
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        let pool = options.workspace.limits.memory;
        let workers = options.workers.clone();
        let workers = workers.map(|program| Arc::new(Workers::new(program, pool)));
        Self(Arc::new(Inner {
            workers,
            computing: Arc::new(Semaphore::new(options.limits.computing)),
            writing: Mutex::new(()),
            compacting: Mutex::new(()),
            queue: Queue::default(),
            journal: Journal::default(),
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

    /// The moment to look from: now where none is given.
    pub(crate) async fn moment(&self, given: Option<Moment>) -> Result<Timestamp, AppError> {
        match given {
            Some(given) => data::moment(self.workspace(), given.0).await,
            None => Ok(self.now()),
        }
    }

    pub(crate) fn new_batch(&self) -> BatchId {
        (self.0.options.new_batch)()
    }

    /// The requests that wait for the next commit.
    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// The posts that are durable, and in no snapshot yet.
    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn workers(&self) -> Option<&Arc<Workers>> {
        self.0.workers.as_ref()
    }

    /// The turn of one that commits.
    pub(crate) async fn writer(&self) -> MutexGuard<'_, ()> {
        self.0.writing.lock().await
    }

    /// Writes tables in better order where that pays by now, unless that is being done already.
    pub(crate) async fn tidy_up(&self) {
        let Ok(_only) = self.0.compacting.try_lock() else {
            return;
        };
        let compacted = compact_beside(self.workspace(), self.now(), &self.0.writing).await;
        match compacted {
            Ok(tables) => {
                for done in tables {
                    tracing::info!(table = done.table, rows = done.rows, "compacted");
                }
            }
            // The tables are as good as before; the next post tries again.
            Err(error) => tracing::warn!(%error, "not compacted"),
        }
    }

    /// Does work that takes a core for a while, on a thread of its own and when it is its turn, so
    /// that pages and health checks are answered meanwhile.
    pub(crate) async fn compute<T, F, W>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<T, AppError>>,
    {
        let turn = self.turn().await?;
        // The turn ends with the work, which goes on where a caller goes away.
        self.work(move |server| async move {
            let done = work(server).await;
            drop(turn);
            done
        })
        .await
    }

    /// The turn of one that computes.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.0.computing).acquire_owned();
        let waiting = tokio::time::timeout(self.limits().answer_time, turn);
        waiting.await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// Does work on a thread of its own, at once.
    pub(crate) async fn work<T, F, W>(&self, work: F) -> Result<T, Problem>
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
