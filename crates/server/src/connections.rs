//! Connections: how many there are, how long they may keep silent, and which places they hold.
//!
//! A connection that nobody says anything on costs a file of the process. There are so many at
//! most; where one more comes, the one that has waited longest for its next request is closed.

mod patient;
mod shared;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::serve::Listener;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tower_http::normalize_path::NormalizePath;

use crate::limits::ServeLimits;
use patient::Patient;
use shared::Shared;

/// Answers on every connection until `stop` is there, and then until all that runs is answered.
pub(crate) async fn serve(
    mut listener: TcpListener,
    service: NormalizePath<Router>,
    limits: ServeLimits,
    stop: impl Future<Output = ()>,
) {
    let service = TowerToHyperService::new(service);
    let open = Arc::new(Open::new(limits.connections));
    let (stopping, hears) = watch::channel(false);
    let (ended, runs) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => stream,
            () = &mut stop => break,
        };
        if let Some(connection) = Open::enter(&open) {
            let answering = answer(stream, service.clone(), connection, limits, hears.clone());
            let runs = runs.clone();
            tokio::spawn(async move {
                answering.await;
                drop(runs);
            });
        }
    }
    drop((listener, runs));
    // Nobody hears it where no connection is open.
    let _ = stopping.send(true);
    ended.closed().await;
}

/// Answers one request after the other.
async fn answer(
    stream: TcpStream,
    service: TowerToHyperService<NormalizePath<Router>>,
    connection: Connection,
    limits: ServeLimits,
    mut stopping: watch::Receiver<bool>,
) {
    // The end of an answer waits for nothing: else a reader who confirms late gets it late. A
    // connection that is gone already is found out soon enough.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(connection);
    let closing = Arc::clone(&connection.closing);
    let each = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = Busy::on(Arc::clone(&connection));
        let request: Request = request.map(Body::new);
        let answer = service.call(request);
        async move {
            let answer = answer.await;
            answer.map(|response| response.map(|body| held(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time);
    let stream = Shared::new(stream);
    let io = TokioIo::new(Patient::new(stream.clone(), limits.read_time));
    let mut gone = pin!(stream.gone());
    let mut serving = pin!(http.serve_connection(io, each));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // Whoever it was has gone, or said nothing for too long: there is nobody to tell.
            _ = serving.as_mut() => break,
            () = closing.notified() => break,
            () = gone.as_mut() => break,
            _ = stopping.wait_for(|stops| *stops), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The connections of a server.
struct Open {
    most: usize,
    state: Mutex<OpenState>,
}

#[derive(Default)]
struct OpenState {
    count: usize,
    next: u64,
    /// Those that wait for a request, by how long they do.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Open {
    fn new(most: usize) -> Self {
        let state = Mutex::default();
        Self { most, state }
    }

    fn with<T>(&self, what: impl FnOnce(&mut OpenState) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more, which waits for its first request; none where all are being answered.
    fn enter(open: &Arc<Self>) -> Option<Connection> {
        let closing = Arc::new(Notify::new());
        let turn = open.with(|state| {
            if state.count >= open.most {
                let (_, oldest) = state.waiting.pop_first()?;
                oldest.notify_one();
            }
            state.count += 1;
            Some(state.wait(&closing))
        })?;
        Some(Connection {
            open: Arc::clone(open),
            closing,
            turn: Mutex::new(turn),
        })
    }
}

impl OpenState {
    fn wait(&mut self, closing: &Arc<Notify>) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, Arc::clone(closing));
        self.next
    }
}

/// One of them.
struct Connection {
    open: Arc<Open>,
    closing: Arc<Notify>,
    /// Under which number it waits, or did.
    turn: Mutex<u64>,
}

impl Connection {
    fn with<T>(&self, what: impl FnOnce(&mut OpenState, &mut u64) -> T) -> T {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.with(|state| what(state, &mut turn))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.with(|state, turn| {
            state.waiting.remove(turn);
            state.count -= 1;
        });
    }
}

/// A connection on which a request is being answered, until the answer is sent.
struct Busy(Arc<Connection>);

impl Busy {
    fn on(connection: Arc<Connection>) -> Self {
        connection.with(|state, turn| state.waiting.remove(turn));
        Self(connection)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let closing = &self.0.closing;
        self.0.with(|state, turn| *turn = state.wait(closing));
    }
}

/// A body that holds a place until it is sent, or whoever reads it goes away.
pub(crate) fn held<T: Send + Unpin + 'static>(body: Body, place: T) -> Body {
    let _place = place;
    Body::new(Held { body, _place })
}

struct Held<T> {
    body: Body,
    _place: T,
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Busy, Open};

    #[tokio::test]
    async fn longest_idle_connection_is_closed_first() {
        let open = Arc::new(Open::new(2));
        let enter = || Open::enter(&open).map(Arc::new);
        let (first, second) = (enter().unwrap(), enter().unwrap());
        // The first one asks something and has its answer: now the second has waited longer.
        drop(Busy::on(Arc::clone(&first)));
        let third = enter().unwrap();
        for (one, is_closed) in [(&first, false), (&second, true), (&third, false)] {
            let closed = timeout(Duration::from_millis(10), one.closing.notified());
            assert_eq!(closed.await.is_ok(), is_closed);
        }
        drop(second);
        // Who is being answered stays, whoever comes.
        let busy = [&first, &third].map(|one| Busy::on(Arc::clone(one)));
        assert!(enter().is_none());
        drop(busy);
        assert!(enter().is_some());
    }
}
