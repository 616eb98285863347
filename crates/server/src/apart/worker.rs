//! One worker: how it is started, asked, watched and ended; and what it does itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rollbook_app::usage::{LOOK, Watched};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::Program;
use crate::server::{Options, Server};

/// In which time a worker is ready for the next question.
const READY: Duration = Duration::from_secs(1);
/// For how long it is looked at whether it rests, and how much it may do meanwhile: one tick of
/// the clock by which systems count that.
const RESTS: Duration = Duration::from_millis(30);
const TICK: Duration = Duration::from_millis(10);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The worker took too much memory.
    Memory,
    /// It ended, or the connection to it did.
    Ended(hyper::Error),
}

/// A process that answers one question at a time. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    sender: SendRequest<Body>,
    watched: Watched,
}

impl Worker {
    pub(super) async fn start(program: &Program) -> io::Result<Self> {
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

    pub(super) fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Hands a request on, and watches that the worker has at most so many bytes in memory until
    /// its answer begins.
    pub(super) async fn ask(&mut self, request: Request, most: u64) -> Result<Response, Failed> {
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

    /// Whether it has sent its answer, does nothing any more, and has at most so many bytes in
    /// memory.
    pub(super) async fn rests(&mut self, most: u64) -> bool {
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

    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "a worker cannot be ended");
        }
    }
}

/// Answers the questions of the server that started this process, until it closes the socket.
///
/// # Errors
/// Standard input is no socket of a server's.
pub async fn work(options: Options) -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let socket = Pair::from(socket);
    // Only a socket has another end.
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    let stream = TokioIo::new(UnixStream::from_std(socket)?);
    let service = TowerToHyperService::new(crate::answering(Server::new(options)));
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let request: Request = request.map(Body::new);
        service.call(request)
    });
    let serving = http1::Builder::new().serve_connection(stream, answer);
    serving.await.map_err(io::Error::other)
}
