//! Sessions: a key or a JWT is exchanged for a cookie, which ends with it.

use std::time::Duration;

use serde_json::{Value, json};

use super::issuer::{Issuer, claims, now, serve, write_keys};
use super::{check_refused, created, lake_with_persons, token};
use crate::support::personal_values::holds;
use crate::support::polling::{eventually, found_within};
use crate::support::server::{Answer, Server};

/// A change of sessions and keys counts within this time.
const A_SECOND: Duration = Duration::from_secs(1);
const PATH: &str = "/v1/session";
const SEGMENTS: &str = "/v1/segments";

/// Starts a session with a token; returns the answer and the cookie that a browser would send.
fn started(server: &Server, token: &str) -> (Answer, String) {
    let answer = server.ask(Some(token), "POST", PATH, None);
    assert_eq!(
        answer.status,
        201,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let cookie = answer.header("set-cookie");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    (answer, cookie)
}

fn ask(server: &Server, cookie: &str, method: &str, path: &str) -> Answer {
    let own = format!("http://{}", server.address);
    let headers = [("cookie", cookie), ("origin", own.as_str())];
    server.ask_with(&headers, method, path, None)
}

fn status(server: &Server, cookie: &str) -> u16 {
    ask(server, cookie, "GET", SEGMENTS).status
}

/// Fails unless requests with a cookie get this status within a second.
fn check_within_a_second(server: &Server, cookie: &str, expected: u16) {
    let seen = found_within(A_SECOND, || match status(server, cookie) {
        seen if seen == expected => Ok(()),
        seen => Err(seen),
    });
    assert_eq!(seen, Ok(()), "{expected} was expected");
}

#[test]
fn key_is_exchanged_for_a_cookie() {
    let lake = lake_with_persons("http_session_key");
    let (analyst, viewer) = (token(&lake, "analyst", &[]), token(&lake, "viewer", &[]));
    let server = Server::start(&lake, "default");
    check_refused(
        &server.ask(None, "POST", PATH, None),
        401,
        "unauthenticated",
    );
    let (answer, cookie) = started(&server, &analyst);
    let set = answer.header("set-cookie");
    let secret = cookie.strip_prefix("rollbook_session=").unwrap().to_owned();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=3"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!String::from_utf8_lossy(&answer.body).contains(&secret));
    assert_eq!(answer.json()["rights"], json!(["read", "members", "sql"]));
    let bearer = format!("Bearer {analyst}");
    let proxied = [
        ("authorization", bearer.as_str()),
        ("x-forwarded-proto", "https"),
    ];
    let proxied = server.ask_with(&proxied, "POST", PATH, None);
    assert!(proxied.header("set-cookie").ends_with("; Secure"));

    assert_eq!(status(&server, &cookie), 200);
    assert_eq!(status(&server, &format!("theme=dark; {cookie}")), 200);
    check_refused(&ask(&server, &cookie, "GET", "/v1/keys"), 403, "forbidden");
    // Not a session, not a bearer token, not two of them.
    check_refused(
        &ask(&server, "rollbook_session=", "GET", SEGMENTS),
        401,
        "unauthenticated",
    );
    let wrong = format!("rollbook_session=rbs_aaaaaaaaaa_{}", &secret[15..]);
    check_refused(
        &ask(&server, &wrong, "GET", SEGMENTS),
        401,
        "unauthenticated",
    );
    let of_key = format!("rollbook_session={analyst}");
    check_refused(
        &ask(&server, &of_key, "GET", SEGMENTS),
        401,
        "unauthenticated",
    );
    check_refused(
        &server.ask(Some(&secret), "GET", SEGMENTS, None),
        401,
        "unauthenticated",
    );
    let twice = format!("{cookie}; {cookie}");
    check_refused(
        &ask(&server, &twice, "GET", SEGMENTS),
        401,
        "unauthenticated",
    );
    // A session is not prolonged by itself.
    check_refused(&ask(&server, &cookie, "POST", PATH), 401, "unauthenticated");
    // A header wins, also a wrong one.
    let count = json!({"query": "select 1 as n"}).to_string();
    let sql = |authorization: &str| {
        let headers = [
            ("authorization", authorization),
            ("cookie", cookie.as_str()),
        ];
        let body = Some(("application/json", count.as_str()));
        server.ask_with(&headers, "POST", "/v1/sql", body)
    };
    check_refused(&sql(&format!("Bearer {viewer}")), 403, "forbidden");
    check_refused(&sql("Bearer wrong"), 401, "unauthenticated");
    check_refused(&sql("Basic dTpw"), 401, "unauthenticated");
    assert_eq!(sql(&format!("Bearer {analyst}")).status, 200);

    assert!(!holds(&lake.path("lake"), &secret[15..]));
    assert!(
        server
            .log()
            .iter()
            .all(|line| !line.contains(&secret[15..]))
    );
    assert!(server.stop());
}

#[test]
fn cookie_changes_nothing_for_pages_of_others() {
    let lake = lake_with_persons("http_session_site");
    let marketer = token(&lake, "marketer", &[]);
    let server = Server::start(&lake, "default");
    let (_, cookie) = started(&server, &marketer);
    let own = format!("http://{}", server.address);
    let delete = |headers: &[(&str, &str)]| {
        let headers: Vec<_> = [&[("cookie", cookie.as_str())], headers].concat();
        server.ask_with(&headers, "DELETE", "/v1/segments/none", None)
    };
    for refused in [
        vec![],
        vec![("origin", "null")],
        vec![("origin", "https://evil.example.com")],
        vec![("origin", "http://127.0.0.1:1")],
        vec![("sec-fetch-site", "none")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://evil.example.com"),
        ],
        vec![("referer", own.as_str())],
    ] {
        check_refused(&delete(&refused), 403, "cross_site");
    }
    for taken in [
        vec![("origin", own.as_str())],
        vec![("sec-fetch-site", "same-origin")],
        vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())],
    ] {
        check_refused(&delete(&taken), 404, "unknown_segment");
    }
    // Reading takes no such header; a program with a key needs none.
    let plain = [("cookie", cookie.as_str())];
    assert_eq!(server.ask_with(&plain, "GET", SEGMENTS, None).status, 200);
    let by_key = server.ask(Some(&marketer), "DELETE", "/v1/segments/none", None);
    check_refused(&by_key, 404, "unknown_segment");
    assert!(server.stop());
}

