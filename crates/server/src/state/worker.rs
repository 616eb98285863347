//! One worker: how it is started, asked, watched and ended.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::PathBuf;
use std::process::Stdio;
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
    /// The worker took too much memory.
    Memory,
    /// It ended, or the connection to it did.
    Ended(hyper::Error),
}

/// A process that answers one question at a time. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    sender: SendRequest<Body>,
    watched: Watched,
}

impl Worker {
    pub(crate) async fn start(program: &Program) -> io::Result<Self> {
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
            watched: Watched::process(pid),
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Hands a request on, and watches that the worker has at most so many bytes in memory until
    /// its answer begins.
    pub(crate) async fn ask(&mut self, request: Request, most: u64) -> Result<Response, Failed> {
        let watched = &mut self.watched;
        let too_much = async {
            loop {
                sleep(LOOK).await;
                if watched.look().is_some_and(|usage| usage.resident > most) {
                    return;
                }
            }
        };
        tokio::select! {
            answer = self.sender.send_request(request) => match answer {
                Ok(answer) => Ok(answer.map(Body::new)),
                Err(error) => Err(Failed::Ended(error)),
            },
            () = too_much => Err(Failed::Memory),
        }
    }

    /// Ends it when it has more than so many bytes in memory, until the task is aborted: what is made
    /// while an answer is sent counts too.
    pub(crate) fn watch(&self, most: u64) -> Option<AbortHandle> {
        let mut watched = Watched::process(self.child.id()?);
        let watching = tokio::spawn(async move {
            while let Some(usage) = watched.look() {
                if usage.resident > most {
                    tracing::warn!(
                        bytes = usage.resident,
                        "a worker took too much while it answered"
                    );
                    return watched.kill();
                }
                sleep(LOOK).await;
            }
        });
        Some(watching.abort_handle())
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
        let after = self.watched.look();
        after.is_some_and(|after| after.busy - before.busy <= TICK && after.resident <= most)
    }

    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "a worker cannot be ended");
        }
    }
}
