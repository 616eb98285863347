//! Callers that disconnect and a server that is stopped during requests: acknowledged rows are stored once,
//! and nothing is half done.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;
use crate::support::server::Server;

const PATH: &str = "/v1/ingest/native/activities";

fn activity(id: &str) -> String {
    let row = json!({"external_id": id, "person_external_id": "P1", "type": "seen",
        "occurred_at": "2025-01-01T00:00:00Z"});
    format!("{row}\n")
}

/// The bytes of a request.
fn request(address: &str, line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn send(address: &str, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn has_no_problems(lake: &OwnLake) {
    let checked = lake.json(&["check"]);
    assert!(
        checked["problems"].as_array().unwrap().is_empty(),
        "{checked}"
    );
}

#[test]
fn disconnected_callers_leave_nothing_half_done() {
    let lake = OwnLake::new("http_leaving");
    let server = Server::start(&lake, "default");
    let address = server.address.as_str();
    let persons: String = (0..3000).map(|n| format!("p{n},DE\n")).collect();
    let persons = format!("external_id,country\n{persons}");
    let path = "/v1/ingest/native/persons";
    assert_eq!(
        server
            .send_text("POST", path, "text/csv", &[], &persons)
            .status,
        200
    );
    let new = json!({"key": "all", "criteria": "country = 'DE'"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    assert_eq!(
        server
            .send("POST", "/v1/segments/all/refresh", &json!({}))
            .status,
        200
    );

    let ndjson = |key: usize, more: &str| {
        format!("content-type: application/x-ndjson\r\nidempotency-key: key-{key}\r\n{more}")
    };
    let kind = "content-type: application/json\r\n";
    for key in 0..12 {
        let more = ["", "prefer: respond-async\r\n"][key % 2];
        let body = activity(&format!("A{key}"));
        let post = request(address, &format!("POST {PATH}"), &ndjson(key, more), &body);
        // Half of a request, and a whole one whose answer nobody reads.
        drop(send(address, &post[..post.len() - 20]));
        drop(send(address, &post));
    }
    for n in 0..4 {
        let criteria = json!({"criteria": format!("country = 'DE' or country = 'F{n}'")});
        let line = format!("PUT /v1/segments/left-{n}");
        drop(send(
            address,
            &request(address, &line, kind, &criteria.to_string()),
        ));
        drop(send(
            address,
            &request(address, "POST /v1/segments/all/refresh", kind, "{}"),
        ));
        let preview = json!({"criteria": format!("country = 'G{n}'")}).to_string();
        drop(send(
            address,
            &request(address, "POST /v1/segments/preview", kind, &preview),
        ));
        let members = "GET /v1/segments/all/members?stream=true&fields=country";
        let mut stream = send(address, &request(address, members, "", ""));
        stream.read_exact(&mut [0; 20]).unwrap();
    }

    // The server goes on, and counts nobody who has gone.
    eventually("requests of callers that went away stay open", || {
        let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
        // This one is open itself.
        metrics.contains("rollbook_http_requests_in_flight 1\n")
    });
    // Sent again under its key, each request is done once.
    for key in 0..12 {
        let name = format!("key-{key}");
        let headers = [("idempotency-key", name.as_str())];
        let body = activity(&format!("A{key}"));
        let answer = server.send_text("POST", PATH, "application/x-ndjson", &headers, &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    let rows = "select count(*) as n, count(distinct external_id) as ids from activities";
    assert_eq!(lake.sql(rows), [json!({"n": 12, "ids": 12})]);
    assert_eq!(lake.value("select count(*) as n from quarantine"), 0);
    let count = server.get("/v1/segments/all/count").json();
    assert_eq!(count["count"], 3000, "{count}");
    let segments = server.get("/v1/segments").json();
    assert!(
        segments
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["key"] == "all")
    );
    for segment in segments.as_array().unwrap() {
        let key = segment["key"].as_str().unwrap();
        assert_eq!(segment["revision"], 1, "{segment}");
        let refreshed = server.send("POST", &format!("/v1/segments/{key}/refresh"), &json!({}));
        assert_eq!(refreshed.json()["count"], 3000, "{key}");
    }
    assert!(server.stop());
    has_no_problems(&lake);
}

#[test]
fn rows_acknowledged_during_shutdown_are_kept() {
    let lake = OwnLake::new("http_stopping");
    let server = Server::start(&lake, "default");
    let answer = server.send_text(
        "POST",
        PATH,
        "application/x-ndjson",
        &[],
        &activity("first"),
    );
    assert_eq!(answer.status, 200, "{}", answer.json());
    let address = server.address.clone();
    // A body that ends after the server was asked to stop.
    let body = activity("late");
    let head = "content-type: application/x-ndjson\r\n";
    let late = request(&address, &format!("POST {PATH}"), head, &body);
    let (begin, end) = late.split_at(late.len() - 20);
    let mut open = send(&address, begin);

    let acknowledged = Mutex::new(BTreeSet::new());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..6 {
            let (server, acknowledged, is_over) = (&server, &acknowledged, &is_over);
            scope.spawn(move || {
                for number in 0.. {
                    let id = format!("A{client}-{number}");
                    let prefer = [("prefer", "respond-async")];
                    let headers = &prefer[..client % 2];
                    let kind = "application/x-ndjson";
                    let answer = server.try_text("POST", PATH, kind, headers, &activity(&id));
                    match answer.map(|answer| answer.status) {
                        Some(200 | 202) => drop(acknowledged.lock().unwrap().insert(id)),
                        // Nobody listens any more.
                        None if is_over.load(Ordering::Relaxed) => return,
                        other => panic!("{id}: {other:?} while the server serves"),
                    }
                }
            });
        }
        eventually("nobody is answered", || {
            acknowledged.lock().unwrap().len() >= 30
        });
        is_over.store(true, Ordering::Relaxed);
        server.terminate();
        eventually("a server that stops takes no more connections", || {
            TcpStream::connect(&address).is_err()
        });
        open.write_all(end.as_bytes()).unwrap();
        let mut answer = String::new();
        open.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
    let stopping = Instant::now();
    assert!(server.ended());
    assert!(
        stopping.elapsed() < Duration::from_secs(15),
        "idle connections held it up"
    );

    let mut expected = acknowledged.into_inner().unwrap();
    expected.extend(["first".to_owned(), "late".to_owned()]);
    assert!(lake.run(&["journal", "fold"]).status.success());
    let rows = lake.sql("select external_id from activities order by external_id limit 5000");
    let ids: Vec<&str> = rows
        .iter()
        .map(|row| row["external_id"].as_str().unwrap())
        .collect();
    assert!(
        ids.windows(2).all(|pair| pair[0] != pair[1]),
        "a row is there twice"
    );
    let lost: Vec<_> = expected
        .iter()
        .filter(|id| !ids.contains(&id.as_str()))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    has_no_problems(&lake);
}
