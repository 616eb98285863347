//! Requests by the way they come: encrypted, over a proxy, from this machine, or readable for others.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use rollbook_app::Workspace;
use rollbook_model::config::Limits;
use rollbook_model::{BatchId, Timestamp};
use tower::ServiceExt;

use super::router;
use crate::limits::ServeLimits;
use crate::network::Peer;
use crate::state::{Options, Server};

/// The routes of a server that other machines can reach, behind one proxy.
fn exposed(lake: &tempfile::TempDir, limits: ServeLimits) -> Router {
    let location = lake.path().to_str().unwrap().to_owned();
    let options = Options {
        workspace: Workspace::new(location, "a".parse().unwrap(), Limits::default()),
        mappings: None,
        limits,
        clock: || Timestamp::from_micros(0),
        new_batch: || BatchId::new("20260101", 0),
        workers: None,
        jwt: None,
    };
    let proxies = ["10.0.0.1".parse().unwrap()];
    router(Server::new(options, true).unwrap(), proxies.into())
}

/// Sends a request from a peer.
async fn ask(routes: &Router, peer: &str, is_encrypted: bool, path: &str) -> Response {
    let request = Request::get(path).header(header::HOST, "rollbook.example.com");
    let mut request = request.body(Body::empty()).unwrap();
    let address = peer.parse().unwrap();
    request.extensions_mut().insert(Peer {
        address,
        is_encrypted,
    });
    routes.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn requests_that_others_could_read_are_refused() {
    let lake = tempfile::tempdir().unwrap();
    let routes = exposed(&lake, ServeLimits::default());
    for (peer, is_encrypted, expected) in [
        ("203.0.113.7", false, 403),
        ("::ffff:203.0.113.7", false, 403),
        // Nobody has a key here.
        ("203.0.113.7", true, 401),
        ("10.0.0.1", false, 401),
        ("::ffff:10.0.0.1", false, 401),
        ("127.0.0.1", false, 401),
    ] {
        let answer = ask(&routes, peer, is_encrypted, "/v1/segments").await;
        assert_eq!(answer.status(), expected, "{peer} {is_encrypted}");
        let alive = ask(&routes, peer, is_encrypted, "/healthz").await;
        assert_eq!(alive.status(), 200, "{peer} {is_encrypted}");
    }
}

#[tokio::test]
async fn clients_without_a_key_are_limited_each() {
    let lake = tempfile::tempdir().unwrap();
    let call_rate = Some("2/60".parse().unwrap());
    let limits = ServeLimits {
        call_rate,
        ..ServeLimits::default()
    };
    let routes = exposed(&lake, limits);
    for (peer, expected) in [
        ("203.0.113.7", 401),
        ("203.0.113.7", 401),
        ("203.0.113.7", 429),
        ("203.0.113.8", 401),
        ("2001:db8::1", 401),
        ("2001:db8::2", 401),
        ("2001:db8::3", 429),
    ] {
        let answer = ask(&routes, peer, true, "/v1/segments").await;
        assert_eq!(answer.status(), expected, "{peer}");
        assert_eq!(
            answer.headers().contains_key("retry-after"),
            expected == 429
        );
    }
    for expected in [200, 200, 429] {
        let answer = ask(&routes, "203.0.113.7", true, "/openapi.json").await;
        assert_eq!(answer.status(), expected);
    }
}
