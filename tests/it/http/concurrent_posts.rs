//! Concurrent posts share commits, and each gets the answer that it would get alone.

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, counts};
use crate::support::server::Server;

const CLIENTS: usize = 24;

fn activity(id: usize) -> String {
    let row = json!({"external_id": format!("A{id}"), "person_external_id": "P1",
        "type": "page_viewed", "occurred_at": "2025-01-01T00:00:00Z"});
    format!("{row}\n")
}

fn post(server: &Server, path: &str, key: &str, body: &str) -> (u16, Value) {
    let headers = [("idempotency-key", key)];
    let answer = server.send_text("POST", path, "application/x-ndjson", &headers, body);
    (answer.status, answer.json())
}

#[test]
fn concurrent_posts_share_commits_and_keep_their_own_answers() {
    let lake = OwnLake::new("posts_at_once");
    let server = Server::start(&lake, "default");
    post(
        &server,
        "/v1/ingest/native/activities",
        "first",
        &activity(0),
    );
    let answers: Vec<(usize, u16, Value)> = std::thread::scope(|scope| {
        let clients = (1..=CLIENTS).map(|client| {
            let server = &server;
            scope.spawn(move || {
                // One row that is new; of every third also one that is known, and one that is none.
                let mut body = activity(client);
                if client % 3 == 0 {
                    body += &activity(0);
                    body += "{\"external_id\": \"X\", \"type\": \"seen\", \"occurred_at\": \"never\"}\n";
                }
                let path = match client % 8 {
                    7 => "/v1/ingest/native/nothing_like_it",
                    _ => "/v1/ingest/native/activities",
                };
                // Every second one sends the key of its neighbour with a body of its own.
                let key = match client % 4 {
                    2 => format!("key-{}", client + 1),
                    _ => format!("key-{client}"),
                };
                let (status, answer) = post(server, path, &key, &body);
                (client, status, answer)
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    let mut taken = 1;
    for (client, status, answer) in &answers {
        match (client % 8, client % 4) {
            // Whichever of the two with one key came second is refused.
            (_, 2 | 3) if *status == 422 => {
                assert_eq!(answer["code"], "idempotency_key_reused", "{answer}");
            }
            (7, _) => assert_eq!((*status, &answer["code"]), (404, &json!("unknown_source"))),
            _ => {
                let expected = match client % 3 {
                    0 => [3, 1, 1, 1],
                    _ => [1, 1, 0, 0],
                };
                assert_eq!(*status, 200, "client {client}: {answer}");
                assert_eq!(counts(answer, "activities"), expected, "client {client}");
                taken += 1;
            }
        }
    }
    let rows = "select count(*) as n from activities";
    assert_eq!(lake.value(rows), taken);
    let snapshots = lake.json(&["snapshots"]);
    let snapshots = snapshots.as_array().unwrap().len();
    assert!(snapshots < taken, "{snapshots} commits for {taken} posts");
    // Sent again, each gets the answer of the first time.
    for (client, status, answer) in &answers {
        if *status == 200 && client % 4 < 2 {
            let path = "/v1/ingest/native/activities";
            let mut body = activity(*client);
            if client % 3 == 0 {
                body += &activity(0);
                body +=
                    "{\"external_id\": \"X\", \"type\": \"seen\", \"occurred_at\": \"never\"}\n";
            }
            let again = post(&server, path, &format!("key-{client}"), &body);
            assert_eq!(again, (200, answer.clone()));
        }
    }
    assert!(
        lake.json(&["check"])["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn post_reports_its_own_decimal_commas_and_unknown_statuses() {
    let lake = OwnLake::new("posted_numbers_and_words");
    let server = Server::start(&lake, "default");
    let order = |id: u8, status: &str, total: &str| {
        let row = json!({"external_id": id.to_string(), "person_external_id": "P1", "currency": "EUR",
            "status": status, "total": total, "placed_at": "2025-01-01T00:00:00Z"});
        format!("{row}\n")
    };
    let path = "/v1/ingest/native/orders";
    let body = order(1, "SHIPPED", "5") + &order(2, "Paid", "1.234") + &order(3, "paid", "12,50");
    let (status, answer) = post(&server, path, "commas", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(counts(&answer, "orders"), [3, 1, 0, 2]);
    assert_eq!(
        answer["unknown_statuses"],
        json!([{"table": "orders", "column": "status", "status": "shipped", "rows": 1,
            "counts_as": "nothing"}])
    );
    // Warnings of one body do not appear for the next.
    let (status, answer) = post(&server, path, "points", &order(2, "Paid", "1.234"));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(counts(&answer, "orders"), [1, 1, 0, 0]);
    assert!(answer.get("unknown_statuses").is_none(), "{answer}");
    let found = lake.sql("select status, total from orders where external_id = '2'");
    assert_eq!(
        Value::Array(found),
        json!([{"status": "paid", "total": "1.2340"}])
    );
}
