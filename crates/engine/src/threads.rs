//! Threads of a query's own, so that one which never pauses can hold up nobody else.
//!
//! A timer in the caller's runtime always fires, whatever the query does; the next query finds
//! threads that are free; and the deep recursion of planning and evaluating gets a stack that
//! fits it. Starting them takes well below a millisecond.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::EngineError;

/// Enough for expressions at the limits of `complexity`, in builds without optimisation too.
/// Memory is only taken as far as a stack really grows.
const STACK_BYTES: usize = 64 << 20;

/// Does work on threads of its own that nobody waits for. Where there are none to be had, it is left.
pub fn spawn_detached(name: &str, work: impl Future<Output = ()> + Send + 'static) {
    let name = name.to_owned();
    let thread = std::thread::Builder::new().name(name.clone());
    let started = thread.spawn(move || {
        let runtime = Builder::new_multi_thread()
            .thread_name(name)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            let _ = runtime.block_on(runtime.spawn(work));
        }
    });
    drop(started);
}

/// Work on threads of its own. Dropping it stops the work at its next pause.
#[derive(Debug)]
pub(crate) struct Running<T> {
    receiver: mpsc::Receiver<Result<T, EngineError>>,
    task: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl<T: Send + 'static> Running<T> {
    /// Starts `work`, which sends what it yields into the channel.
    pub(crate) fn start<W, F>(work: W) -> Result<Self, EngineError>
    where
        W: FnOnce(mpsc::Sender<Result<T, EngineError>>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread()
            .thread_name("rollbook-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|source| EngineError::Threads { source })?;
        // Two waiting batches keep the work going while one is being used.
        let (sender, receiver) = mpsc::channel(2);
        let task = runtime.spawn(work(sender));
        Ok(Self {
            receiver,
            task: Some(task),
            runtime: Some(runtime),
        })
    }

    /// What the work yields next: `Some(None)` when it is done, `None` when it takes too long.
    pub(crate) async fn next(
        &mut self,
        within: Duration,
    ) -> Option<Option<Result<T, EngineError>>> {
        let item = tokio::time::timeout(within, self.receiver.recv())
            .await
            .ok()?;
        if item.is_none()
            && let Some(task) = self.task.take()
            && task.await.is_err()
        {
            return Some(Some(Err(EngineError::WorkerPanicked)));
        }
        Some(item)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        // Waiting for work that hangs would hang the caller; and a plain drop would panic inside
        // another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
