//! The record of each request: who did what, when and from where.

use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rollbook_app::access::{KeyPrefix, Right};
use rollbook_app::audit::{Act, AuditLog, Caller};
use rollbook_model::{SegmentKey, TenantName};
use uuid::Uuid;

use super::notes::{Pending, RequestNotes};
use super::route_rights::{Needs, needs};
use crate::answered::{ANSWERED_HEADER, Answered};
use crate::network::ClientAddress;
use crate::problem::{CODE_HEADER, Problem};
use crate::request_id::{RequestId, method_name};
use crate::state::Server;

/// The result of a request whose caller did not wait for its answer.
const DISCONNECTED: &str = "disconnected";

/// Names of columns in a record at most.
const MAX_COLUMNS: usize = 100;
/// The act of a server that stops.
const STOP: &str = "the server stopped";

/// Middleware that records requests before their answers leave: those that read ids of persons or personal values,
/// change something or run SQL, and all refusals. In a lake without keys nothing is recorded, since nobody could be
/// named.
pub(crate) async fn audit(State(server): State<Server>, request: Request, next: Next) -> Response {
    let Some(log) = server.audit_log() else {
        return next.run(request).await;
    };
    if !server.needs_key().await {
        return next.run(request).await;
    }
    let (mut pending, request) = PendingAct::of(&server, log, request).await;
    if is_recorded(pending.needs)
        && let Err(error) = log.ready().await
    {
        // Nothing is done that could not be recorded.
        pending.act = None;
        return Problem::from(error).into_response();
    }
    let mut response = next.run(request).await;
    let answered = Answered::take(response.headers_mut());
    if let Some(act) = pending.finished(&response, &answered) {
        let statement = pending.notes.noted().statement;
        let act = log.with_statement(act, statement.as_deref()).await;
        if let Err(error) = log.record(act).await {
            return Problem::from(error).into_response();
        }
    }
    response
}

/// Ends the record of requests when the server stops: refusals that were only counted are recorded as one act, and all
/// of it is sealed.
pub(crate) async fn end(server: &Server) {
    let Some(log) = server.audit_log() else {
        return;
    };
    if let Some(unlisted) = server.refusals().take_unlisted() {
        let mut act = Act::done(server.now(), Caller::Unknown, STOP.to_owned());
        act.unlisted = Some(unlisted);
        if let Err(error) = log.record(act).await {
            tracing::error!(%error, unlisted, "refusals were not recorded");
        }
    }
    log.stop().await;
}

/// Whether requests of a route are recorded when they succeed.
fn is_recorded(needs: Option<Needs>) -> bool {
    match needs {
        Some(Needs::Rights(rights)) => {
            let is_open = |right: &Right| matches!(right, Right::Read | Right::Metrics);
            // Without any right it is about the caller: a session begins or ends.
            rights.is_empty() || !rights.iter().all(is_open)
        }
        Some(Needs::NoKey) | None => false,
    }
}

/// A number in a path, without anything that is none.
fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The columns of persons that a request for members asks for; a text that cannot be a name is left out.
fn asked_columns(route: &str, uri: &Uri) -> Option<String> {
    if route != "/v1/segments/{key}/members" {
        return None;
    }
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let (_, fields) = pairs.into_iter().find(|(name, _)| name == "fields")?;
    let is_name = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (1..=64).contains(&text.len()) && text.chars().all(is_plain)
    };
    let names = fields.split(',').map(str::trim).take(MAX_COLUMNS);
    let names = names.map(|name| if is_name(name) { name } else { "?" });
    Some(names.collect::<Vec<_>>().join(","))
}

/// A request that is not answered yet.
struct PendingAct<'a> {
    server: &'a Server,
    log: &'a AuditLog,
    notes: RequestNotes,
    /// What the route needs.
    needs: Option<Needs>,
    act: Option<Act>,
}

