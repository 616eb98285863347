//! Keys are created, rotated, revoked and expire; their tokens leave no trace.

use std::time::Duration;

use serde_json::{Value, json};

use super::{check_refused, created, lake_with_persons, problem, token};
use crate::support::own_lake::OwnLake;
use crate::support::personal_values::holds;
use crate::support::polling::{eventually, found_within};
use crate::support::server::{Server, raw};

/// A change of keys counts within this time.
const A_SECOND: Duration = Duration::from_secs(1);

fn status(server: &Server, token: Option<&str>) -> u16 {
    server.ask(token, "GET", "/v1/segments", None).status
}

/// Fails unless requests get this status within a second.
fn check_within_a_second(server: &Server, token: Option<&str>, expected: u16) {
    let seen = found_within(A_SECOND, || match status(server, token) {
        seen if seen == expected => Ok(()),
        seen => Err(seen),
    });
    assert_eq!(seen, Ok(()), "{expected} was expected");
}

#[test]
fn first_key_closes_the_server_and_no_later_one_opens_it() {
    let lake = lake_with_persons("http_access_first");
    let server = Server::start(&lake, "default");
    assert_eq!(status(&server, None), 200);
    let new = json!({"name": "first", "role": "admin"}).to_string();
    let body = Some(("application/json", new.as_str()));
    check_refused(
        &server.ask(None, "POST", "/v1/keys", body),
        409,
        "first_key",
    );
    assert_eq!(server.get("/v1/keys").json(), json!([]));
    let host = server.address.clone();
    let foreign = |line: &str| {
        let request = format!(
            "GET /healthz HTTP/1.1\r\nhost: rollbook.example.com\r\n{line}connection: close\r\n\r\n"
        );
        raw(&host, request.as_bytes())
    };
    assert!(foreign("").starts_with("HTTP/1.1 421"));
    let key = created(&lake, "viewer", &[]);
    let viewer = key["token"].as_str();
    check_within_a_second(&server, None, 401);
    assert_eq!(status(&server, viewer), 200);
    assert!(foreign("").starts_with("HTTP/1.1 200"));
    let prefix = key["prefix"].as_str().unwrap();
    lake.json(&["api-key", "revoke", prefix]);
    check_within_a_second(&server, viewer, 401);
    assert_eq!(status(&server, None), 401);
    assert!(server.stop());
    // Nor does a restart open it.
    let server = Server::start(&lake, "default");
    assert_eq!(status(&server, None), 401);
    assert!(server.stop());
}

#[test]
fn wrong_and_revoked_keys_are_refused_alike() {
    let lake = lake_with_persons("http_access_refused");
    let (valid, revoked) = (token(&lake, "viewer", &[]), created(&lake, "admin", &[]));
    lake.json(&["api-key", "revoke", revoked["prefix"].as_str().unwrap()]);
    let server = Server::start(&lake, "default");
    assert_eq!(status(&server, Some(&valid)), 200);
    let wrong = format!("{}{}", &valid[..15], "0".repeat(64));
    let unknown = format!("rbk_aaaaaaaaaa_{}", &valid[15..]);
    let mut answers: Vec<Value> = Vec::new();
    for token in [revoked["token"].as_str().unwrap(), &wrong, &unknown, "x"] {
        let answer = server.ask(Some(token), "GET", "/v1/segments", None);
        check_refused(&answer, 401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        answers.push(answer.json());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let missing = server.ask(None, "GET", "/v1/segments", None);
    check_refused(&missing, 401, "unauthenticated");
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    for header in [
        format!("Basic {valid}"),
        valid.clone(),
        format!("Bearer {valid}, Bearer {valid}"),
    ] {
        let headers = [("authorization", header.as_str())];
        let answer = server.ask_with(&headers, "GET", "/v1/segments", None);
        check_refused(&answer, 401, "unauthenticated");
    }
    let lower = [("authorization", format!("bearer {valid}"))];
    let lower = lower
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        server.ask_with(&lower, "GET", "/v1/segments", None).status,
        200
    );
    assert!(server.stop());
}

#[test]
fn keys_expire_and_rotate() {
    let lake = lake_with_persons("http_access_rotated");
    let (first, short) = (
        created(&lake, "viewer", &[]),
        created(&lake, "viewer", &["--expires", "3s"]),
    );
    let server = Server::start(&lake, "default");
    let is_refused = |token: &str| status(&server, Some(token)) == 401;
    let (prefix, token) = (
        first["prefix"].as_str().unwrap(),
        first["token"].as_str().unwrap(),
    );
    let second = lake.json(&["api-key", "rotate", prefix]);
    assert_eq!(second["prefix"], prefix);
    let second = second["token"].as_str().unwrap();
    check_within_a_second(&server, Some(second), 200);
    assert_eq!(status(&server, Some(token)), 200, "within the overlap");
    let third = lake.json(&["api-key", "rotate", prefix, "--overlap", "1s"]);
    let third = third["token"].as_str().unwrap();
    check_within_a_second(&server, Some(third), 200);
    check_within_a_second(&server, Some(token), 401);
    eventually("the overlap ends", || is_refused(second));
    assert_eq!(status(&server, Some(third)), 200);
    eventually("the key expires", || {
        is_refused(short["token"].as_str().unwrap())
    });
    let listed = lake.json(&["api-key", "list"]);
    let statuses: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["active", "expired"], "{listed}");
    eventually("the use is noted", || {
        lake.json(&["api-key", "list"])[0]["last_used_at"].is_string()
    });
    assert!(server.stop());
}

