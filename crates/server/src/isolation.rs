//! Isolation: requests of unbounded cost are answered by worker processes.
//!
//! Only running a statement shows how much memory and time it takes, and a thread cannot be stopped. So
//! requests with a caller's own SQL go to a worker: this program again, which serves the same routes on an
//! inherited socket. A worker is killed when it exceeds the memory limit of a query, when all workers
//! together exceed their limit and it is the largest, when its answer is an error, when the caller
//! disconnects, and when it is not idle after its answer. Otherwise it is reused.

mod refresh_each;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rollbook_app::{AppError, segments};
use rollbook_model::{SegmentKey, TenantName};
use serde::Deserialize;
use tokio::task::AbortHandle;

use crate::access::notes::RequestNotes;
use crate::access::{Authorized, RIGHTS_HEADER, TENANT_HEADER, rights_header};
use crate::http::bodies::{self, MediaType, media_type};
use crate::http::extract::SEGMENTS_HEADER;
use crate::limits::Permit;
use crate::network::guarded_body::guarded;
use crate::problem::{Problem, busy};
use crate::state::Server;
use crate::workers::memory::MemoryExcess;
use crate::workers::pool::Workers;
use crate::workers::process::{Worker, WorkerFailure};
use refresh_each::{ALL, refresh_each};

/// The code of the problem for a worker that exceeded the memory limit.
const MEMORY_EXHAUSTED: &str = "memory_exhausted";
/// Headers that concern one connection only, or are negotiated again with the caller.
const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Middleware that forwards requests of unbounded cost to a worker, if there are workers.
pub(crate) async fn isolate(
    Authorized(server): Authorized,
    request: Request,
    next: Next,
) -> Response {
    let request = match with_statement_noted(&server, request).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let Some(workers) = server.workers().cloned() else {
        return next.run(request).await;
    };
    let answer = async {
        let (request, needs_worker) = inspect(&server, request).await?;
        if !needs_worker {
            return Ok(next.run(request).await);
        }
        if request.uri().path() == ALL && is_json(&request) {
            return refresh_all(&server, &workers, request).await;
        }
        let permit = server.compute_permit().await?;
        forward(&server, workers, permit, request).await
    };
    answer.await.unwrap_or_else(Problem::into_response)
}

/// Notes the SQL of a request, and the persons that it merges, for the record of it.
async fn with_statement_noted(server: &Server, request: Request) -> Result<Request, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let is_sql = matches!(
        (request.method().as_str(), route),
        (
            "POST",
            "/v1/sql" | "/v1/segments" | "/v1/segments/preview" | "/v1/segments/{key}/impact"
        ) | ("PUT", "/v1/segments/{key}")
    );
    let is_about =
        request.method() == Method::POST && matches!(route, "/v1/identity/merges" | "/v1/tenants");
    let notes = request.extensions().get::<RequestNotes>().cloned();
    let Some(notes) = notes.filter(|_| (is_sql || is_about) && is_json(&request)) else {
        return Ok(request);
    };
    let (parts, text) = read_json(server, request).await?;
    if let Ok(MergeOfBody { a, b }) = serde_json::from_str(&text) {
        notes.note_about(format!("persons {a} and {b}"));
    }
    if let Ok(TenantOfBody { tenant }) = serde_json::from_str(&text) {
        notes.note_about(format!("tenant {tenant}"));
    }
    if let Ok(SqlOfBody {
        query,
        criteria,
        key,
    }) = serde_json::from_str(&text)
        && let Some(statement) = query.or(criteria)
    {
        let key = key.and_then(|key| key.parse().ok());
        notes.note_statement(statement, key.map(|key: SegmentKey| key.to_string()));
    }
    Ok(Request::from_parts(parts, Body::from(text)))
}

