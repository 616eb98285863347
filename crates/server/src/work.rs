//! A worker process: serves the requests of the server that started it.

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

use crate::router::routes_in_time;
use crate::state::{Options, Server};

/// Serves requests of the parent server on standard input, a socket, until it is closed.
///
/// # Errors
/// Standard input is not a connected socket, the connection fails, or the location of the lake is invalid.
pub async fn work(options: Options) -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let socket = Pair::from(socket);
    // Fails unless standard input is a connected socket.
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    let stream = TokioIo::new(UnixStream::from_std(socket)?);
    let server = Server::worker(options).map_err(io::Error::other)?;
    let service = TowerToHyperService::new(routes_in_time(server));
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let request: Request = request.map(Body::new);
        service.call(request)
    });
    let serving = http1::Builder::new().serve_connection(stream, answer);
    serving.await.map_err(io::Error::other)
}
