//! The check of every request: caller, tenant, rights.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rollbook_app::access::{Authenticator, Bounds, Caller, Grant, Right, Rights};
use rollbook_app::{AppError, ErrorClass};

use super::authorized::Authorized;
use super::credentials::Credentials;
use super::limited::{self, Call};
use super::notes::RequestNotes;
use super::route_rights::{Needs, is_for_bound_keys, is_of_no_tenant, methods, needs};
use crate::network::Transport;
use crate::problem::Problem;
use crate::state::Server;

/// Header in which the server tells a worker the rights of the caller. Those of outside requests are removed.
pub(crate) const RIGHTS_HEADER: HeaderName = HeaderName::from_static("x-rollbook-rights");
/// Header in which callers name a tenant.
pub(crate) const TENANT_HEADER: HeaderName = HeaderName::from_static("x-rollbook-tenant");

/// Header with the size of the write-ahead log that answers do not reflect yet.
const JOURNAL_AHEAD: HeaderName = HeaderName::from_static("x-journal-ahead");

/// The route that is answered without any limit.
const ALIVE: &str = "/healthz";

/// Middleware that refuses requests which their caller may not make, and attaches the grant of the caller to the
/// others. Runs after routing and before anything of the body is read.
pub(crate) async fn check(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    // HEAD is answered as GET without its body.
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        method => method,
    };
    let needed = route.and_then(|route| needs(method, route));
    let is_for_bound = route.is_some_and(|route| is_for_bound_keys(method, route));
    let notes = request
        .extensions()
        .get::<RequestNotes>()
        .cloned()
        .unwrap_or_default();
    if needed == Some(Needs::NoKey) {
        return answer_open(&server, route, request, next).await;
    }
    if request.extensions().get() == Some(&Transport::Exposed) {
        return Problem::not_encrypted().into_response();
    }
    let credentials = Credentials::take(request.headers_mut());
    if matches!(credentials, Credentials::Session(_)) && is_of_unknown_page(&request) {
        return Problem::cross_site().into_response();
    }
    let grant = match caller(&server, credentials, request.headers_mut()).await {
        Ok(grant) => {
            notes.note(|noted| {
                noted.tenant = match grant.tenants() {
                    Some([only]) => Some(only.clone()),
                    _ => None,
                };
                noted.grant = Some(grant.clone());
            });
            grant
        }
        Err(error) => return refused(&server, request.extensions(), error),
    };
    let call = match Call::begin(&server, &grant) {
        Ok(call) => call,
        Err(over) => return over.into_response(),
    };
    let server = match of_tenant(&server, &grant, route, request.headers()).await {
        Ok(server) => server,
        Err(error) => return call.tell(Problem::from(error).into_response()),
    };
    notes.note(|noted| noted.tenant = Some(server.tenant().clone()));
    let call = match call.of_tenant(&server) {
        Ok(call) => call,
        Err(over) => return over.into_response(),
    };
    let mut response = match permitted(&server, &grant, route, needed) {
        Ok(_) if grant.bounds().is_some() && needed.is_some() && !is_for_bound => {
            Problem::from(AppError::BoundKey).into_response()
        }
        Ok(server) => match (route, needed) {
            (Some(route), None) => unlisted(route),
            _ => {
                request.extensions_mut().insert(Authorized(server.clone()));
                let answer = tokio::select! {
                    answer = next.run(request) => answer,
                    // What is running for a tenant ends when the tenant is no longer served.
                    error = server.until_refused() => Problem::from(error).into_response(),
                };
                with_journal(&server, answer)
            }
        },
        Err(error) => Problem::from(error).into_response(),
    };
    if let Err(over) = call.count_rows(&server, response.headers()) {
        // Nothing of the answer was sent.
        response = over.into_response();
    }
    call.tell(response)
}

/// Tells how much of the write-ahead log of the tenant is in no answer yet.
fn with_journal(server: &Server, mut response: Response) -> Response {
    let (objects, bytes) = server.state().wal.unfolded();
    if objects > 0
        && let Ok(ahead) = HeaderValue::from_str(&format!("objects={objects}, bytes={bytes}"))
    {
        response.headers_mut().insert(JOURNAL_AHEAD, ahead);
    }
    response
}

/// Answers a request that needs no key.
async fn answer_open(
    server: &Server,
    route: Option<&str>,
    mut request: Request,
    next: Next,
) -> Response {
    // Whoever watches a server must learn that it lives, however often they ask.
    if route != Some(ALIVE)
        && server.needs_key().await
        && let Err(over) = limited::count_open(server, request.extensions())
    {
        return over.into_response();
    }
    request.headers_mut().remove(RIGHTS_HEADER);
    let server = server.with_grant(&Grant::nobody());
    request.extensions_mut().insert(Authorized(server));
    next.run(request).await
}

/// The answer to a caller without a valid key.
fn refused(server: &Server, call: &Extensions, error: AppError) -> Response {
    if error.code().1 == ErrorClass::Unauthenticated
        && let Err(over) = limited::count_unauthenticated(server, call)
    {
        return over.into_response();
    }
    Problem::from(error).into_response()
}

/// The server for the tenant of a request.
async fn of_tenant(
    server: &Server,
    grant: &Grant,
    route: Option<&str>,
    headers: &HeaderMap,
) -> Result<Server, AppError> {
    let named = headers.get_all(&TENANT_HEADER).into_iter();
    let named: Vec<&str> = named.map(|name| name.to_str().unwrap_or("?")).collect();
    // A worker gets only requests that the server has checked.
    let Some(authenticator) = server.authenticator() else {
        return server.for_server(grant, &named).await;
    };
    let found = server.for_caller(grant, &named).await;
    let found = match (found, grant.tenants()) {
        (Err(AppError::TenantNeeded), Some([first, ..])) if route.is_some_and(is_of_no_tenant) => {
            server.for_caller(grant, &[first.as_str()]).await?
        }
        (found, _) => found?,
    };
    note_use(&found, authenticator, grant);
    Ok(found)
}

