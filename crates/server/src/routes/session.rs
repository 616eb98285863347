//! Sessions: a key or a JWT exchanged for a cookie, for people who use a browser.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::access::{Authenticator, IssuedSession};
use rollbook_model::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::api::document::SESSION_COOKIE;
use crate::api::scalars::{KeyRight, Scalar, Time};
use crate::network::Transport;
use crate::problem::Problem;
use crate::state::Server;

/// A session. Its token is in the cookie of the answer only, which scripts of a page cannot read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// An hour from now, or when the key or the JWT ends.
    ends_at: Time,
    /// What the caller may do.
    rights: Vec<KeyRight>,
}

/// The authenticator; requests about sessions are answered by the server itself, which has one.
fn authenticator(server: &Server) -> Result<&Authenticator, Problem> {
    server.authenticator().ok_or_else(Problem::internal)
}

/// Starts a session: exchanges the key or the JWT of the request for a cookie
///
/// The cookie `rollbook_session` (`HttpOnly`, `SameSite=Strict`) has the rights of the key or the JWT, for an hour at
/// most. A caller has up to 100 sessions: the oldest ends for one more.
#[utoipa::path(post, path = "/v1/session", operation_id = "start_session", tag = "server",
    responses((status = 201, body = Session)))]
pub(super) async fn start(
    Authorized(server): Authorized,
    transport: Transport,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = server.now();
    let started = authenticator(&server)?.start_session(server.grant(), now);
    let issued = started.await?;
    let is_encrypted = transport.is_https() || is_encrypted(&headers);
    let cookie = cookie(&issued, now, is_encrypted);
    let session = Session {
        ends_at: Scalar(issued.ends_at),
        rights: server.grant().rights.iter().map(Scalar).collect(),
    };
    Ok(with_cookie(&cookie, (StatusCode::CREATED, Json(session))))
}

/// Ends the session of the cookie; with a key or a JWT, all sessions that were started with it
///
/// It ends on all servers of the lake within a second. The sessions of a JWT are those of its subject.
#[utoipa::path(delete, path = "/v1/session", operation_id = "end_session", tag = "server",
    responses((status = 204, description = "Ended")))]
pub(super) async fn end(Authorized(server): Authorized) -> Result<Response, Problem> {
    authenticator(&server)?.end_session(server.grant()).await?;
    let cookie = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok(with_cookie(&cookie, StatusCode::NO_CONTENT))
}

fn with_cookie(cookie: &str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let headers = response.headers_mut();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn cookie(session: &IssuedSession, now: Timestamp, is_encrypted: bool) -> String {
    let micros = session.ends_at.micros().saturating_sub(now.micros());
    let (token, seconds) = (&session.token, micros.max(0) / 1_000_000);
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!(
        "{SESSION_COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    )
}

/// Whether the browser says that it speaks TLS, or a proxy says so that is not named. Who claims so falsely only gets a cookie that is used less.
fn is_encrypted(headers: &HeaderMap) -> bool {
    let text = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let forwarded = text("x-forwarded-proto").eq_ignore_ascii_case("https");
    forwarded || text(header::ORIGIN.as_str()).starts_with("https://")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use rollbook_app::access::IssuedSession;
    use rollbook_model::Timestamp;

    use super::{cookie, is_encrypted};

    #[test]
    fn cookies_are_kept_from_scripts_and_other_sites() {
        let session = IssuedSession {
            token: "rbs_a_b".to_owned(),
            ends_at: Timestamp::from_micros(90_500_000),
        };
        let now = Timestamp::from_micros(30_000_000);
        let expected = "rollbook_session=rbs_a_b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(cookie(&session, now, false), expected);
        assert_eq!(cookie(&session, now, true), format!("{expected}; Secure"));
        let later = Timestamp::from_micros(91_000_000);
        assert!(cookie(&session, later, false).contains("Max-Age=0;"));
    }

    #[test]
    fn encryption_is_seen_by_what_proxies_and_browsers_say() {
        let check = |name: &'static str, value: &'static str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(is_encrypted(&headers), expected, "{name}: {value}");
        };
        assert!(!is_encrypted(&HeaderMap::new()));
        check("x-forwarded-proto", "https", true);
        check("x-forwarded-proto", "HTTPS", true);
        check("x-forwarded-proto", "http", false);
        check("origin", "https://rollbook.example.com", true);
        check("origin", "http://localhost:8080", false);
    }
}
