//! The runtime of queries: one for the whole process, with threads of its own.
//!
//! Timers of the caller's runtime always fire, whatever a query does; the deep recursion of planning
//! and evaluation gets a stack of sufficient size; connections to a store outlive the query that
//! opened them. There is a thread for each core, and never only one; with four for each core, a
//! refresh from memory takes 7 % longer. A query that never yields cannot be stopped: its caller gets
//! an error at the time limit, but it holds its threads, and others wait for them, until it yields.
//! So a server runs statements of unbounded cost in processes of their own.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::EngineError;

/// Sufficient for expressions at the limits of `sql::limits`, also in builds without optimisation.
/// The operating system allocates only the memory that a stack really uses.
const STACK_BYTES: usize = 64 << 20;

/// The shared runtime, once a query has needed it.
static SHARED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Starts work on the shared runtime.
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = match shared.take() {
        Some(runtime) => runtime,
        None => start().map_err(|source| EngineError::Threads { source })?,
    };
    Ok(shared.insert(runtime).spawn(work))
}

fn start() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .thread_name("rollbook-query")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
}

/// Runs work in the background, without waiting for it. Where no thread can be started, the work is
/// dropped.
pub fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) {
    let _ = spawn(work);
}

/// Work in the background, and the items that it yields. Dropping this value cancels the work at
/// its next await point.
#[derive(Debug)]
pub(crate) struct Running<T> {
    receiver: mpsc::Receiver<Result<T, EngineError>>,
    /// Until its end was seen.
    task: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Running<T> {
    /// Starts `work`, which sends its items into the channel.
    ///
    /// # Errors
    /// [`EngineError::Threads`] where the threads of the runtime cannot be started.
    pub(crate) fn start<W, F>(work: W) -> Result<Self, EngineError>
    where
        W: FnOnce(mpsc::Sender<Result<T, EngineError>>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        // Two waiting batches keep the work going while one is being used.
        let (sender, receiver) = mpsc::channel(2);
        let task = Some(spawn(work(sender))?);
        Ok(Self { receiver, task })
    }

    /// The next item of the work: `Some(None)` after the last one, `None` when it takes too long.
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
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Running;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn dropped_work_ends() {
        let (ended, has_ended) = mpsc::channel::<()>();
        let mut running = Running::start(|items| async move {
            let _held_until_the_end = ended;
            let _ = items.send(Ok(())).await;
            std::future::pending::<()>().await;
        })
        .unwrap();
        assert!(running.next(LONG).await.flatten().is_some());
        drop(running);
        let disconnected = has_ended.recv_timeout(LONG);
        assert_eq!(disconnected, Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[tokio::test]
    async fn panic_of_the_work_is_an_error() {
        let mut running =
            Running::<()>::start(|_items| async { panic!("as the test wants") }).unwrap();
        let answer = running.next(LONG).await.flatten().unwrap();
        assert!(matches!(answer, Err(crate::EngineError::WorkerPanicked)));
    }
}
