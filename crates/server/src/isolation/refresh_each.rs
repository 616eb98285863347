//! Refreshing all segments if together they exceed the memory limit of a query: those with a bounded cost in
//! one pass, each other one by itself, so that it alone fails.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::segments;
use rollbook_model::SegmentKey;
use serde_json::{Value, json};

use super::{MEMORY_EXHAUSTED, forward};
use crate::api::answers::{Outcome, typed};
use crate::http::extract::SEGMENTS_HEADER;
use crate::problem::Problem;
use crate::state::Server;
use crate::workers::pool::Workers;

/// The route that refreshes all segments.
pub(super) const ALL: &str = "/v1/segments/refresh";
/// Bytes of the answer for one group of segments at most.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Refreshes all segments in groups, and merges the outcomes into one answer. `text` is the request body.
pub(super) async fn refresh_each(
    server: &Server,
    workers: &Arc<Workers>,
    text: &str,
) -> Result<Response, Problem> {
    let all = segments::bounded_segments(server.workspace())
        .await?
        .into_iter();
    let (bounded, unbounded): (Vec<_>, Vec<_>) = all.partition(|(_, is_bounded)| *is_bounded);
    let keys = |some: Vec<(SegmentKey, bool)>| some.into_iter().map(|(key, _)| key);
    let bounded: Vec<SegmentKey> = keys(bounded).collect();
    let mut rows = Vec::new();
    if !bounded.is_empty() {
        rows.extend(refresh_some(server, workers, &bounded, text).await?);
    }
    for key in keys(unbounded) {
        match refresh_some(server, workers, std::slice::from_ref(&key), text).await {
            Ok(done) => rows.extend(done),
            Err(problem) => {
                if problem.code == MEMORY_EXHAUSTED {
                    segments::record_memory_failure(server.workspace(), &key, server.now()).await?;
                }
                let error = problem.detail;
                rows.push(json!({ "segment": key, "status": "failed", "error": error }));
            }
        }
    }
    rows.sort_by_cached_key(|row| row["segment"].to_string());
    let outcomes: Vec<Outcome> = typed(Value::Array(rows))?;
    Ok(Json(outcomes).into_response())
}

async fn refresh_some(
    server: &Server,
    workers: &Arc<Workers>,
    keys: &[SegmentKey],
    text: &str,
) -> Result<Vec<Value>, Problem> {
    let keys: Vec<&str> = keys.iter().map(SegmentKey::as_str).collect();
    let mut request = Request::new(Body::from(text.to_owned()));
    *request.method_mut() = axum::http::Method::POST;
    *request.uri_mut() = Uri::from_static(ALL);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let keys = HeaderValue::from_str(&keys.join(",")).map_err(|_| Problem::internal())?;
    request.headers_mut().insert(SEGMENTS_HEADER, keys);
    let permit = server.compute_permit().await?;
    let response = forward(server, Arc::clone(workers), permit, request).await?;
    let is_success = response.status().is_success();
    let body = to_bytes(response.into_body(), MAX_ANSWER_BYTES).await;
    let body = body.map_err(|_| Problem::internal())?;
    let answer: Value = serde_json::from_slice(&body).map_err(|_| Problem::internal())?;
    match answer {
        Value::Array(rows) if is_success => Ok(rows),
        answer => {
            let mut problem = Problem::internal();
            if let Some(detail) = answer["detail"].as_str() {
                problem.detail = detail.to_owned();
            }
            Err(problem)
        }
    }
}
