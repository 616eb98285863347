//! One worker process: starting, sending a request, watching its memory, ending.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rollbook_app::process_usage::{WATCH_INTERVAL, WatchedProcess};
use rollbook_model::TenantName;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::workers::memory::{MemoryExcess, SharedMemory};

/// Time limit for a worker to accept the next request.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// A worker is idle if it uses at most one tick of processor time, the resolution of the system's counter,
/// within this interval.
const IDLE_INTERVAL: Duration = Duration::from_millis(30);
const TICK: Duration = Duration::from_millis(10);

/// Command line of a worker.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its arguments: the same lake and limits as the server's.
    pub arguments: Vec<OsString>,
}

/// Why a worker gave no answer.
#[derive(Debug)]
pub(crate) enum WorkerFailure {
    /// It exceeded a memory limit.
    Memory(MemoryExcess),
    /// It exited, or its connection broke.
    Ended(hyper::Error),
}

/// A process that answers one request at a time. Dropping this kills the process.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    sender: SendRequest<Body>,
    pid: u32,
    watched: WatchedProcess,
    memory: Arc<SharedMemory>,
    /// The only tenant that it serves: that of its first request.
    tenant: Option<TenantName>,
}

impl Worker {
    pub(crate) async fn start(program: &Program, memory: &Arc<SharedMemory>) -> io::Result<Self> {
        let (ours, theirs) = Pair::pair()?;
        let child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // In its own process group, Ctrl-C at a terminal lets it finish its request.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let stream = TokioIo::new(UnixStream::from_std(ours)?);
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // The task ends when the worker exits or the sender is dropped.
        tokio::spawn(connection);
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            child,
            sender,
            pid,
            watched: WatchedProcess::new(pid),
            memory: Arc::clone(memory),
            tenant: None,
        })
    }

    /// The tenant that it serves; `None` before its first request.
    pub(crate) fn tenant(&self) -> Option<&TenantName> {
        self.tenant.as_ref()
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request, and watches the memory of the worker until its answer begins.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Response, WorkerFailure> {
        let (watched, memory, pid) = (&mut self.watched, &self.memory, self.pid);
        let excess = async {
            loop {
                sleep(WATCH_INTERVAL).await;
                let usage = watched.measure();
                if let Some(why) = usage.and_then(|usage| memory.record(pid, usage.own)) {
                    return why;
                }
            }
        };
        tokio::select! {
            answer = self.sender.send_request(request) => match answer {
                Ok(answer) => Ok(answer.map(Body::new)),
                Err(error) => Err(WorkerFailure::Ended(error)),
            },
            why = excess => Err(WorkerFailure::Memory(why)),
        }
    }

    /// Watches the memory of the worker while its answer is sent, and kills it on excess; abort the returned
    /// task to stop.
    pub(crate) fn watch(&self) -> AbortHandle {
        let (mut watched, pid) = (WatchedProcess::new(self.pid), self.pid);
        let memory = Arc::clone(&self.memory);
        let watching = tokio::spawn(async move {
            while let Some(usage) = watched.measure() {
                if let Some(why) = memory.record(pid, usage.own) {
                    let bytes = usage.own;
                    tracing::warn!(
                        bytes,
                        ?why,
                        "a worker exceeded its memory limit while it sent an answer"
                    );
                    return watched.kill();
                }
                sleep(WATCH_INTERVAL).await;
            }
        });
        watching.abort_handle()
    }

    /// Whether the worker is done with its answer, uses no processor, and has at most `max` bytes resident.
    pub(crate) async fn is_idle(&mut self, max: u64) -> bool {
        let ready = timeout(READY_TIMEOUT, self.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return false;
        }
        let Some(before) = self.watched.measure() else {
            return false;
        };
        sleep(IDLE_INTERVAL).await;
        let Some(after) = self.watched.measure() else {
            return false;
        };
        let is_excess = self.memory.record(self.pid, after.own).is_some();
        !is_excess && after.busy - before.busy <= TICK && after.own <= max
    }

    /// Marks the worker as active for a tenant before its memory is measured for the first time.
    pub(crate) fn start_answering(&mut self, tenant: &TenantName) {
        self.tenant = Some(tenant.clone());
        self.memory.record(self.pid, 0);
    }

    /// Marks the worker as idle.
    pub(crate) fn set_idle(&self) {
        self.memory.set_idle(self.pid);
    }

    /// Marks the worker as active; false if it was killed meanwhile.
    pub(crate) fn set_active(&self) -> bool {
        self.memory.set_active(self.pid)
    }

    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "cannot kill a worker");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.memory.remove(self.pid);
    }
}