impl<'a> PendingAct<'a> {
    async fn of(server: &'a Server, log: &'a AuditLog, request: Request) -> (Self, Request) {
        let (mut parts, body) = request.into_parts();
        let route = parts.extensions.get::<MatchedPath>().cloned();
        let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
        let method = method_name(&parts.method);
        let name = format!("{method} {route}");
        let needs = needs(if method == "HEAD" { "GET" } else { method }, route);
        let mut act = Act::done(server.now(), Caller::Unknown, name);
        act.from = parts
            .extensions
            .get()
            .map(|ClientAddress(address)| *address);
        act.request_id = parts.extensions.get().map(|RequestId(id)| id.clone());
        if let Ok(params) = RawPathParams::from_request_parts(&mut parts, server).await {
            for (name, value) in &params {
                match name {
                    "key" => {
                        act.segment = value.parse().ok().map(|key: SegmentKey| key.to_string())
                    }
                    "person_id" => act.person_id = value.parse().ok(),
                    "tenant" => {
                        let tenant = value.parse().ok();
                        act.about = tenant.map(|tenant: TenantName| format!("tenant {tenant}"));
                    }
                    "identity_id" => act.about = number(value).map(|id| format!("review {id}")),
                    "entry" => {
                        act.about = value
                            .parse()
                            .ok()
                            .map(|entry: Uuid| format!("decision {entry}"));
                    }
                    "prefix" => act.key = value.parse().ok().map(|key: KeyPrefix| key.to_string()),
                    _ => {}
                }
            }
        }
        act.columns = asked_columns(route, &parts.uri);
        let notes = parts.extensions.get::<RequestNotes>().cloned();
        let notes = notes.unwrap_or_default();
        let pending = act.clone();
        notes.note(|noted| {
            noted.pending = Some(Pending {
                act: pending,
                needs,
            });
        });
        parts.extensions.insert(notes.clone());
        parts.headers.remove(ANSWERED_HEADER);
        let pending = Self {
            server,
            log,
            notes,
            needs,
            act: Some(act),
        };
        (pending, Request::from_parts(parts, body))
    }

    /// The act, now that the answer is known; `None` if it need not be recorded.
    fn finished(&mut self, response: &Response, answered: &Answered) -> Option<Act> {
        let mut act = self.with_caller()?;
        let status = response.status();
        let code = response.headers().get(CODE_HEADER);
        let code = code.and_then(|code| code.to_str().ok());
        let is_refusal = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        ) || code == Some("unknown_tenant");
        if !is_refusal && !is_recorded(self.needs) {
            return None;
        }
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            act.result = code.unwrap_or(status.as_str()).to_owned();
        }
        act.rows = answered.rows;
        act.segment = act.segment.or_else(|| answered.segment.clone());
        act.key = act.key.or_else(|| answered.key.clone());
        let is_flood = status == StatusCode::TOO_MANY_REQUESTS || act.caller == Caller::Unknown;
        if is_flood {
            act.unlisted = self.server.refusals().list()?;
        }
        Some(act)
    }

    fn with_caller(&mut self) -> Option<Act> {
        let mut act = self.act.take()?;
        let noted = self.notes.noted();
        act.caller = Caller::of(noted.grant.as_ref());
        act.tenant = noted.tenant;
        act.segment = act.segment.or(noted.segment);
        act.about = act.about.or(noted.about);
        Some(act)
    }
}

impl Drop for PendingAct<'_> {
    /// The caller hung up: what they asked for may have been done.
    fn drop(&mut self) {
        if is_recorded(self.needs)
            && let Some(mut act) = self.with_caller()
        {
            act.result = DISCONNECTED.to_owned();
            let (log, statement) = (self.log.clone(), self.notes.noted().statement);
            tokio::spawn(async move {
                log.note(log.with_statement(act, statement.as_deref()).await);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use rollbook_app::access::Right;

    use super::{asked_columns, is_recorded};
    use crate::access::route_rights::{Needs, ROUTES};

    #[test]
    fn columns_are_recorded_by_name_only() {
        let route = "/v1/segments/{key}/members";
        let uri = |query: &str| format!("/v1/segments/a/members?{query}").parse().unwrap();
        let asked = |query: &str| asked_columns(route, &uri(query));
        assert_eq!(
            asked("limit=3&fields=email,%20first_name").as_deref(),
            Some("email,first_name")
        );
        assert_eq!(
            asked("fields=ann%40example.com,city").as_deref(),
            Some("?,city")
        );
        assert_eq!(asked("limit=3"), None);
        assert_eq!(
            asked_columns("/v1/scores/{kind}", &uri("fields=email")),
            None
        );
    }

    #[test]
    fn reads_of_persons_and_changes_are_recorded() {
        assert!(!is_recorded(None));
        assert!(!is_recorded(Some(Needs::NoKey)));
        let recorded = |path: &str, method: &str| {
            let route = ROUTES
                .iter()
                .find(|(of, route, ..)| *of == method && *route == path);
            is_recorded(route.map(|(_, _, needs, _)| *needs))
        };
        for (method, path) in [
            ("GET", "/v1/segments/{key}/members"),
            ("GET", "/v1/persons/{person_id}"),
            ("DELETE", "/v1/persons/{person_id}"),
            ("POST", "/v1/sql"),
            ("POST", "/v1/keys"),
            ("POST", "/v1/ingest/{provider}/{source}"),
        ] {
            assert!(recorded(path, method), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/v1/segments"),
            ("GET", "/metrics"),
            ("GET", "/healthz"),
        ] {
            assert!(!recorded(path, method), "{method} {path}");
        }
        assert!(is_recorded(Some(Needs::Rights(&[Right::Read, Right::Pii]))));
    }
}
