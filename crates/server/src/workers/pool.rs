//! The pool of workers: hands out idle ones and starts new ones, within the memory limit.

use std::sync::{Arc, Mutex, PoisonError};

use rollbook_app::process_usage::{WATCH_INTERVAL, max_resident};
use rollbook_model::TenantName;
use rollbook_model::memory::MemoryBudget;
use tokio::time::sleep;

use crate::problem::{Problem, busy};
use crate::workers::memory::{MemoryUsage, SharedMemory};
use crate::workers::process::{Program, Worker};
use crate::workers::waiting::WaitingCount;

/// Idle workers that have served a tenant, at most.
const MAX_IDLE: usize = 2;

/// A worker is kept idle only if it uses at most this fraction (one in so many) of what one query may.
const IDLE_SHARE: u64 = 4;

/// The pool of workers of a server.
#[derive(Debug)]
pub(crate) struct Workers {
    program: Program,
    memory: Arc<SharedMemory>,
    idle: Mutex<Vec<Worker>>,
    /// Held by the request that gets the next worker once there is room.
    turn: tokio::sync::Mutex<()>,
    /// Requests that wait for a worker.
    waiting: WaitingCount,
}

impl Workers {
    pub(crate) fn new(program: Program, pool: usize, shared: Option<MemoryBudget>) -> Self {
        Self {
            program,
            memory: Arc::new(SharedMemory::new(pool, shared)),
            idle: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            waiting: WaitingCount::default(),
        }
    }

    /// The memory of the server and its workers now.
    pub(crate) fn usage(&self) -> MemoryUsage {
        self.memory.usage()
    }

    /// Whether the server itself can compute so many answers at once.
    pub(crate) fn has_room_to_compute(&self, count: u64) -> bool {
        self.memory.has_room_to_compute(count)
    }

    /// Requests that wait for a worker.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    fn with<T>(&self, edit: impl FnOnce(&mut Vec<Worker>) -> T) -> T {
        edit(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes that the server and its workers share.
    pub(crate) fn pool(&self) -> usize {
        self.memory.pool
    }

    /// A worker for one request of a tenant, once there is room for it. A worker serves one tenant only.
    ///
    /// # Errors
    /// 503 `busy` if no worker can be started.
    pub(crate) async fn acquire(&self, tenant: &TenantName) -> Result<Worker, Problem> {
        let _waiting = self.waiting.enter();
        let _first = self.turn.lock().await;
        while !self.memory.has_room() {
            self.memory.drop_caches();
            sleep(WATCH_INTERVAL).await;
        }
        let mut worker = self.take(tenant).await?;
        worker.start_answering(tenant);
        Ok(worker)
    }

    /// An idle worker of the tenant or of none yet, or a new one.
    async fn take(&self, tenant: &TenantName) -> Result<Worker, Problem> {
        let next = |idle: &mut Vec<Worker>| {
            let own = idle.iter().position(|one| one.tenant() == Some(tenant));
            let found = own.or_else(|| idle.iter().position(|one| one.tenant().is_none()));
            found.map(|at| idle.remove(at))
        };
        while let Some(worker) = self.with(next) {
            if worker.set_active() && worker.is_alive() {
                return Ok(worker);
            }
        }
        self.start().await.ok_or_else(busy)
    }

    async fn start(&self) -> Option<Worker> {
        let started = Worker::start(&self.program, &self.memory).await;
        let failed = |error: &std::io::Error| tracing::error!(%error, "cannot start a worker");
        started.inspect_err(failed).ok()
    }

    /// Returns a worker to the pool if it is idle and small; ends it otherwise.
    pub(crate) async fn release(&self, mut worker: Worker) {
        // A query may use half of the memory.
        let max = max_resident(self.pool() / 2) / IDLE_SHARE;
        if worker.is_idle(max).await {
            worker.set_idle();
            let more = self.with(|idle| {
                idle.push(worker);
                let used = idle.iter().filter(|one| one.tenant().is_some()).count();
                // The one that has been idle longest ends.
                let first = idle.iter().position(|one| one.tenant().is_some());
                first.filter(|_| used > MAX_IDLE).map(|at| idle.remove(at))
            });
            drop(more);
        }
    }

    /// Ends the idle workers of a tenant that is no longer served.
    pub(crate) fn end_idle_of(&self, tenant: &TenantName) {
        self.with(|idle| idle.retain(|one| one.tenant() != Some(tenant)));
    }

    /// Starts an idle worker if there is none that any tenant can use, so that the next request need not wait for its
    /// start.
    pub(crate) async fn keep_one_idle(&self) {
        if self.with(|idle| idle.iter().all(|one| one.tenant().is_some()))
            && let Some(worker) = self.start().await
        {
            worker.set_idle();
            self.with(|idle| idle.push(worker));
        }
    }
}
