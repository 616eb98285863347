//! Middleware that reserves the memory of long bodies: of JSON until it is answered, and of answers until they are sent,
//! since callers may send and read slowly. Rows to ingest are written to files.

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::bodies::media_type;
use crate::http::sliced_body::sliced;
use crate::network::guarded_body::guarded;
use crate::problem::memory_in_use;
use crate::state::Server;

/// Shorter bodies do not count.
const MIN_BYTES: u64 = 64 << 10;
/// How many times a JSON body is in memory: as text and as values.
const COPIES: u64 = 2;

/// Reserves the memory of a JSON body; the request is refused if that is not left.
pub(crate) async fn reserve_body(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    let is_json = media_type(request.headers()).is_ok_and(|ty| ty.name == "application/json");
    let size = request.body().size_hint();
    let max = server.limits().json_bytes as u64;
    let bytes = match size.upper() {
        _ if !is_json => 0,
        Some(bytes) => bytes.min(max),
        None => max,
    };
    if bytes < MIN_BYTES {
        return next.run(request).await;
    }
    let mut reservation = server.workspace().reservation();
    match reservation.try_resize(usize::try_from(COPIES * bytes).unwrap_or(usize::MAX)) {
        true => next.run(request).await,
        false => memory_in_use().into_response(),
    }
}

/// Reserves the memory of an answer. One that only reads is refused if that is not left.
pub(crate) async fn reserve_answer(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    // The parts of a stream are reserved by what makes them.
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    if bytes < MIN_BYTES {
        return response;
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut reservation = server.workspace().reservation();
    if !reservation.try_resize(bytes) {
        if is_read {
            return memory_in_use().into_response();
        }
        reservation.resize(bytes);
    }
    response.map(|body| sliced(guarded(body, reservation)))
}
