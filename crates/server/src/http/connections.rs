//! Connections: their number, their timeouts, and what each holds until its answer is sent.
//!
//! An idle connection costs a file descriptor. Their number is limited: for one more, the connection that has
//! been idle longest is closed.

mod handshake;
mod shared;
mod timeout;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tower_http::normalize_path::NormalizePath;

use crate::limits::ServeLimits;
use crate::network::Peer;
use crate::network::guarded_body::guarded;
use crate::network::tls::Certificate;
use handshake::encrypted;
use shared::Shared;
use timeout::WriteTimeout;

/// What serves connections.
#[derive(Clone)]
pub(crate) struct Site {
    /// All routes.
    pub(crate) service: NormalizePath<Router>,
    /// `None` if connections are not encrypted.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Their limits.
    pub(crate) limits: ServeLimits,
}

/// Serves every connection until `stop` resolves, then until all running requests are answered.
pub(crate) async fn serve(mut listener: TcpListener, site: Site, stop: impl Future<Output = ()>) {
    let pool = Arc::new(ConnectionPool::new(site.limits.connections));
    let (stop_sender, stop_receiver) = watch::channel(false);
    let (all_ended, running) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, address) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = &mut stop => break,
        };
        if let Some(connection) = ConnectionPool::enter(&pool) {
            let answering = answer(
                stream,
                address.ip(),
                connection,
                site.clone(),
                stop_receiver.clone(),
            );
            let running = running.clone();
            tokio::spawn(async move {
                answering.await;
                drop(running);
            });
        }
    }
    drop((listener, running));
    // Sending fails if no connection is open.
    let _ = stop_sender.send(true);
    all_ended.closed().await;
}

/// Serves the requests of one connection, which is encrypted first if there is a certificate.
async fn answer(
    stream: TcpStream,
    address: IpAddr,
    connection: Connection,
    site: Site,
    mut stopping: watch::Receiver<bool>,
) {
    // Without TCP_NODELAY, the end of an answer waits for the acknowledgement of its beginning. Failure means
    // that the connection is closed, which is noticed below.
    let _ = stream.set_nodelay(true);
    let stream = Shared::new(stream);
    let timed = WriteTimeout::new(stream.clone(), site.limits.read_time);
    let peer = Peer {
        address,
        is_encrypted: site.certificate.is_some(),
    };
    let Some(certificate) = site.certificate.clone() else {
        return answer_over(timed, stream, peer, connection, site, stopping).await;
    };
    let closing = Arc::clone(&connection.closing);
    let encrypted = tokio::select! {
        encrypted = encrypted(&certificate, &stream, timed, &site.limits) => encrypted,
        () = closing.notified() => None,
        () = stream.disconnected() => None,
        _ = stopping.wait_for(|stops| *stops) => None,
    };
    if let Some(encrypted) = encrypted {
        answer_over(encrypted, stream, peer, connection, site, stopping).await;
    }
}

/// Serves the requests that come over a stream, which lies on a connection.
async fn answer_over(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stream: Shared,
    peer: Peer,
    connection: Connection,
    site: Site,
    mut stopping: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(site.service);
    let connection = Arc::new(connection);
    let closing = Arc::clone(&connection.closing);
    let each = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = Busy::on(Arc::clone(&connection));
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = service.call(request);
        async move {
            let answer = answer.await;
            answer.map(|response| response.map(|body| guarded(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(site.limits.head_time);
    let mut disconnected = pin!(stream.disconnected());
    let mut serving = pin!(http.serve_connection(TokioIo::new(io), each));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // The caller disconnected or timed out.
            _ = serving.as_mut() => break,
            () = closing.notified() => break,
            () = disconnected.as_mut() => break,
            _ = stopping.wait_for(|stops| *stops), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The open connections of a server.
struct ConnectionPool {
    max: usize,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    count: usize,
    next: u64,
    /// Idle connections, the longest idle first.
    idle: BTreeMap<u64, Arc<Notify>>,
}

impl ConnectionPool {
    fn new(max: usize) -> Self {
        let state = Mutex::default();
        Self { max, state }
    }

    fn with<T>(&self, edit: impl FnOnce(&mut PoolState) -> T) -> T {
        edit(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a connection, idle until its first request; `None` if all others are busy.
    fn enter(pool: &Arc<Self>) -> Option<Connection> {
        let closing = Arc::new(Notify::new());
        let idle_key = pool.with(|state| {
            if state.count >= pool.max {
                let (_, oldest) = state.idle.pop_first()?;
                oldest.notify_one();
            }
            state.count += 1;
            Some(state.set_idle(&closing))
        })?;
        Some(Connection {
            pool: Arc::clone(pool),
            closing,
            idle_key: Mutex::new(idle_key),
        })
    }
}

impl PoolState {
    fn set_idle(&mut self, closing: &Arc<Notify>) -> u64 {
        self.next += 1;
        self.idle.insert(self.next, Arc::clone(closing));
        self.next
    }
}

/// An open connection.
struct Connection {
    pool: Arc<ConnectionPool>,
    closing: Arc<Notify>,
    /// Its key among the idle connections.
    idle_key: Mutex<u64>,
}

impl Connection {
    fn with<T>(&self, edit: impl FnOnce(&mut PoolState, &mut u64) -> T) -> T {
        let mut idle_key = self.idle_key.lock().unwrap_or_else(PoisonError::into_inner);
        self.pool.with(|state| edit(state, &mut idle_key))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.with(|state, idle_key| {
            state.idle.remove(idle_key);
            state.count -= 1;
        });
    }
}

/// Marks a connection as busy until its answer is sent.
struct Busy(Arc<Connection>);

impl Busy {
    fn on(connection: Arc<Connection>) -> Self {
        connection.with(|state, idle_key| state.idle.remove(idle_key));
        Self(connection)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let closing = &self.0.closing;
        self.0
            .with(|state, idle_key| *idle_key = state.set_idle(closing));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Busy, ConnectionPool};

    #[tokio::test]
    async fn longest_idle_connection_is_closed() {
        let pool = Arc::new(ConnectionPool::new(2));
        let enter = || ConnectionPool::enter(&pool).map(Arc::new);
        let (first, second) = (enter().unwrap(), enter().unwrap());
        // The first one gets an answer: now the second has been idle longer.
        drop(Busy::on(Arc::clone(&first)));
        let third = enter().unwrap();
        for (one, is_closed) in [(&first, false), (&second, true), (&third, false)] {
            let closed = timeout(Duration::from_millis(10), one.closing.notified());
            assert_eq!(closed.await.is_ok(), is_closed);
        }
        drop(second);
        // Busy connections are not closed for new ones.
        let busy = [&first, &third].map(|one| Busy::on(Arc::clone(one)));
        assert!(enter().is_none());
        drop(busy);
        assert!(enter().is_some());
    }
}