/// The server with the rights of a caller who may make this request.
fn permitted(
    server: &Server,
    grant: &Grant,
    route: Option<&str>,
    needed: Option<Needs>,
) -> Result<Server, AppError> {
    match (route, needed) {
        (_, Some(Needs::Rights(rights))) => grant.require(rights).map(|()| server.clone()),
        // Nothing is there: the answer is 404.
        (None, _) => Ok(server.with_grant(&Grant::nobody())),
        (Some(_), _) => Ok(server.clone()),
    }
}

/// The answer of a route that the table lacks, or lacks with this method.
fn unlisted(route: &str) -> Response {
    let methods = methods(route);
    if methods.is_empty() {
        tracing::error!(route, "no rights are defined for a route");
        let detail = "no caller may use this route";
        return Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response();
    }
    let mut response = Problem::no_method().into_response();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(",")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// Whether a request changes something and does not say that a page of this server made it. Browsers say so, and send
/// cookies by themselves; an `origin` of another site was refused before.
fn is_of_unknown_page(request: &Request) -> bool {
    let changes = ![Method::GET, Method::HEAD].contains(request.method());
    let headers = request.headers();
    let is_of_page =
        headers.get("sec-fetch-site").map(HeaderValue::as_bytes) == Some(b"same-origin");
    changes && !headers.contains_key(header::ORIGIN) && !is_of_page
}

/// The grant of the caller, or, in a worker, the one that the server names.
async fn caller(
    server: &Server,
    credentials: Credentials,
    headers: &mut HeaderMap,
) -> Result<Grant, AppError> {
    let forwarded = headers.remove(RIGHTS_HEADER);
    let Some(authenticator) = server.authenticator() else {
        let named = forwarded.as_ref().and_then(|rights| rights.to_str().ok());
        return Ok(parse_grant(named.unwrap_or_default()));
    };
    let now = server.now();
    match credentials {
        Credentials::None => authenticator.authenticate(None, now).await,
        Credentials::Token(token) => authenticator.authenticate(Some(&token), now).await,
        Credentials::Session(token) => authenticator.authenticate_session(&token, now).await,
    }
}

/// Notes the use of a key, in the background and at most once a minute.
fn note_use(server: &Server, authenticator: &Authenticator, grant: &Grant) {
    let Caller::Key(prefix) = grant.caller() else {
        return;
    };
    if authenticator.is_use_due(prefix) {
        let prefix = prefix.clone();
        let (keys, at) = (authenticator.keys().clone(), server.now());
        tokio::spawn(async move {
            if let Err(error) = keys.note_use(&prefix, at).await {
                tracing::warn!(key = %prefix, %error, "the use of a key was not noted");
            }
        });
    }
}

/// The value of [`RIGHTS_HEADER`]: the rights of a caller, and what their key is bound to.
pub(crate) fn rights_header(grant: &Grant) -> HeaderValue {
    let names: Vec<&str> = grant.rights.iter().map(Right::name).collect();
    let mut text = names.join(",");
    if let Some(bounds) = grant.bounds() {
        text.push(';');
        text.push_str(&bounds.to_text());
    }
    HeaderValue::from_str(&text).expect("names of rights and hexadecimal digits are ASCII")
}

/// The grant of a value of [`RIGHTS_HEADER`]: nothing, if it cannot be read.
fn parse_grant(text: &str) -> Grant {
    let Some((rights, bounds)) = text.split_once(';') else {
        return Grant::forwarded(parse_rights(text));
    };
    match Bounds::of_text(bounds) {
        Some(bounds) => Grant::forwarded(parse_rights(rights)).bound_to(&bounds),
        None => Grant::nobody(),
    }
}

fn parse_rights(text: &str) -> Rights {
    text.split(',')
        .filter_map(|name| name.parse::<Right>().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use rollbook_app::access::{Bounds, Grant, Right, Rights, Role};

    use super::{parse_grant, parse_rights, rights_header};

    #[test]
    fn bounds_reach_a_worker_as_they_are() {
        let bounds = Bounds {
            segments: vec!["lapsed".parse().unwrap()],
            tags: vec!["über, alles; \"x\"".to_owned()],
            ..Bounds::default()
        };
        let grant = Grant::forwarded(Rights::ALL).bound_to(&bounds);
        let header = rights_header(&grant);
        let text = header.to_str().unwrap();
        let read = parse_grant(text);
        assert_eq!(read.rights, Bounds::RIGHTS);
        assert_eq!(**read.bounds().unwrap(), bounds);
        // What cannot be read allows nothing.
        for broken in ["read,members;", "read;zz", &text[..text.len() - 2]] {
            assert_eq!(parse_grant(broken).rights, Rights::NONE, "{broken}");
        }
    }

    #[test]
    fn rights_reach_a_worker_as_they_are() {
        for rights in Role::ALL
            .map(Role::rights)
            .into_iter()
            .chain([Rights::NONE])
        {
            let header = rights_header(&Grant::forwarded(rights));
            let read = parse_grant(header.to_str().unwrap());
            assert_eq!(read.rights, rights);
            assert!(read.bounds().is_none());
        }
        assert_eq!(parse_rights("pii,root, sql"), Rights::of(&[Right::Pii]));
    }
}
