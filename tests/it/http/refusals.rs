//! Bad requests get a fitting status and a problem with the next step; nothing changes and the
//! server stays up.

use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server, raw};

pub(super) fn check(answer: &Answer, status: u16, code: &str) {
    let what = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{what}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{what}");
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    assert!(!answer.header("x-request-id").is_empty());
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    let lake = OwnLake::new("http_refusals");
    let server = Server::start(&lake, "default");
    check(&server.get("/v1/segments"), 404, "no_lake");
    let persons = "external_id,country\na,DE\nb,FR\n";
    let taken = server.send_text(
        "POST",
        "/v1/ingest/native/persons",
        "text/csv",
        &[],
        persons,
    );
    assert_eq!(taken.status, 200);
    let new = json!({"key": "germany", "criteria": "country = 'DE'", "refresh": "manual"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let other = json!({"key": "all", "criteria": "true", "refresh": "manual"});
    assert_eq!(server.send("POST", "/v1/segments", &other).status, 201);
    for key in ["germany", "all"] {
        assert_eq!(
            server
                .send("POST", &format!("/v1/segments/{key}/refresh"), &json!({}))
                .status,
            200
        );
    }
    let before = server.get("/readyz").json();

    let sql = |query: &str| server.send("POST", "/v1/sql", &json!({ "query": query }));
    check(&sql("select 1; select 2"), 422, "more_than_one_statement");
    check(&sql("drop table persons"), 422, "not_read_only");
    check(&sql("insert into persons values (1)"), 422, "not_read_only");
    check(
        &sql("create external table t stored as csv location '/etc/passwd'"),
        422,
        "not_read_only",
    );
    let wrong = sql("select country\nfrom persons where and country = 'DE'");
    check(&wrong, 422, "sql_syntax");
    assert_eq!(wrong.json()["position"]["line"], 2);
    let unknown = sql("select contry from persons");
    check(&unknown, 422, "unknown_column");
    assert!(
        unknown.json()["detail"]
            .as_str()
            .unwrap()
            .contains("`country`")
    );
    check(&sql(&"x".repeat(200_000)), 422, "sql_too_complex");

    let get = |path: &str| server.get(path);
    check(&get("/v1/segments/germny"), 404, "unknown_segment");
    assert!(
        get("/v1/segments/germny").json()["detail"]
            .as_str()
            .unwrap()
            .contains("`germany`")
    );
    check(&get("/v1/segments/No%20Key"), 400, "invalid_path");
    check(
        &get("/v1/segments/germany/members?limit=0"),
        400,
        "invalid_limit",
    );
    check(
        &get("/v1/segments/germany/members?limit=x"),
        400,
        "invalid_query",
    );
    check(
        &get("/v1/segments/germany/members?page=2"),
        400,
        "invalid_query",
    );
    check(
        &get("/v1/segments/germany/members?page_token=00ff"),
        400,
        "invalid_page_token",
    );
    let token = get("/v1/segments/all/members?limit=1").json()["next_page_token"].clone();
    let token = token.as_str().unwrap();
    check(
        &get(&format!("/v1/segments/germany/members?page_token={token}")),
        400,
        "invalid_page_token",
    );
    let forged = format!(
        "/v1/segments/all/members?page_token={}0",
        &token[..token.len() - 1]
    );
    check(&get(&forged), 400, "invalid_page_token");
    check(&get("/v1/persons/99"), 404, "unknown_person");
    check(&get("/v1/persons/ada"), 400, "invalid_path");
    check(&get("/v1/nothing"), 404, "unknown_route");
    check(&server.delete("/v1/sql"), 405, "method_not_allowed");

    let post = |path: &str, kind: &str, body: &str| server.send_text("POST", path, kind, &[], body);
    check(&post("/v1/sql", "text/plain", "{}"), 415, "not_json");
    check(
        &post("/v1/sql", "application/json", "{"),
        400,
        "invalid_body",
    );
    check(
        &post("/v1/sql", "application/json", "{\"sql\":\"select 1\"}"),
        400,
        "invalid_body",
    );
    check(
        &post("/v1/ingest/native/persons", "application/pdf", "x"),
        415,
        "unknown_format",
    );
    check(
        &post("/v1/ingest/nativ/persons", "text/csv", persons),
        404,
        "unknown_provider",
    );
    check(
        &post("/v1/ingest/native/horses", "text/csv", persons),
        404,
        "unknown_source",
    );
    check(
        &post("/v1/ingest/native/..%2Fpersons", "text/csv", persons),
        400,
        "invalid_path",
    );
    let long = "k".repeat(300);
    let keyed = [("idempotency-key", long.as_str())];
    let answer = server.send_text(
        "POST",
        "/v1/ingest/native/persons",
        "text/csv",
        &keyed,
        persons,
    );
    check(&answer, 400, "invalid_idempotency_key");
    let credit = |body: serde_json::Value| server.send("POST", "/v1/attribution/runs", &body);
    check(&credit(json!({"lookback": "-1"})), 422, "invalid_lookback");
    check(&credit(json!({"models": ["lst"]})), 422, "unknown_model");
    check(
        &credit(json!({"from": "2026-01-01", "to": "2025-01-01"})),
        422,
        "empty_time",
    );
    check(&get("/v1/scores/leads"), 400, "invalid_path");
    check(&get("/v1/scores/lead"), 409, "not_scored");
    let bad = json!({"key": "bad", "criteria": "countri = 'DE'"});
    check(
        &server.send("POST", "/v1/segments", &bad),
        422,
        "unknown_column",
    );

    assert_eq!(
        server.get("/readyz").json(),
        before,
        "something was changed"
    );
    assert!(server.stop());
}

#[test]
fn foreign_hosts_and_too_large_or_slow_bodies_are_refused() {
    let lake = OwnLake::new("http_raw");
    let command = lake.command(&["serve", "--listen", "127.0.0.1:0", "--body-seconds", "2"]);
    let server = Server::start_with(command);
    let address = server.address.clone();

    let foreign = raw(
        &address,
        b"GET /v1/tables HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
    );
    assert!(
        foreign.starts_with("HTTP/1.1 421") && foreign.contains("foreign_host"),
        "{foreign}"
    );
    let nameless = raw(&address, b"GET /v1/tables HTTP/1.0\r\n\r\n");
    assert!(nameless.contains("foreign_host"), "{nameless}");

    // It says that a gigabyte will come; most of it never does.
    let head = format!(
        "POST /v1/ingest/native/persons HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\ncontent-length: 1073741824\r\nconnection: close\r\n\r\n"
    );
    let mut big = head.into_bytes();
    big.extend(vec![b'x'; 1 << 20]);
    let big = raw(&address, &big);
    assert!(
        big.starts_with("HTTP/1.1 413") && big.contains("body_too_large"),
        "{big}"
    );

    let chunked = format!(
        "POST /v1/ingest/native/persons HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    let mut endless = chunked.clone().into_bytes();
    for _ in 0..80 {
        endless.extend(format!("{:x}\r\n", 1 << 20).into_bytes());
        endless.extend(vec![b'x'; 1 << 20]);
        endless.extend(b"\r\n");
    }
    let endless = raw(&address, &endless);
    assert!(
        endless.starts_with("HTTP/1.1 413"),
        "{}",
        endless.lines().next().unwrap_or_default()
    );

    let mut slow = chunked.into_bytes();
    slow.extend(b"b\r\nexternal_id\r\n");
    let slow = raw(&address, &slow);
    assert!(
        slow.starts_with("HTTP/1.1 408") && slow.contains("body_too_slow"),
        "{slow}"
    );

    assert_eq!(server.get("/healthz").status, 200);
    assert!(
        !lake.path("lake").exists(),
        "a refused body left something behind"
    );
}

#[test]
fn serve_refuses_addresses_other_machines_can_reach() {
    let lake = OwnLake::new("http_listen");
    let refused = lake.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    for named in [
        "other machines",
        "--tls-cert",
        "--trusted-proxies",
        "127.0.0.1",
    ] {
        assert!(said.contains(named), "{said}");
    }
    let typo = lake.run(&["serve", "--listen", "localhost"]);
    assert_eq!(typo.status.code(), Some(2));
}
