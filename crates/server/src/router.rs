//! The router: all routes with their middleware.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::api::document;
use crate::http::{client, etag, middleware, reservations};
use crate::network::ProxyNetwork;
use crate::problem::Problem;
use crate::state::Server;
use crate::{access, isolation, routes};
use rollbook_app::rows::export::ExportFormat;

/// Minimum size in bytes of an answer to be compressed: less fits into one packet anyway.
const MIN_COMPRESSED_BYTES: u16 = 1024;

/// All routes, with the check of rights, isolation, timeout and panic handling: what a worker serves.
pub(crate) fn routes_in_time(server: Server) -> Router {
    let (routes, described) = routes::all().split_for_parts();
    let document = Json(document::text(&described));
    routes
        .route("/openapi.json", get(move || async move { document }))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(
            server.clone(),
            reservations::reserve_answer,
        ))
        .layer(from_fn_with_state(server.clone(), isolation::isolate))
        .layer(from_fn_with_state(
            server.clone(),
            reservations::reserve_body,
        ))
        .layer(from_fn_with_state(server.clone(), access::record_begun))
        .layer(from_fn_with_state(server.clone(), access::check))
        .layer(from_fn_with_state(server.clone(), middleware::in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(server)
}

/// All routes with all middleware: what the server serves, directly or behind these proxies.
pub(crate) fn router(server: Server, proxies: Arc<[ProxyNetwork]>) -> Router {
    let permits = Arc::new(Semaphore::new(server.limits().requests));
    routes_in_time(server.clone())
        .layer(from_fn_with_state(permits, middleware::limit_requests))
        .layer(from_fn(middleware::refuse_cross_site))
        .layer(from_fn_with_state(
            server.clone(),
            middleware::require_local_host,
        ))
        .layer(from_fn_with_state(server.clone(), access::audit))
        .layer(compression())
        .layer(map_response(etag::weaken_if_compressed))
        .layer(from_fn_with_state(server, middleware::observe))
        .layer(from_fn_with_state(proxies, client::identify_client))
}

/// Compresses answers for callers who accept it, except short ones and formats that are compressed already.
fn compression() -> CompressionLayer<impl Predicate> {
    let is_worthwhile = SizeAbove::new(MIN_COMPRESSED_BYTES)
        .and(NotForContentType::const_new(
            ExportFormat::Arrow.media_type(),
        ))
        .and(NotForContentType::const_new(
            ExportFormat::Parquet.media_type(),
        ));
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(is_worthwhile)
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
    Problem::no_method()
}

fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests;
