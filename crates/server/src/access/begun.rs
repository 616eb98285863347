//! Changes are recorded before they are made: even if the audit fails meanwhile, it says who began them.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rollbook_app::access::Right;
use rollbook_app::audit::{BEGUN, Caller};

use super::authorized::Authorized;
use super::notes::RequestNotes;
use super::route_rights::Needs;
use crate::problem::Problem;
use crate::state::Server;

/// Rights to change what one act changes for good, or for others. Rows and refreshes can be sent again.
const CHANGES: [Right; 5] = [
    Right::SegmentsWrite,
    Right::Identity,
    Right::Keys,
    Right::Erase,
    Right::Tenants,
];

/// Middleware that records such changes as `begun`, once their caller may make them.
pub(crate) async fn record_begun(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let noted = extensions.get::<RequestNotes>().map(RequestNotes::noted);
    let act = noted.and_then(|noted| {
        noted
            .pending
            .filter(|pending| is_change(request.method(), pending.needs))
    });
    let (Some(log), Some(pending)) = (server.audit_log(), act) else {
        return next.run(request).await;
    };
    let mut act = pending.act;
    let authorized = extensions.get::<Authorized>();
    act.caller = Caller::of(authorized.map(|Authorized(server)| server.grant()));
    act.tenant = authorized.map(|Authorized(server)| server.tenant().clone());
    act.result = BEGUN.to_owned();
    match log.record(act).await {
        Ok(()) => next.run(request).await,
        // Nothing is done that could not be recorded.
        Err(error) => Problem::from(error).into_response(),
    }
}

fn is_change(method: &Method, needs: Option<Needs>) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let changes = |needs| match needs {
        Needs::Rights(rights) => rights.iter().any(|right| CHANGES.contains(right)),
        Needs::NoKey => false,
    };
    !is_read && needs.is_some_and(changes)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::is_change;
    use crate::access::route_rights::needs;

    #[test]
    fn changes_for_good_are_recorded_before_they_are_made() {
        let is_begun = |method: &str, path: &str| {
            let method: Method = method.parse().unwrap();
            is_change(&method, needs(method.as_str(), path))
        };
        for (method, path) in [
            ("DELETE", "/v1/persons/{person_id}"),
            ("POST", "/v1/keys"),
            ("DELETE", "/v1/keys/{prefix}"),
            ("PUT", "/v1/segments/{key}"),
            ("POST", "/v1/identity/merges"),
        ] {
            assert!(is_begun(method, path), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/v1/keys"),
            ("GET", "/v1/identity/reviews"),
            ("POST", "/v1/sql"),
            ("POST", "/v1/ingest/{provider}/{source}"),
            ("POST", "/v1/nothing"),
        ] {
            assert!(!is_begun(method, path), "{method} {path}");
        }
    }
}
