//! Middleware: host check, cross-site check, request limit, request log, timeout.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::access::notes::RequestNotes;
use crate::answered::ANSWERED_HEADER;
use crate::network::Transport;
use crate::network::guarded_body::guarded;
use crate::problem::{CODE_HEADER, Problem, busy};
use crate::request_id::{REQUEST_ID, RequestId, method_name};
use crate::state::Server;

/// Assigns each request an id, counts it and logs it. Paths and queries are not logged: they may hold personal
/// values.
pub(crate) async fn observe(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let RequestId(id) = RequestId::of(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = method_name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let notes = RequestNotes::default();
    request.extensions_mut().insert(notes.clone());
    let mut pending = PendingRequest::new(&server, &id, method, &route, &notes);
    let span = tracing::info_span!("request", request_id = %id);
    let mut response = {
        use tracing::Instrument;
        next.run(request).instrument(span).await
    };
    pending.is_answered = true;
    drop(pending);
    // Not for the caller.
    response.headers_mut().remove(ANSWERED_HEADER);
    let status = response.status().as_u16();
    let took = started.elapsed();
    let code = response.headers_mut().remove(CODE_HEADER);
    if let Some(code) = code.as_ref().and_then(|code| code.to_str().ok()) {
        server.metrics().failed(code);
    }
    server.metrics().answered(method, &route, status, took);
    let milliseconds = took.as_secs_f64() * 1000.0;
    let key = notes.caller();
    tracing::info!(request_id = %id, %method, %route, %key, status, milliseconds, "answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A request that is not answered yet. It is dropped early if the caller disconnects.
struct PendingRequest<'a> {
    server: &'a Server,
    id: &'a str,
    method: &'a str,
    route: &'a str,
    notes: &'a RequestNotes,
    is_answered: bool,
}

impl<'a> PendingRequest<'a> {
    fn new(
        server: &'a Server,
        id: &'a str,
        method: &'a str,
        route: &'a str,
        notes: &'a RequestNotes,
    ) -> Self {
        server.metrics().in_flight.inc();
        Self {
            server,
            id,
            method,
            route,
            notes,
            is_answered: false,
        }
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.server.metrics().in_flight.dec();
        if !self.is_answered {
            let Self {
                id, method, route, ..
            } = self;
            let key = self.notes.caller();
            tracing::info!(request_id = %id, %method, %route, %key, "caller disconnected");
        }
    }
}

/// Refuses hosts other than names of this machine, against DNS rebinding: a foreign page whose host name
/// resolves to this machine must not read the lake through a user's browser. With API keys any host is answered:
/// such a page has no key.
pub(crate) async fn require_local_host(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    match host_of(&request) {
        Ok(host) if is_local(host) || server.needs_key().await => next.run(request).await,
        Ok(_) => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "foreign_host",
            "this server only answers requests for hosts of this machine",
        )
        .hint("use `localhost` or `127.0.0.1`")
        .into_response(),
        Err(detail) => Problem::malformed("invalid_host", detail)
            .hint("send one `host` header")
            .into_response(),
    }
}

/// Refuses requests that a browser marks as made by a page of another site. Other programs send no such
/// headers.
pub(crate) async fn refuse_cross_site(request: Request, next: Next) -> Response {
    match is_same_site(&request) {
        true => next.run(request).await,
        false => Problem::cross_site().into_response(),
    }
}

/// Whether the headers `sec-fetch-site` and `origin` (Fetch standard) are absent or name this server.
fn is_same_site(request: &Request) -> bool {
    let values = |name: &str| {
        let values = request.headers().get_all(name).into_iter();
        values.map(HeaderValue::as_bytes)
    };
    let is_own = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    let host = host_of(request).unwrap_or_default();
    let transport = request.extensions().get::<Transport>();
    let scheme: &[u8] = match transport.is_some_and(|transport| transport.is_https()) {
        true => b"https://",
        false => b"http://",
    };
    let is_here = |origin: &[u8]| {
        let authority = origin.strip_prefix(scheme);
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
    };
    values("sec-fetch-site").all(is_own) && values("origin").all(is_here)
}

/// The host of a request: the authority of its target, else its `host` header (RFC 9112, 3.2).
fn host_of(request: &Request) -> Result<&str, &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let host = hosts.next().map(|host| host.to_str());
    if hosts.next().is_some() {
        return Err("the request has several `host` headers");
    }
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str());
    }
    match host {
        Some(Ok(host)) => Ok(host),
        Some(Err(_)) => Err("the `host` header is not ASCII text"),
        None if request.version() == Version::HTTP_10 => Ok(""),
        None => Err("the request has no `host` header"),
    }
}

/// Refuses requests while too many are running or queued.
pub(crate) async fn limit_requests(
    State(permits): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    match permits.try_acquire_owned() {
        // The permit is held until the answer is read.
        Ok(permit) => next.run(request).await.map(|body| guarded(body, permit)),
        Err(_) => busy().into_response(),
    }
}

/// Cancels requests whose answer does not begin in time.
pub(crate) async fn in_time(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    let limit = server.limits().answer_time;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "too_slow",
            format!("there was no answer within {} s", limit.as_secs()),
        )
        .hint("request less")
        .into_response(),
    }
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_loopback_hosts_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.8.8.8",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com:80",
            "10.0.0.1",
            "[::2]:80",
            "localhost@example.com",
            "example.com@localhost",
            "localhost, example.com",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
