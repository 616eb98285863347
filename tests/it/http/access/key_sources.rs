//! Keys at a URL: they are fetched within limits, cached, and used for a while when the URL fails.

use std::time::{Duration, Instant};

use serde_json::json;

use super::issuer::{Behaviour, Issuer, KeyServer, claims, key_set, serve};
use super::jwt::check_within;
use super::{check_refused, lake_with_persons, problem, token};
use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;

/// An unknown key makes the server look again after this time at the latest.
const LOOKS_AGAIN: Duration = Duration::from_secs(35);
/// The time limit of a fetch is 5 seconds.
const NO_LONGER: Duration = Duration::from_secs(8);
/// A request that does not wait for a fetch is answered within this time.
const SOON: Duration = Duration::from_secs(4);
const NO_KEYS: &str = "the keys of the issuer cannot be read at present";

fn keys(text: &str) -> Behaviour {
    Behaviour::respond("200 OK", "content-type: application/json\r\n", text)
}

/// Fails unless a JWT is refused in time because there are no keys, and API keys are answered meanwhile.
fn check_without_keys(lake: &OwnLake, what: &str, url: &str, logged: &str, jwt: &str, key: &str) {
    let server = serve(lake, url);
    let begun = Instant::now();
    let refused = std::thread::scope(|scope| {
        let refused = scope.spawn(|| server.ask(Some(jwt), "GET", "/v1/segments", None));
        let begun = Instant::now();
        let answered = server.ask(Some(key), "GET", "/v1/segments", None);
        assert_eq!(answered.status, 200, "{what}");
        assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
        refused.join().unwrap()
    });
    assert!(begun.elapsed() < NO_LONGER, "{what}: {:?}", begun.elapsed());
    let (status, code, detail) = problem(&refused);
    let seen = (status, code.as_str(), detail.as_str());
    assert_eq!(seen, (401, "invalid_token", NO_KEYS), "{what}");
    // The next one does not wait.
    let begun = Instant::now();
    let again = server.ask(Some(jwt), "GET", "/v1/segments", None);
    check_refused(&again, 401, "invalid_token");
    assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
    eventually(what, || {
        server.log().iter().any(|line| line.contains(logged))
    });
    assert!(server.stop());
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn keys_that_cannot_be_fetched_refuse_tokens_in_time() {
    let lake = lake_with_persons("http_jwks_failing");
    let key = token(&lake, "viewer", &[]);
    let mut issuer = Issuer::start();
    let signing = issuer.key("a", "RS256");
    let jwt = issuer.token(&signing, &claims("viewer"));
    let good = key_set(&[&signing]);
    let moved = "location: http://127.0.0.1:1/keys\r\n";
    let behaviours = [
        ("slow", Behaviour::Silent, "no answer within 5 s"),
        ("endless", Behaviour::Endless, "more than 262144 bytes"),
        (
            "huge",
            keys(&format!("{good}{}", " ".repeat(300_000))),
            "more than 262144 bytes",
        ),
        (
            "failing",
            Behaviour::respond("500 Internal Server Error", "", ""),
            "status 500",
        ),
        (
            "moved",
            Behaviour::respond("302 Found", moved, ""),
            "status 302",
        ),
        ("no JSON", keys("<html>"), "no set of keys"),
        (
            "twice",
            keys(&format!("{{\"keys\": [], {}", &good[1..])),
            "no set of keys",
        ),
        (
            "many",
            keys(&json!({"keys": vec![&signing.jwk; 101]}).to_string()),
            "more than 100 keys",
        ),
    ];
    for (what, behaviour, logged) in behaviours {
        let source = KeyServer::start(behaviour);
        check_without_keys(&lake, what, &source.url, logged, &jwt, &key);
        assert_eq!(source.requests(), 1, "{what}");
    }
    // Nobody listens there.
    let url = "http://127.0.0.1:1/keys?secret=1";
    check_without_keys(&lake, "down", url, "127.0.0.1:1/keys`", &jwt, &key);
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn keys_at_a_url_rotate_and_outlast_a_failure() {
    let lake = lake_with_persons("http_jwks_rotated");
    let mut issuer = Issuer::start();
    let [old, new, never] = ["old", "new", "never"].map(|kid| issuer.key(kid, "ES256"));
    let [with_old, with_new, with_never] =
        [&old, &new, &never].map(|key| issuer.token(key, &claims("viewer")));
    let source = KeyServer::start(keys(&key_set(&[&old])));
    let server = serve(&lake, &source.url);
    let status = |token: &str| server.ask(Some(token), "GET", "/v1/segments", None).status;
    for _ in 0..20 {
        assert_eq!(status(&with_old), 200);
    }
    assert_eq!(source.requests(), 1, "they are cached");
    // A key that is not known is looked for once, and then not before half a minute is over.
    source.behave(Some(keys(&key_set(&[&new]))));
    assert_eq!(status(&with_new), 401);
    assert_eq!(source.requests(), 1);
    check_within(LOOKS_AGAIN, &server, &with_new, 200);
    assert_eq!(source.requests(), 2);
    // The key that its issuer has removed is gone.
    assert_eq!(status(&with_old), 401);
    source.behave(None);
    for _ in 0..20 {
        assert_eq!(status(&with_new), 200);
        assert_eq!(status(&with_never), 401);
    }
    assert!(source.requests() <= 3);
    assert!(server.stop());
}
