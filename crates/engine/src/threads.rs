//! Each query runs on threads of its own, so that a query that never yields cannot block another
//! one.
//!
//! A timer in the caller's runtime always fires, whatever the query does; the next query finds free
//! threads; and the deep recursion of planning and evaluation gets a stack of sufficient size.
//! Starting the threads takes well below a millisecond.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::EngineError;

/// Sufficient for expressions at the limits of `sql::limits`, also in builds without optimisation.
/// The operating system allocates only the memory that a stack really uses.
const STACK_BYTES: usize = 64 << 20;

/// Runs work on threads of its own, without waiting for it. Where no thread can be started, the
/// work is dropped.
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

/// Work on threads of its own. Dropping it stops the work at the next await point.
#[derive(Debug)]
pub(crate) struct Running<T> {
    receiver: mpsc::Receiver<Result<T, EngineError>>,
    task: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl<T: Send + 'static> Running<T> {
    /// Starts `work`, which sends its items into the channel.
    ///
    /// # Errors
    /// [`EngineError::Threads`] where the threads cannot be started.
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
        // Two batches in the channel keep the work busy while the caller uses another one.
        let (sender, receiver) = mpsc::channel(2);
        let task = runtime.spawn(work(sender));
        Ok(Self {
            receiver,
            task: Some(task),
            runtime: Some(runtime),
        })
    }

    /// The next item: `Some(None)` at the end of the work, `None` if no item arrives within the
    /// time.
    ///
    /// # Errors
    /// The errors that the work sends, and [`EngineError::WorkerPanicked`] after a panic.
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
        // Waiting for work that hangs would block the caller, and dropping a runtime inside another
        // runtime panics.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
