//! What a worker does: it answers what the server that started it asks.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Pair;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;

use crate::state::{Options, Server};

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
