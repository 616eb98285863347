//! A whole HTTP conversation, stored as text: ingest, define, preview, refresh, page, delete.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

const PERSONS: &str = "external_id,display_name,email,country,created_at\n\
    c1,Ada Lovelace,ada@example.com,GB,2025-01-01\n\
    c2,Blaise Pascal,blaise@example.com,FR,2025-01-02\n\
    c3,Carl Gauss,carl@example.com,DE,2025-01-03\n";
const ORDERS: &str = r#"{"external_id":"o1","person_external_id":"c1","status":"paid","currency":"EUR","total":"120.50","placed_at":"2025-02-01T10:00:00Z","paid_at":"2025-02-01T10:05:00Z"}
{"external_id":"o2","person_external_id":"c2","status":"paid","currency":"EUR","total":"80","placed_at":"2025-02-02T10:00:00Z","paid_at":"2025-02-02T10:05:00Z"}
{"external_id":"o3","person_external_id":"c3","status":"paid","currency":"EUR","total":"much","placed_at":"2025-02-03T10:00:00Z"}
"#;

/// The requests and answers in order, with variable parts masked.
#[derive(Default)]
struct Said(String);

impl Said {
    fn note(&mut self, what: &str, answer: &Answer) {
        let body = match answer.body.is_empty() {
            true => String::new(),
            false => {
                let mut body = answer.json();
                mask(&mut body);
                format!("{}\n", serde_json::to_string_pretty(&body).unwrap())
            }
        };
        self.0 += &format!("{what}\n{}\n{body}\n", answer.status);
    }
}

