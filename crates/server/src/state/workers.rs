//! The workers of a server: those that answer, and those that wait for a question.

use std::sync::{Arc, Mutex, PoisonError};

use rollbook_app::usage::{LOOK, most_resident};

use tokio::time::sleep;

use super::together::Together;
use super::worker::{Program, Worker};
use crate::problem::{Problem, busy};

/// Workers that wait for a question at most.
const WAITING: usize = 2;

/// One that waits has so small a part of what one that answers may have.
const WAITING_PART: u64 = 4;

/// The workers of a server.
#[derive(Debug)]
pub(crate) struct Workers {
    program: Program,
    together: Arc<Together>,
    waiting: Mutex<Vec<Worker>>,
    /// Whoever is the next to have one, once there is room.
    next: tokio::sync::Mutex<()>,
}

impl Workers {
    pub(crate) fn new(program: Program, pool: usize) -> Self {
        Self {
            program,
            together: Arc::new(Together::new(pool)),
            waiting: Mutex::default(),
            next: tokio::sync::Mutex::default(),
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Vec<Worker>) -> T) -> T {
        what(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of memory that a query may use.
    pub(crate) fn pool(&self) -> usize {
        self.together.pool
    }

    /// One that is to answer, as soon as there is room for it.
    pub(crate) async fn enter(&self) -> Result<Worker, Problem> {
        let _first = self.next.lock().await;
        while !self.together.has_room() {
            sleep(LOOK).await;
        }
        let worker = self.take().await?;
        worker.enters();
        Ok(worker)
    }

    /// One that waits, or a new one.
    async fn take(&self) -> Result<Worker, Problem> {
        while let Some(worker) = self.with(Vec::pop) {
            if worker.resumes() && worker.is_alive() {
                return Ok(worker);
            }
        }
        self.start().await.ok_or_else(busy)
    }

    async fn start(&self) -> Option<Worker> {
        let started = Worker::start(&self.program, &self.together).await;
        let failed = |error: &std::io::Error| tracing::error!(%error, "no worker can be started");
        started.inspect_err(failed).ok()
    }

    /// Lets a worker wait for the next question, if it rests.
    pub(crate) async fn give_back(&self, mut worker: Worker) {
        if worker
            .rests(most_resident(self.pool()) / WAITING_PART)
            .await
        {
            let more = self.with(|waiting| match waiting.len() < WAITING {
                true => {
                    worker.waits();
                    waiting.push(worker);
                    None
                }
                false => Some(worker),
            });
            drop(more);
        }
    }

    /// Has one wait, so that the next question need not.
    pub(crate) async fn have_one(&self) {
        if self.with(|waiting| waiting.is_empty())
            && let Some(worker) = self.start().await
        {
            worker.waits();
            self.with(|waiting| waiting.push(worker));
        }
    }
}
