//! Threads of a session's own, so that a query which never pauses cannot hold up whoever asked.
//!
//! A timer in the caller's runtime then always fires, whatever the query does, and the deep
//! recursion of planning and evaluating gets a stack that fits it.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::EngineError;

/// Enough for expressions at the limits of `complexity`, in builds without optimisation too.
/// Memory is only taken as far as a stack really grows.
const STACK_BYTES: usize = 64 << 20;

/// The worker threads of one session.
#[derive(Debug)]
pub(crate) struct QueryThreads {
    runtime: Option<Runtime>,
}

impl QueryThreads {
    pub(crate) fn start() -> Result<Self, EngineError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("rollbook-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|source| EngineError::Threads { source })?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs `work` on these threads. `work` sends what it yields into the channel.
    pub(crate) fn spawn<T, W, F>(&self, work: W) -> Running<T>
    where
        T: Send + 'static,
        W: FnOnce(mpsc::Sender<Result<T, EngineError>>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(2);
        let runtime = self.runtime.as_ref().expect("the runtime is only taken on drop");
        Running { receiver, task: Some(runtime.spawn(work(sender))) }
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        // Waiting for a query that hangs would hang the caller; and a plain drop would panic
        // inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work on the query threads. Dropping it stops the work at its next pause.
#[derive(Debug)]
pub(crate) struct Running<T> {
    receiver: mpsc::Receiver<Result<T, EngineError>>,
    task: Option<JoinHandle<()>>,
}

impl<T> Running<T> {
    /// What the work yields next: `Some(None)` when it is done, `None` when it takes too long.
    pub(crate) async fn next(&mut self, within: Duration) -> Option<Option<Result<T, EngineError>>> {
        let item = tokio::time::timeout(within, self.receiver.recv()).await.ok()?;
        if item.is_none()
            && let Some(task) = self.task.take()
            && task.await.is_err()
        {
            return Some(Some(Err(EngineError::Vanished)));
        }
        Some(item)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
