//! An idempotency key stands for a request that took effect, not for one that was refused.

use serde_json::{Value, json};

use super::refusals::check;
use crate::support::own_lake::{OwnLake, counts};
use crate::support::server::{Answer, Server};

const PATH: &str = "/v1/ingest/native/activities";

fn activity(id: &str) -> String {
    let row = json!({"external_id": id, "person_external_id": "P1", "type": "seen",
        "occurred_at": "2025-01-01T00:00:00Z"});
    format!("{row}\n")
}

fn post(server: &Server, path: &str, key: &str, more: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[("idempotency-key", key)], more].concat();
    server.send_text("POST", path, "application/x-ndjson", &headers, body)
}

#[test]
fn refused_request_does_not_use_up_its_idempotency_key() {
    let lake = OwnLake::new("http_keys");
    let server = Server::start(&lake, "default");
    let waits = [("prefer", "respond-async")];
    assert_eq!(
        post(&server, PATH, "first", &[], &activity("A0")).status,
        200
    );
    let nobody = "{\"type\": \"seen\"}\n";
    for (at, more) in [&[][..], &waits].into_iter().enumerate() {
        let key = format!("key-{at}");
        // No source of that name; a body that the mapping cannot read.
        let refused = post(
            &server,
            "/v1/ingest/native/horses",
            &key,
            more,
            &activity("A1"),
        );
        check(&refused, 404, "unknown_source");
        let refused = post(&server, PATH, &key, &[], nobody);
        check(&refused, 422, "cannot_ingest");
        let refused = post(&server, PATH, &key, &[], "");
        assert_eq!(refused.status, 422, "{}", refused.json());
        // The corrected request is accepted under the same key, which then belongs to it.
        let id = format!("B{at}");
        let taken = post(&server, PATH, &key, more, &activity(&id));
        assert!([200, 202].contains(&taken.status), "{}", taken.json());
        let other = post(&server, PATH, &key, &[], &activity("C"));
        check(&other, 422, "idempotency_key_reused");
        let refused = post(&server, PATH, &key, &[], nobody);
        check(&refused, 422, "idempotency_key_reused");
        let again = post(&server, PATH, &key, &[], &activity(&id));
        assert_eq!(again.status, 200, "{}", again.json());
    }
    assert_eq!(lake.value("select count(*) as n from activities"), 3);
}

#[test]
fn concurrent_requests_with_one_key_take_effect_once() {
    let lake = OwnLake::new("http_keys_at_once");
    let server = Server::start(&lake, "default");
    assert_eq!(
        post(&server, PATH, "first", &[], &activity("A0")).status,
        200
    );
    let answers: Vec<(usize, u16, Value)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    // Every second one sends a body that cannot be read under the same key.
                    let body = match client % 2 {
                        0 => "{\"type\": \"seen\"}\n".to_owned(),
                        _ => activity("A1"),
                    };
                    let answer = post(server, PATH, "shared", &[], &body);
                    (client, answer.status, answer.json())
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let mut first = None;
    for (client, status, answer) in answers {
        if client % 2 == 0 {
            let code = answer["code"].as_str().unwrap();
            assert_eq!(status, 422, "{answer}");
            assert!(
                ["cannot_ingest", "idempotency_key_reused"].contains(&code),
                "{answer}"
            );
        } else if status == 200 {
            assert_eq!(counts(&answer, "activities"), [1, 1, 0, 0], "{answer}");
            assert_eq!(*first.get_or_insert(answer.clone()), answer);
        } else {
            // The other body had the key while this one came.
            assert_eq!(
                (status, &answer["code"]),
                (422, &json!("idempotency_key_reused"))
            );
        }
    }
    let again = post(&server, PATH, "shared", &[], &activity("A1"));
    assert_eq!(again.status, 200, "{}", again.json());
    assert_eq!(lake.value("select count(*) as n from activities"), 2);
}
