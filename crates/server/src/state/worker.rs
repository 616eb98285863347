//! One worker: how it is started, asked, watched and ended.

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
use rollbook_app::usage::{LOOK, Watched};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::together::{Together, TooMuch};

/// In which time a worker is ready for the next question.
const READY: Duration = Duration::from_secs(1);
/// For how long it is looked at whether it rests, and how much it may do meanwhile: one tick of
/// the clock by which systems count that.
const RESTS: Duration = Duration::from_millis(30);
const TICK: Duration = Duration::from_millis(10);

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// What it is told, so that it answers from the same lake, within the same limits.
    pub arguments: Vec<OsString>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It took too much memory.
    Memory(TooMuch),
    /// It ended, or the connection to it did.
    Ended(hyper::Error),
}

/// A process that answers one question at a time. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    sender: SendRequest<Body>,
    pid: u32,
    watched: Watched,
    together: Arc<Together>,
}

impl Worker {
    pub(crate) async fn start(program: &Program, together: &Arc<Together>) -> io::Result<Self> {
        let (ours, theirs) = Pair::pair()?;
        let child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // What stops the server at a terminal lets it answer what was asked before.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let stream = TokioIo::new(UnixStream::from_std(ours)?);
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // It ends with the worker, or with who sends.
        tokio::spawn(connection);
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            child,
            sender,
            pid,
            watched: Watched::process(pid),
            together: Arc::clone(together),
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Hands a request on, and watches what the worker has in memory until its answer begins.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Response, Failed> {
        let (watched, together, pid) = (&mut self.watched, &self.together, self.pid);
        let too_much = async {
            loop {
                sleep(LOOK).await;
                let usage = watched.look();
                if let Some(why) = usage.and_then(|usage| together.note(pid, usage.resident)) {
                    return why;
                }
            }
        };
        tokio::select! {
            answer = self.sender.send_request(request) => match answer {
                Ok(answer) => Ok(answer.map(Body::new)),
                Err(error) => Err(Failed::Ended(error)),
            },
            why = too_much => Err(Failed::Memory(why)),
        }
    }

    /// Ends it when it has too much in memory, until the task is aborted: what is made while an
    /// answer is sent counts too.
    pub(crate) fn watch(&self) -> AbortHandle {
        let (mut watched, pid) = (Watched::process(self.pid), self.pid);
        let together = Arc::clone(&self.together);
        let watching = tokio::spawn(async move {
            while let Some(usage) = watched.look() {
                if let Some(why) = together.note(pid, usage.resident) {
                    let bytes = usage.resident;
                    tracing::warn!(bytes, ?why, "a worker took too much while it answered");
                    return watched.kill();
                }
                sleep(LOOK).await;
            }
        });
        watching.abort_handle()
    }

    /// Whether it has sent its answer, does nothing any more, and has at most so many bytes in
    /// memory.
    pub(crate) async fn rests(&mut self, most: u64) -> bool {
        let ready = timeout(READY, self.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return false;
        }
        let Some(before) = self.watched.look() else {
            return false;
        };
        sleep(RESTS).await;
        let Some(after) = self.watched.look() else {
            return false;
        };
        let is_too_much = self.together.note(self.pid, after.resident).is_some();
        !is_too_much && after.busy - before.busy <= TICK && after.resident <= most
    }

    /// It is about to answer.
    pub(crate) fn enters(&self) {
        self.together.note(self.pid, 0);
    }

    /// It waits for a question from now on.
    pub(crate) fn waits(&self) {
        self.together.waits(self.pid);
    }

    /// It does so no longer; whether it was left alone till now.
    pub(crate) fn resumes(&self) -> bool {
        self.together.resumes(self.pid)
    }

    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "a worker cannot be ended");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.together.left(self.pid);
    }
}