/// Determines whether a request needs a worker.
async fn inspect(server: &Server, request: Request) -> Result<(Request, bool), Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str).to_owned();
    // HEAD computes the same as GET.
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        method => method,
    };
    let (has_criteria, has_saved) = match (method, route.as_str()) {
        ("POST", "/v1/sql" | "/v1/segments" | "/v1/segments/preview")
        | ("PUT", "/v1/segments/{key}") => (true, false),
        ("POST", "/v1/segments/{key}/impact") => (true, true),
        ("POST", "/v1/segments/refresh" | "/v1/segments/{key}/refresh")
        | (
            "GET",
            "/v1/segments/{key}/calendar"
            | "/v1/segments/{key}/near-miss"
            | "/v1/segments/{key}/explain/{person_id}",
        ) => (false, true),
        ("GET", "/v1/segments/{key}/members") => {
            let needs_worker = asks_for_custom_traits(request.uri());
            return Ok((request, needs_worker));
        }
        _ => return Ok((request, false)),
    };
    let (request, mut needs_worker) = match has_saved {
        true => needs_worker_for_saved(server, request).await,
        false => (request, false),
    };
    if !has_criteria || !is_json(&request) {
        return Ok((request, needs_worker));
    }
    let (parts, text) = read_json(server, request).await?;
    if let Ok(SqlOfBody {
        query, criteria, ..
    }) = serde_json::from_str(&text)
    {
        needs_worker |= query.is_some();
        if let Some(criteria) = criteria {
            let bounded = segments::have_bounded_cost(server.workspace(), &[&criteria]).await?;
            needs_worker |= bounded.contains(&false);
        }
    }
    Ok((Request::from_parts(parts, Body::from(text)), needs_worker))
}

/// Reads the JSON body of a request, decompressed and decoded.
async fn read_json(server: &Server, request: Request) -> Result<(Parts, String), Problem> {
    let (mut parts, body) = request.into_parts();
    let MediaType { charset, .. } = media_type(&parts.headers)?;
    let text = bodies::text(&parts.headers, body, charset, server.limits()).await?;
    for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    Ok((parts, text))
}

fn is_json(request: &Request) -> bool {
    media_type(request.headers()).is_ok_and(|ty| ty.name == "application/json")
}

/// Whether a request for members asks for custom traits, which are queries.
fn asks_for_custom_traits(uri: &Uri) -> bool {
    let params = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let params = params.map_or_else(|_| Vec::new(), |params| params.0);
    let mut fields = params.iter().filter(|(name, _)| name == "fields");
    fields.any(|(_, fields)| !segments::are_built_in_columns(fields))
}

/// The SQL of a body.
#[derive(Deserialize)]
struct SqlOfBody {
    query: Option<String>,
    criteria: Option<String>,
    /// The segment to create.
    key: Option<String>,
}

/// The persons in a body that merges them.
#[derive(Deserialize)]
struct MergeOfBody {
    a: u64,
    b: u64,
}

/// The tenant in a body that creates it.
#[derive(Deserialize)]
struct TenantOfBody {
    tenant: TenantName,
}

/// Whether the saved criteria that a request is about have an unbounded cost.
async fn needs_worker_for_saved(server: &Server, request: Request) -> (Request, bool) {
    let (mut parts, body) = request.into_parts();
    let named = RawPathParams::from_request_parts(&mut parts, server).await;
    let key = named.ok().and_then(|named| {
        let mut named = named.iter();
        named.find_map(|(name, value)| (name == "key").then(|| value.parse().ok())?)
    });
    // The handler reports errors.
    let bounded = segments::saved_has_bounded_cost(server.workspace(), key.as_ref()).await;
    let needs_worker = bounded.is_ok_and(|is_bounded| !is_bounded);
    (Request::from_parts(parts, body), needs_worker)
}

