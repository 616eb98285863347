//! All segments computed again, where together they take more memory than one query may: those that
//! cost as much as can be told together, and each other one by itself, so that it fails by itself.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::segments;
use rollbook_model::SegmentKey;
use serde_json::{Value, json};

use super::{MEMORY_EXHAUSTED, ask};
use crate::extract::ONLY;
use crate::problem::Problem;
use crate::state::Server;
use crate::state::workers::Workers;

/// The route.
pub(super) const ALL: &str = "/v1/segments/refresh";
/// Bytes of what is said of one group of segments.
const MOST: usize = 64 << 20;

/// What became of each segment, as one answer. `text` is the body of the request.
pub(super) async fn refresh_each(
    server: &Server,
    workers: &Arc<Workers>,
    text: &str,
) -> Result<Response, Problem> {
    let all = segments::tameness(server.workspace()).await?.into_iter();
    let (tame, wild): (Vec<_>, Vec<_>) = all.partition(|(_, is_tame)| *is_tame);
    let keys = |some: Vec<(SegmentKey, bool)>| some.into_iter().map(|(key, _)| key);
    let tame: Vec<SegmentKey> = keys(tame).collect();
    let mut rows = Vec::new();
    if !tame.is_empty() {
        rows.extend(refresh_some(server, workers, &tame, text).await?);
    }
    for key in keys(wild) {
        match refresh_some(server, workers, std::slice::from_ref(&key), text).await {
            Ok(done) => rows.extend(done),
            Err(problem) => {
                if problem.code == MEMORY_EXHAUSTED {
                    segments::give_up(server.workspace(), &key, server.now()).await?;
                }
                let error = problem.detail;
                rows.push(json!({ "segment": key, "status": "failed", "error": error }));
            }
        }
    }
    rows.sort_by_cached_key(|row| row["segment"].to_string());
    Ok(Json(rows).into_response())
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
    request.headers_mut().insert(ONLY, keys);
    let turn = server.turn().await?;
    let answer = ask(Arc::clone(workers), turn, request).await?;
    let is_done = answer.status().is_success();
    let body = to_bytes(answer.into_body(), MOST).await;
    let body = body.map_err(|_| Problem::internal())?;
    let said: Value = serde_json::from_slice(&body).map_err(|_| Problem::internal())?;
    match said {
        Value::Array(rows) if is_done => Ok(rows),
        said => {
            let mut problem = Problem::internal();
            if let Some(detail) = said["detail"].as_str() {
                problem.detail = detail.to_owned();
            }
            Err(problem)
        }
    }
}