#[test]
fn sessions_end_on_all_servers_within_a_second() {
    let lake = lake_with_persons("http_session_end");
    let key = created(&lake, "viewer", &[]);
    let other = token(&lake, "viewer", &[]);
    let servers = [
        Server::start(&lake, "default"),
        Server::start(&lake, "default"),
    ];
    let token = key["token"].as_str().unwrap();
    let cookies: Vec<String> = (0..4).map(|_| started(&servers[0], token).1).collect();
    let (_, of_other) = started(&servers[1], &other);
    for server in &servers {
        for cookie in cookies.iter().chain([&of_other]) {
            check_within_a_second(server, cookie, 200);
        }
    }
    let ended = ask(&servers[1], &cookies[0], "DELETE", PATH);
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(
        status(&servers[1], &cookies[0]),
        401,
        "on this server at once"
    );
    check_within_a_second(&servers[0], &cookies[0], 401);
    assert_eq!(status(&servers[0], &cookies[1]), 200);
    // With the key, all of its sessions.
    assert_eq!(
        servers[0].ask(Some(token), "DELETE", PATH, None).status,
        204
    );
    for server in &servers {
        for cookie in &cookies {
            check_within_a_second(server, cookie, 401);
        }
        assert_eq!(status(server, &of_other), 200);
    }
    let (_, cookie) = started(&servers[0], token);
    check_within_a_second(&servers[1], &cookie, 200);
    lake.json(&["api-key", "revoke", key["prefix"].as_str().unwrap()]);
    for server in servers {
        check_within_a_second(&server, &cookie, 401);
        assert_eq!(status(&server, &of_other), 200);
        assert!(server.stop());
    }
}

#[test]
fn session_ends_no_later_than_its_key() {
    let lake = lake_with_persons("http_session_expired");
    let key = created(&lake, "viewer", &["--expires", "3s"]);
    let server = Server::start(&lake, "default");
    let (answer, cookie) = started(&server, key["token"].as_str().unwrap());
    assert_eq!(answer.json()["ends_at"], key["expires_at"]);
    assert_eq!(status(&server, &cookie), 200);
    eventually("the session ends with its key", || {
        status(&server, &cookie) == 401
    });
    // What is over is deleted.
    let files = || {
        std::fs::read_dir(lake.path("lake/_access/sessions"))
            .unwrap()
            .count()
    };
    eventually("the session is deleted", || {
        status(&server, &cookie);
        files() == 0
    });
    assert!(server.stop());
}

#[test]
fn server_without_keys_starts_no_session() {
    let lake = lake_with_persons("http_session_none");
    let server = Server::start(&lake, "default");
    check_refused(&server.ask(None, "POST", PATH, None), 409, "no_login");
    assert_eq!(server.ask(None, "DELETE", PATH, None).status, 204);
    assert_eq!(status(&server, "rollbook_session=rbs_old"), 200);
    assert!(server.stop());
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn jwt_is_exchanged_for_a_cookie() {
    let lake = lake_with_persons("http_session_jwt");
    let mut issuer = Issuer::start();
    let key = issuer.key("a", "EdDSA");
    let path = write_keys(&lake, &[&key]);
    let server = serve(&lake, path.to_str().unwrap());
    let end = now() + 5;
    let mut short = claims("operator");
    short["exp"] = json!(end);
    let short = issuer.token(&key, &short);
    let (answer, cookie) = started(&server, &short);
    let session: Value = answer.json();
    assert_eq!(
        session["rights"],
        json!(["refresh", "ingest", "identity", "metrics"])
    );
    let metrics = |cookie: &str| ask(&server, cookie, "GET", "/metrics").status;
    assert_eq!(metrics(&cookie), 200);
    check_refused(&ask(&server, &cookie, "GET", SEGMENTS), 403, "forbidden");
    eventually("the session ends with its token", || {
        metrics(&cookie) == 401
    });
    assert!(now() <= end + 1, "not within the leeway");
    // Within the leeway the token is accepted, but starts nothing.
    assert_eq!(
        server.ask(Some(&short), "GET", "/metrics", None).status,
        200
    );
    check_refused(
        &server.ask(Some(&short), "POST", PATH, None),
        401,
        "unauthenticated",
    );

    // All sessions of a subject end by another token of the same subject.
    let long = issuer.token(&key, &claims("operator"));
    let (_, cookie) = started(&server, &long);
    let mut later = claims("viewer");
    later["exp"] = json!(now() + 900);
    let later = issuer.token(&key, &later);
    assert_eq!(metrics(&cookie), 200);
    assert_eq!(server.ask(Some(&later), "DELETE", PATH, None).status, 204);
    assert_eq!(metrics(&cookie), 401);
    let (_, cookie) = started(&server, &long);
    assert!(server.stop());
    // A server that does not accept the issuer does not accept the session.
    let _ = token(&lake, "viewer", &[]);
    let server = Server::start(&lake, "default");
    check_refused(
        &ask(&server, &cookie, "GET", "/metrics"),
        401,
        "unauthenticated",
    );
    assert!(server.stop());
}
