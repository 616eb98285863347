//! Questions in a caller's own SQL, which processes of their own answer.
//!
//! How much a statement makes out of little, and for how long it keeps a processor, only running it
//! tells; and a thread cannot be stopped. So such a question is handed on to a worker: this program
//! again, which answers it by the same routes, on a socket that it inherits. A worker is watched
//! while it works. It is killed when it takes more memory than queries may, when it takes most of
//! more than all may together, when its answer is no success, when the caller goes away, and when it does not rest after its answer; else it answers
//! the next question.

mod alone;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rollbook_app::{AppError, segments};
use rollbook_model::SegmentKey;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::bodies::{self, MediaType, media_type};
use crate::connections::held;
use crate::extract::ONLY;
use crate::problem::{Problem, busy};
use crate::state::Server;
use crate::state::together::TooMuch;
use crate::state::worker::{Failed, Worker};
use crate::state::workers::Workers;
use alone::{ALL, refresh_each};

/// What a worker is ended for, as the problem that tells so is called.
const MEMORY_EXHAUSTED: &str = "memory_exhausted";
/// What says something of one connection only, or is done again on the other one.
const OF_ONE_CONNECTION: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Hands questions in a caller's own SQL on, where there are workers.
pub(crate) async fn apart(State(server): State<Server>, request: Request, next: Next) -> Response {
    let Some(workers) = server.workers().cloned() else {
        return next.run(request).await;
    };
    let asked = async {
        let (request, is_wild) = looked_into(&server, request).await?;
        if !is_wild {
            return Ok(next.run(request).await);
        }
        if request.uri().path() == ALL && is_json(&request) {
            return refresh_all(&server, &workers, request).await;
        }
        let turn = server.turn().await?;
        ask(workers, turn, request).await
    };
    asked.await.unwrap_or_else(Problem::into_response)
}

/// A request, and whether it needs a process of its own.
async fn looked_into(server: &Server, request: Request) -> Result<(Request, bool), Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str).to_owned();
    // Who asks for the head alone has all of it computed.
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
            let is_wild = asks_for_own_traits(request.uri());
            return Ok((request, is_wild));
        }
        _ => return Ok((request, false)),
    };
    let (request, mut is_wild) = match has_saved {
        true => saved(server, request).await,
        false => (request, false),
    };
    if !has_criteria || !is_json(&request) {
        return Ok((request, is_wild));
    }
    let (parts, text) = in_memory(server, request).await?;
    if let Ok(Brought { query, criteria }) = serde_json::from_str(&text) {
        is_wild |= query.is_some();
        if let Some(criteria) = criteria {
            let tame = segments::are_tame(server.workspace(), &[&criteria]).await?;
            is_wild |= tame.contains(&false);
        }
    }
    Ok((Request::from_parts(parts, Body::from(text)), is_wild))
}

/// A request with a JSON body, and the body, unpacked and as text.
async fn in_memory(server: &Server, request: Request) -> Result<(Parts, String), Problem> {
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

/// Whether a request for members asks for traits of the tenant's own, which are queries.
fn asks_for_own_traits(uri: &Uri) -> bool {
    let asked = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let asked = asked.map_or_else(|_| Vec::new(), |asked| asked.0);
    let mut fields = asked.iter().filter(|(name, _)| name == "fields");
    fields.any(|(_, fields)| !segments::are_built_in(fields))
}

/// The SQL in a body.
#[derive(Deserialize)]
struct Brought {
    query: Option<String>,
    criteria: Option<String>,
}

/// A request, and whether criteria of the segments that it is about are not tame.
async fn saved(server: &Server, request: Request) -> (Request, bool) {
    let (mut parts, body) = request.into_parts();
    let named = RawPathParams::from_request_parts(&mut parts, server).await;
    let key = named.ok().and_then(|named| {
        let mut named = named.iter();
        named.find_map(|(name, value)| (name == "key").then(|| value.parse().ok())?)
    });
    // What is wrong is told by whoever answers.
    let is_tame = segments::is_saved_tame(server.workspace(), key.as_ref()).await;
    let is_wild = is_tame.is_ok_and(|is_tame| !is_tame);
    (Request::from_parts(parts, body), is_wild)
}

/// Computes all segments, some of which are not tame: in one pass, where that can be.
async fn refresh_all(
    server: &Server,
    workers: &Arc<Workers>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, text) = in_memory(server, request).await?;
    parts.headers.remove(ONLY);
    let turn = server.turn().await?;
    let request = Request::from_parts(parts, Body::from(text.clone()));
    match ask(Arc::clone(workers), turn, request).await {
        Err(problem) if problem.code == MEMORY_EXHAUSTED => {
            refresh_each(server, workers, &text).await
        }
        done => done,
    }
}

/// Computes a segment whose criteria are not tame.
pub(crate) async fn refresh(
    server: &Server,
    workers: &Arc<Workers>,
    key: &SegmentKey,
) -> Result<(), String> {
    let refreshed = async {
        let turn = server.turn().await?;
        let request = Request::post(format!("/v1/segments/{key}/refresh"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"));
        let request = request.map_err(|_| Problem::internal())?;
        ask(Arc::clone(workers), turn, request).await
    };
    match refreshed.await {
        // What failed there is recorded there.
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status())),
        Err(problem) if problem.code == MEMORY_EXHAUSTED => {
            let given_up = segments::give_up(server.workspace(), key, server.now()).await;
            let recorded = given_up.map_err(|error| error.without_values());
            recorded.and(Err(problem.detail))
        }
        // It was not its turn, or there was no worker: the next look tries again.
        Err(problem) => Err(problem.detail),
    }
}

async fn ask(
    workers: Arc<Workers>,
    turn: OwnedSemaphorePermit,
    mut request: Request,
) -> Result<Response, Problem> {
    for name in OF_ONE_CONNECTION {
        request.headers_mut().remove(name);
    }
    let worker = workers.enter().await?;
    let pool = workers.pool();
    let mut in_use = InUse {
        worker: Some(worker),
        turn: Some(turn),
        workers,
        is_done: false,
        watch: None,
    };
    let worker = in_use.worker.as_mut().expect("it was put there");
    match worker.ask(request).await {
        Ok(mut answer) => {
            for name in OF_ONE_CONNECTION {
                answer.headers_mut().remove(name);
            }
            in_use.is_done = answer.status().is_success();
            in_use.watch = Some(worker.watch());
            Ok(answer.map(|body| held(body, in_use)))
        }
        Err(Failed::Memory(TooMuch::Together)) => Err(busy()),
        Err(Failed::Memory(TooMuch::Alone)) => Err(Problem::from(AppError::memory_exhausted(pool))),
        Err(Failed::Ended(error)) => {
            tracing::error!(%error, "a worker ended without an answer");
            Err(Problem::internal())
        }
    }
}

/// A worker that answers, and a turn to compute, which ends once it rests or is dead.
struct InUse {
    worker: Option<Worker>,
    turn: Option<OwnedSemaphorePermit>,
    workers: Arc<Workers>,
    /// Whether the answer is what was asked for.
    is_done: bool,
    /// Who looks at its memory while the answer is sent.
    watch: Option<AbortHandle>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        let (Some(worker), turn) = (self.worker.take(), self.turn.take()) else {
            return;
        };
        let (workers, is_done) = (Arc::clone(&self.workers), self.is_done);
        tokio::spawn(async move {
            match is_done {
                true => workers.give_back(worker).await,
                false => worker.kill().await,
            }
            drop(turn);
            workers.have_one().await;
        });
    }
}