/// Refreshes all segments in one worker, and one by one if that exceeds its memory.
async fn refresh_all(
    server: &Server,
    workers: &Arc<Workers>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, text) = read_json(server, request).await?;
    parts.headers.remove(SEGMENTS_HEADER);
    let permit = server.compute_permit().await?;
    let request = Request::from_parts(parts, Body::from(text.clone()));
    match forward(server, Arc::clone(workers), permit, request).await {
        Err(problem) if problem.code == MEMORY_EXHAUSTED => {
            refresh_each(server, workers, &text).await
        }
        done => done,
    }
}

/// Refreshes a segment in a worker.
///
/// # Errors
/// The reason, for the log: no permit or worker was free in time, the worker exceeded its memory limit, or
/// its answer has another status than success.
pub(crate) async fn refresh(
    server: &Server,
    workers: &Arc<Workers>,
    key: &SegmentKey,
) -> Result<(), String> {
    let refreshed = async {
        let permit = server.compute_permit().await?;
        let request = Request::post(format!("/v1/segments/{key}/refresh"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"));
        let request = request.map_err(|_| Problem::internal())?;
        forward(server, Arc::clone(workers), permit, request).await
    };
    match refreshed.await {
        // The worker records failures of the segment itself.
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status())),
        Err(problem) if problem.code == MEMORY_EXHAUSTED => {
            let recorded =
                segments::record_memory_failure(server.workspace(), key, server.now()).await;
            let recorded = recorded.map_err(|error| error.without_values());
            recorded.and(Err(problem.detail))
        }
        // No permit or no worker: the next check tries again.
        Err(problem) => Err(problem.detail),
    }
}

/// Forwards a request to a worker, with the rights of the caller.
pub(crate) async fn forward(
    server: &Server,
    workers: Arc<Workers>,
    permit: Permit,
    mut request: Request,
) -> Result<Response, Problem> {
    for name in HOP_BY_HOP {
        request.headers_mut().remove(name);
    }
    let rights = rights_header(server.grant());
    request.headers_mut().insert(RIGHTS_HEADER, rights);
    let tenant = HeaderValue::from_str(server.tenant().as_str());
    let tenant = tenant.map_err(|_| Problem::internal())?;
    request.headers_mut().insert(TENANT_HEADER, tenant);
    let worker = workers.acquire(server.tenant()).await?;
    let pool = workers.pool();
    let mut active = ActiveWorker {
        worker: Some(worker),
        permit: Some(permit),
        workers,
        is_success: false,
        watch: None,
    };
    let worker = active.worker.as_mut().expect("it was put there");
    match worker.send(request).await {
        Ok(mut answer) => {
            for name in HOP_BY_HOP {
                answer.headers_mut().remove(name);
            }
            active.is_success = answer.status().is_success();
            active.watch = Some(worker.watch());
            Ok(answer.map(|body| guarded(body, active)))
        }
        Err(WorkerFailure::Memory(MemoryExcess::Total)) => Err(busy()),
        Err(WorkerFailure::Memory(MemoryExcess::Own)) => {
            Err(Problem::from(AppError::memory_exhausted(pool)))
        }
        Err(WorkerFailure::Ended(error)) => {
            tracing::error!(%error, "a worker exited without an answer");
            Err(Problem::internal())
        }
    }
}

/// An active worker with its compute permit, which is released once the worker is idle or dead.
struct ActiveWorker {
    worker: Option<Worker>,
    permit: Option<Permit>,
    workers: Arc<Workers>,
    /// Whether the answer is a success.
    is_success: bool,
    /// The task that watches its memory while the answer is sent.
    watch: Option<AbortHandle>,
}

impl Drop for ActiveWorker {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        let (Some(worker), permit) = (self.worker.take(), self.permit.take()) else {
            return;
        };
        let (workers, is_success) = (Arc::clone(&self.workers), self.is_success);
        tokio::spawn(async move {
            match is_success {
                true => workers.release(worker).await,
                false => worker.kill().await,
            }
            drop(permit);
            workers.keep_one_idle().await;
        });
    }
}