/// Masks times, ids of runs, and tokens.
fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields {
                let masked = [
                    "computed_at",
                    "updated_at",
                    "since",
                    "batch",
                    "next_page_token",
                ];
                if masked.contains(&name.as_str()) && !value.is_null() {
                    *value = json!(format!("<{name}>"));
                } else {
                    mask(value);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn conversation_from_rows_to_members() {
    let lake = OwnLake::new("http_conversation");
    let server = Server::start(&lake, "default");
    let mut said = Said::default();
    let as_of = "2025-03-01T00:00:00Z";

    said.note("GET /readyz", &server.get("/readyz"));
    let csv = |path: &str, body: &str| server.send_text("POST", path, "text/csv", &[], body);
    said.note(
        "POST /v1/ingest/native/persons",
        &csv("/v1/ingest/native/persons", PERSONS),
    );
    let key = [("idempotency-key", "orders-1")];
    let orders = |body: &str| {
        let kind = "application/x-ndjson";
        server.send_text("POST", "/v1/ingest/native/orders", kind, &key, body)
    };
    let first = orders(ORDERS);
    said.note("POST /v1/ingest/native/orders", &first);
    let again = orders(ORDERS);
    assert_eq!(
        again.body, first.body,
        "the same request gets the same answer"
    );
    let other = orders(&ORDERS.replace("80", "81"));
    said.note(
        "POST /v1/ingest/native/orders (the same key, another body)",
        &other,
    );

    let question = json!({"query": "select table_name, line, column_name, code from quarantine", "as_of": as_of});
    said.note("POST /v1/sql", &server.send("POST", "/v1/sql", &question));
    let trial = json!({"criteria": "total_spent >= 100", "as_of": as_of});
    said.note(
        "POST /v1/segments/preview",
        &server.send("POST", "/v1/segments/preview", &trial),
    );
    let new = json!({"key": "buyers", "criteria": "total_spent > 0", "name": "Buyers"});
    said.note(
        "POST /v1/segments",
        &server.send("POST", "/v1/segments", &new),
    );
    said.note(
        "POST /v1/segments (again)",
        &server.send("POST", "/v1/segments", &new),
    );
    said.note(
        "GET /v1/segments/buyers/members (too early)",
        &server.get("/v1/segments/buyers/members"),
    );
    let moment = json!({"as_of": as_of});
    let refresh = |key: &str| server.send("POST", &format!("/v1/segments/{key}/refresh"), &moment);
    said.note("POST /v1/segments/buyers/refresh", &refresh("buyers"));
    let page = server.get("/v1/segments/buyers/members?limit=1");
    said.note("GET /v1/segments/buyers/members?limit=1", &page);
    let token = page.json()["next_page_token"].as_str().unwrap().to_owned();
    let next = server.get(&format!(
        "/v1/segments/buyers/members?limit=1&page_token={token}"
    ));
    said.note(
        "GET /v1/segments/buyers/members?limit=1&page_token=…",
        &next,
    );
    let change = json!({"criteria": "total_spent >= 100"});
    said.note(
        "PUT /v1/segments/buyers",
        &server.send("PUT", "/v1/segments/buyers", &change),
    );
    said.note("GET /v1/segments", &server.get("/v1/segments"));
    let person = server.get(&format!("/v1/persons/1?as_of={as_of}"));
    assert_eq!(person.json()["person"]["total_spent"], "120.5000");
    assert_eq!(person.json()["segments"], json!(["buyers"]));
    said.note(
        "DELETE /v1/segments/buyers",
        &server.delete("/v1/segments/buyers"),
    );
    said.note(
        "GET /v1/segments/buyers",
        &server.get("/v1/segments/buyers"),
    );

    insta::assert_snapshot!(said.0);
    let log = server.log();
    assert!(
        log.iter()
            .any(|line| line.contains("/v1/segments/{key}/members"))
    );
    for line in &log {
        let entry: Value = serde_json::from_str(line).unwrap();
        // Where the machine is slow, the server refreshes the segment by itself meanwhile.
        if entry["target"] == "rollbook_server::tasks::refreshes" {
            continue;
        }
        assert!(
            entry["request_id"].is_string() || entry["level"] != "INFO",
            "{line}"
        );
        for personal in ["Lovelace", "ada@", "buyers", "total_spent"] {
            assert!(!line.contains(personal), "{line}");
        }
    }
    assert!(server.stop());
}

#[test]
fn acknowledged_rows_survive_a_kill() {
    let lake = OwnLake::new("http_kill");
    let server = Server::start(&lake, "default");
    for n in 0..5 {
        let row = json!({"external_id": format!("a{n}"), "type": "page_viewed", "channel": "web",
            "occurred_at": "2025-01-01T00:00:00Z"});
        let kind = "application/x-ndjson";
        let answer = server.send_text(
            "POST",
            "/v1/ingest/native/activities",
            kind,
            &[],
            &row.to_string(),
        );
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    server.kill();
    let server = Server::start(&lake, "default");
    let question = json!({"query": "select count(*) as n from activities"});
    assert_eq!(
        server.send("POST", "/v1/sql", &question).json()["rows"][0]["n"],
        5
    );
}

#[test]
fn mapping_joins_tables_of_the_lake() {
    let lake = OwnLake::new("http_join");
    let mapping = "-- about: visits of members\n-- table: activities\n-- source: visits = visits*\n\
        -- source: members = SOURCE\n\
        select v.id as external_id, m.external_id as person_external_id, 'visited' as type, v.at as occurred_at \
        from visits v left join members m on m.external_id = 'club/' || v.member";
    let (with, without) = ("members*|lake:persons", "members*");
    lake.write("mappings/club/visits.sql", &mapping.replace("SOURCE", with));
    lake.write(
        "mappings/strict/visits.sql",
        &mapping.replace("SOURCE", without),
    );
    let persons = "-- about: members\n-- table: persons\n-- source: members = members*\n\
        select 'club/' || id as external_id, name as display_name from members";
    lake.write("mappings/club/persons.sql", persons);
    let mut command = lake.command(&["serve", "--listen", "127.0.0.1:0", "--mappings"]);
    command.arg(lake.path("mappings"));
    let server = Server::start_with(command);
    let csv = |path: &str, body: &str| server.send_text("POST", path, "text/csv", &[], body);

    let refused = csv("/v1/ingest/strict/visits", "id,member,at\n1,7,2025-01-01\n");
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (422, Some("missing_source"))
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("members")
    );

    assert_eq!(
        csv("/v1/ingest/club/members", "id,name\n7,Seven\n").status,
        200
    );
    let taken = csv(
        "/v1/ingest/club/visits",
        "id,member,at\n1,7,2025-01-01\n2,8,2025-01-02\n",
    );
    assert_eq!(taken.status, 200, "{}", taken.json());
    let question = json!({"query": "select external_id, person_id from activities order by 1"});
    let rows = server.send("POST", "/v1/sql", &question).json()["rows"].clone();
    assert_eq!(
        rows,
        json!([{"external_id": "1", "person_id": 1}, {"external_id": "2", "person_id": 0}])
    );
}
