//! HTTP in, use-case, HTTP out.

mod accept;
mod answers;
mod apart;
mod bodies;
mod connections;
mod document;
mod etag;
mod extract;
mod journal;
mod limits;
mod metrics;
mod middleware;
mod next_step;
mod posts;
mod problem;
mod refreshing;
mod routes;
mod scalars;
mod state;
mod work;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rollbook_app::export::Form;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::normalize_path::NormalizePath;

pub use limits::ServeLimits;
use problem::Problem;
pub use state::Options;
use state::Server;
pub use state::worker::Program;
pub use work::work;

/// Bytes of an answer from which on it is packed: less than that is one packet anyway.
const PACKED_BYTES: u16 = 1024;

/// Why a server could not be started, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is open to others, who would need keys that do not exist yet.
    #[error(
        "`{address}` can be reached from other machines, and there are no keys for callers yet: listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server that has its address and does not answer yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Takes the address; only those of this machine, until callers have keys.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`], [`ServeError::Listen`].
    pub async fn on(address: SocketAddr) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback { address });
        }
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is there; running requests are then finished for a while.
    pub async fn serve(self, options: Options, stop: impl Future<Output = ()> + Send + 'static) {
        let farewell = options.limits.farewell;
        let (told, hears) = tokio::sync::oneshot::channel();
        let stopping = async move {
            stop.await;
            // Nobody hears it where the server has failed already.
            let _ = told.send(());
        };
        let server = Server::new(options);
        let folding = tokio::spawn(journal::keep_folding(server.clone()));
        let refreshing = tokio::spawn(refreshing::keep_refreshing(server.clone()));
        if let Some(workers) = server.workers().cloned() {
            tokio::spawn(async move { workers.have_one().await });
        }
        let limits = *server.limits();
        let service = NormalizePath::trim_trailing_slash(router(server));
        let serving = connections::serve(self.listener, service, limits, stopping);
        let waiting = async move {
            match hears.await {
                Ok(()) => tokio::time::sleep(farewell).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = serving => {},
            () = waiting => {},
        }
        // What still waits in the journal is durable, and folded by the next one who serves.
        folding.abort();
        refreshing.abort();
    }
}

/// Every route, within its time.
fn answering(server: Server) -> Router {
    let (routes, described) = routes::all().split_for_parts();
    let document = Json(document::whole(&described));
    routes
        .route("/openapi.json", get(move || async move { document }))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(server.clone(), apart::apart))
        .layer(from_fn_with_state(server.clone(), middleware::in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(server)
}

/// Every route behind its guards.
fn router(server: Server) -> Router {
    let room = Arc::new(Semaphore::new(server.limits().requests));
    answering(server.clone())
        .layer(from_fn_with_state(room, middleware::not_too_many))
        .layer(from_fn(middleware::own_pages))
        .layer(from_fn(middleware::local_host))
        .layer(packed())
        .layer(map_response(etag::weak_where_packed))
        .layer(from_fn_with_state(server, middleware::observe))
}

/// Packs answers for callers who accept that, unless they are short, or packed in themselves.
fn packed() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(PACKED_BYTES)
        .and(NotForContentType::const_new(Form::Arrow.media_type()))
        .and(NotForContentType::const_new(Form::Parquet.media_type()));
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it)
}

async fn no_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_route",
        "there is no such route",
    )
    .hint("`GET /openapi.json` lists them all")
}

async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this route does not know this method",
    )
    .hint("`GET /openapi.json` lists them all")
}

fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request panicked");
    Problem::internal().into_response()
}
