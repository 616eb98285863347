//! Problems over HTTP name routes as the next step, not commands.

use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

#[test]
fn http_problems_name_routes_not_commands() {
    let lake = OwnLake::new("http_hints");
    let server = Server::start(&lake, "default");
    let told = |answer: &Answer, hint: &str| {
        let problem = answer.json();
        let text = problem.to_string();
        assert!(answer.status >= 400, "{text}");
        assert!(
            !text.contains("rollbook ") && !text.contains(" --"),
            "{text}"
        );
        let found = problem["hint"].as_str().unwrap_or_default();
        assert!(found.contains(hint), "{hint:?} is not in {text}");
    };
    let get = |path: &str| server.get(path);
    let post = |path: &str, body: serde_json::Value| server.send("POST", path, &body);
    let rows = |path: &str, body: &str| server.send_text("POST", path, "text/csv", &[], body);
    let sql = |query: &str| post("/v1/sql", json!({ "query": query }));

    told(
        &get("/v1/segments"),
        "`POST /v1/ingest/{provider}/{source}`",
    );
    told(&sql("select 1"), "`POST /v1/ingest/{provider}/{source}`");
    let persons = "external_id,country\na,DE\nb,FR\n";
    assert_eq!(rows("/v1/ingest/native/persons", persons).status, 200);
    told(&rows("/v1/ingest/nativ/persons", persons), "");
    told(&rows("/v1/ingest/native/horses", persons), "");
    told(&sql("select zzz from people"), "`GET /v1/schema`");
    told(&sql("select 1 from zzz"), "`GET /v1/tables`");
    told(
        &post("/v1/sql", json!({"query": "select 1", "snapshot": 99})),
        "`snapshot`",
    );
    told(&get("/v1/segments/none"), "`GET /v1/segments`");
    let new = json!({"key": "de", "criteria": "country = 'DE'"});
    assert_eq!(post("/v1/segments", new).status, 201);
    for question in ["members", "count", "reach", "members?stream=true"] {
        let answer = get(&format!("/v1/segments/de/{question}"));
        told(&answer, "`POST /v1/segments/de/refresh`");
    }
    let trial = json!({"criteria": "in_segment('none')"});
    told(&post("/v1/segments/preview", trial), "`GET /v1/segments`");
    told(
        &post("/v1/identity/reviews/1", json!({"different": true})),
        "",
    );
    told(
        &post("/v1/identity/reviews/99", json!({"different": true})),
        "",
    );
    told(
        &server.delete("/v1/identity/merges/01a1ffda-3712-7255-8c62-cab5ec60ca5d"),
        "",
    );
    told(&get("/v1/scores/lead"), "no route computes scores");
    told(&get("/v1/persons?external=nowhere"), "");
    told(&get("/v1/nothing"), "`GET /openapi.json`");
    // The reason of a segment that names another one has no commands either.
    let new = json!({"key": "both", "criteria": "in_segment('de') and country = 'FR'"});
    assert_eq!(post("/v1/segments", new).status, 201);
    assert!(
        !String::from_utf8(get("/v1/segments").body)
            .unwrap()
            .contains("rollbook")
    );
}

#[test]
fn blank_from_an_unencoded_plus_is_explained() {
    let lake = OwnLake::new("http_plus");
    let server = Server::start(&lake, "default");
    let rows = "external_id,email,phone\na,ann+x@example.com,+4930123456\n";
    let path = "/v1/ingest/native/persons";
    assert_eq!(
        server.send_text("POST", path, "text/csv", &[], rows).status,
        200
    );
    let found = |path: &str| server.get(path).json()["persons"].as_array().map(Vec::len);
    assert_eq!(found("/v1/persons?email=ann%2Bx@example.com"), Some(1));
    assert_eq!(found("/v1/persons?phone=%2B4930123456"), Some(1));
    assert_eq!(found("/v1/persons?phone=%2B49+30+123456"), Some(1));
    for path in [
        "/v1/persons?email=ann+x@example.com",
        "/v1/persons?phone=+4930123456",
        "/v1/segments/x/explain/1?as_of=2025-06-01T00:00:00+02:00",
    ] {
        let problem = server.get(path);
        assert_eq!(problem.status, 400, "{path}");
        let hint = problem.json()["hint"].to_string();
        assert!(
            hint.contains("`+`") && hint.contains("%2B"),
            "{path}: {hint}"
        );
    }
    // Without a `+` nothing is said of one.
    let problem = server.get("/v1/segments/x/explain/1?as_of=soon").json();
    assert!(problem["hint"].is_null(), "{problem}");
}