#[test]
fn revoked_key_is_refused_within_a_second() {
    let lake = lake_with_persons("http_access_revoked");
    let (key, other) = (created(&lake, "viewer", &[]), token(&lake, "viewer", &[]));
    let servers = [
        Server::start(&lake, "default"),
        Server::start(&lake, "default"),
    ];
    let token = key["token"].as_str();
    for server in &servers {
        assert_eq!(status(server, token), 200);
    }
    lake.json(&["api-key", "revoke", key["prefix"].as_str().unwrap()]);
    for server in servers {
        check_within_a_second(&server, token, 401);
        assert_eq!(status(&server, Some(&other)), 200);
        assert!(server.stop());
    }
}

#[test]
fn keys_are_managed_over_http() {
    let lake = lake_with_persons("http_access_http");
    let admin = token(&lake, "admin", &[]);
    let lesser = token(&lake, "viewer", &["--rights", "keys"]);
    let server = Server::start(&lake, "default");
    let create = |token: &str, new: Value| {
        let new = new.to_string();
        let body = Some(("application/json", new.as_str()));
        server.ask(Some(token), "POST", "/v1/keys", body)
    };
    let new = json!({"name": "app", "role": "analyst", "rights": ["pii"], "expires": "90d"});
    let issued = create(&admin, new.clone());
    assert_eq!(issued.status, 201);
    let issued = issued.json();
    assert_eq!(issued["tenants"], json!(["default"]));
    check_within_a_second(&server, issued["token"].as_str(), 200);
    let listed = server.ask(Some(&admin), "GET", "/v1/keys", None).json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[2]["name"], "app");
    assert!(listed.iter().all(|key| key["token"].is_null()));
    // Nobody gives what they do not have.
    for (new, right) in [
        (new, "members"),
        (json!({"name": "x", "role": "admin"}), "members"),
        (
            json!({"name": "x", "role": "viewer", "rights": ["pii"]}),
            "pii",
        ),
    ] {
        let refused = create(&lesser, new);
        check_refused(&refused, 403, "forbidden");
        assert!(problem(&refused).2.contains(&format!("`{right}`")));
    }
    let equal = json!({"name": "x", "role": "viewer", "rights": ["keys"]});
    assert_eq!(create(&lesser, equal).status, 201);
    for wrong in [
        json!({"name": "x", "role": "root"}),
        json!({"name": "x", "role": "viewer", "rights": ["all"]}),
        json!({"name": "x", "role": "viewer", "secret": "mine"}),
        json!({"role": "viewer"}),
    ] {
        check_refused(&create(&admin, wrong), 400, "invalid_body");
    }
    let blank = json!({"name": " ", "role": "viewer"});
    check_refused(&create(&admin, blank), 422, "invalid_key_name");
    let path = format!("/v1/keys/{}", issued["prefix"].as_str().unwrap());
    assert_eq!(server.ask(Some(&admin), "DELETE", &path, None).status, 204);
    check_within_a_second(&server, issued["token"].as_str(), 401);
    assert_eq!(server.ask(Some(&admin), "DELETE", &path, None).status, 204);
    let unknown = server.ask(Some(&admin), "DELETE", "/v1/keys/aaaaaaaaaa", None);
    check_refused(&unknown, 404, "unknown_key");
    let no_prefix = server.ask(Some(&admin), "DELETE", "/v1/keys/Nobody", None);
    check_refused(&no_prefix, 400, "invalid_path");
    assert!(server.stop());
}

#[test]
fn a_token_leaves_no_trace() {
    let lake = lake_with_persons("http_access_trace");
    let admin = created(&lake, "admin", &[]);
    let token = admin["token"].as_str().unwrap();
    let server = Server::start(&lake, "default");
    let wrong = format!("{}{}", &token[..15], "12345678".repeat(8));
    let mut said = Vec::new();
    let sql = json!({"query": "select nothing from nowhere"}).to_string();
    let body = Some(("application/json", sql.as_str()));
    let path = "/v1/ingest/native/persons";
    let rows = Some(("text/csv", "external_id\nP9\n"));
    for token in [token, &wrong] {
        said.push(server.ask(Some(token), "POST", "/v1/sql", body));
        said.push(server.ask(Some(token), "POST", path, rows));
        said.push(server.ask(Some(token), "GET", "/v1/segments/none", None));
        said.push(server.ask(Some(token), "GET", "/v1/keys", None));
        said.push(server.ask(Some(token), "GET", "/metrics", None));
    }
    eventually("the use is noted", || {
        lake.json(&["api-key", "list"])[0]["last_used_at"].is_string()
    });
    let rotated = lake.json(&["api-key", "rotate", admin["prefix"].as_str().unwrap()]);
    let rotated = rotated["token"].as_str().unwrap();
    let failed = lake.run(&["api-key", "revoke", token]);
    assert!(!failed.status.success());
    for secret in [&token[15..], &wrong[15..], &rotated[15..]] {
        for answer in &said {
            assert!(!String::from_utf8_lossy(&answer.body).contains(secret));
        }
        assert!(server.log().iter().all(|line| !line.contains(secret)));
        assert!(!holds(&lake.path("lake"), secret));
    }
    assert!(server.stop());
}

/// Keys lie beside the folders of tenants, which other commands work on.
#[test]
fn keys_survive_what_works_on_tenants() {
    let lake: OwnLake = lake_with_persons("http_access_folder");
    let key = created(&lake, "viewer", &[]);
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
    lake.json(&["vacuum"]);
    lake.json(&["compact", "--all"]);
    let copy = lake.path("copy");
    lake.json(&["backup", copy.to_str().unwrap()]);
    assert!(!copy.join("_access").exists(), "a backup has no keys");
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
    let refused = lake.run(&["--tenant", "_access", "tables"]);
    assert!(!refused.status.success());
    let server = Server::start(&lake, "default");
    assert_eq!(status(&server, key["token"].as_str()), 200);
    assert!(server.stop());
}
