//! Trial keys send and get so many rows an hour, and never half an answer.

use serde_json::{Value, json};

use super::{check_refused, created, lake_with_persons, token};
use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

fn serve(lake: &OwnLake, rows: &str) -> Server {
    let options = ["serve", "--listen", "127.0.0.1:0", "--rate-limit", "0"];
    let limit = ["--trial-rows-per-hour", rows];
    Server::start_with(lake.command(&[&options[..], &limit].concat()))
}

fn check_limited(answer: &Answer, limit: &str, remaining: &str) {
    check_refused(answer, 429, "rate_limited");
    assert_eq!(answer.header("ratelimit-limit"), limit);
    assert_eq!(answer.header("ratelimit-remaining"), remaining);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-count"), "");
    assert!(String::from_utf8_lossy(&answer.body).contains("trial key"));
}

#[test]
fn rows_of_a_trial_key_are_limited_before_they_are_sent() {
    let lake = lake_with_persons("http_access_trial_reads");
    let trial = created(&lake, "admin", &["--trial"]);
    assert_eq!(trial["trial"], true);
    let trial = format!("Bearer {}", trial["token"].as_str().unwrap());
    let whole = format!("Bearer {}", token(&lake, "admin", &[]));
    let server = serve(&lake, "6");
    let get = |bearer: &str, query: &str| {
        let path = format!("/v1/segments/lapsed/members?{query}");
        server.ask_with(&[("authorization", bearer)], "GET", &path, None)
    };
    // Two members, in any form; what has no rows costs nothing.
    assert_eq!(get(&trial, "").status, 200);
    assert_eq!(get(&trial, "stream=true&format=csv").status, 200);
    for _ in 0..3 {
        let headers = [("authorization", trial.as_str())];
        let counted = server.ask_with(&headers, "GET", "/v1/segments/lapsed/count", None);
        assert_eq!(counted.status, 200);
    }
    assert_eq!(get(&trial, "limit=1").status, 200);
    for query in [
        "",
        "stream=true&format=csv",
        "fields=country",
        "format=parquet",
    ] {
        check_limited(&get(&trial, query), "6", "1");
    }
    let sql = json!({"query": "select person_id from people"}).to_string();
    let sql = || {
        let headers = [("authorization", trial.as_str())];
        server.ask_with(
            &headers,
            "POST",
            "/v1/sql",
            Some(("application/json", &sql)),
        )
    };
    check_limited(&sql(), "6", "1");
    // What was refused was not counted; then nothing is left.
    assert_eq!(get(&trial, "limit=1").status, 200);
    check_limited(&get(&trial, "limit=1"), "6", "0");
    // A session is the same key; others are not.
    let headers = [("authorization", trial.as_str())];
    let started = server.ask_with(&headers, "POST", "/v1/session", None);
    let cookie = started.header("set-cookie").to_owned();
    let cookie = [("cookie", cookie.split(';').next().unwrap())];
    let page = server.ask_with(&cookie, "GET", "/v1/segments/lapsed/members", None);
    check_limited(&page, "6", "0");
    for _ in 0..5 {
        assert_eq!(get(&whole, "").status, 200);
    }
    // The refusal is in the audit, and no rows.
    let audit = server.ask_with(
        &[("authorization", whole.as_str())],
        "GET",
        "/v1/audit",
        None,
    );
    let acts = audit.json();
    let refused = acts.as_array().unwrap().iter();
    let mut refused = refused.filter(|act| act["result"] == "rate_limited");
    assert!(refused.all(|act| act["rows"] == Value::Null));
    assert!(server.stop());
}

#[test]
fn rows_that_a_trial_key_sends_are_counted_before_any_is_ingested() {
    let lake = lake_with_persons("http_access_trial_ingest");
    let trial = format!("Bearer {}", token(&lake, "operator", &["--trial"]));
    let server = serve(&lake, "4");
    let post = |name: &str, prefer: &str, ty: &str, body: &str| {
        let headers = [("authorization", trial.as_str()), ("prefer", prefer)];
        let path = format!("/v1/ingest/native/{name}");
        server.ask_with(&headers, "POST", &path, Some((ty, body)))
    };
    let csv = |first: u32, rows: u32| {
        let rows = (first..first + rows).map(|id| format!("T{id},\"a\nname\"\n"));
        format!("external_id,first_name\n{}", rows.collect::<String>())
    };
    for prefer in ["", "respond-async"] {
        check_limited(&post("persons", prefer, "text/csv", &csv(1, 5)), "4", "4");
    }
    assert_eq!(post("persons", "", "text/csv", &csv(1, 2)).status, 200);
    // One array on one line, too.
    let list = r#"[{"external_id":"T3"},{"external_id":"T4"},{"external_id":"T5"}]"#;
    for prefer in ["", "respond-async"] {
        let refused = post("persons", prefer, "application/json", list);
        check_limited(&refused, "4", "2");
    }
    let two = "{\"external_id\":\"T3\"}\n{\"external_id\":\"T4\"}\n";
    let taken = post("persons", "respond-async", "application/x-ndjson", two);
    assert_eq!(taken.status, 202);
    check_limited(&post("persons", "", "text/csv", &csv(9, 1)), "4", "0");
    assert!(server.stop());
    lake.run(&["journal", "fold"]);
    let ids = lake.sql("select external_id from persons where external_id like 'T%' order by 1");
    let ids: Vec<&str> = ids
        .iter()
        .map(|row| row["external_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["T1", "T2", "T3", "T4"]);
}

#[test]
fn trial_keys_create_and_revoke_trial_keys_only() {
    let lake = lake_with_persons("http_access_trial_keys");
    let trial = format!("Bearer {}", token(&lake, "admin", &["--trial"]));
    let whole = created(&lake, "viewer", &[]);
    assert_eq!(whole["trial"], false);
    let server = serve(&lake, "0");
    let create = |new: Value| {
        let body = new.to_string();
        let headers = [("authorization", trial.as_str())];
        server.ask_with(
            &headers,
            "POST",
            "/v1/keys",
            Some(("application/json", &body)),
        )
    };
    check_refused(
        &create(json!({"name": "n", "role": "viewer"})),
        403,
        "forbidden",
    );
    let issued = create(json!({"name": "n", "role": "viewer", "trial": true}));
    assert_eq!(issued.status, 201);
    assert_eq!(issued.json()["trial"], true);
    let path = format!("/v1/keys/{}", whole["prefix"].as_str().unwrap());
    let headers = [("authorization", trial.as_str())];
    check_refused(
        &server.ask_with(&headers, "DELETE", &path, None),
        403,
        "forbidden",
    );
    // Without a limit nothing is counted.
    for _ in 0..3 {
        let page = server.ask_with(&headers, "GET", "/v1/segments/lapsed/members", None);
        assert_eq!(page.status, 200);
    }
    assert!(server.stop());
}
