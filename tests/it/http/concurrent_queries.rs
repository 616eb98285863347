//! Concurrent expensive queries, and callers who disconnect while their next request waits.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::expensive_statements::{BESIDE, POOL};
use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;
use crate::support::server::Server;
use crate::support::usage::PeakMemory;

fn server(lake: &OwnLake) -> Server {
    let pool = POOL.to_string();
    let serve = ["--memory-mib", &pool, "serve", "--listen", "127.0.0.1:0"];
    let server = Server::start_with(lake.command(&serve));
    let rows = "external_id,country\np1,DE\np2,US\n";
    let posted = server.send_text("POST", "/v1/ingest/native/persons", "text/csv", &[], rows);
    assert_eq!(posted.status, 200);
    server
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "what processes use is read from /proc"
)]
fn concurrent_queries_share_one_memory_limit() {
    let lake = OwnLake::new("http_crowd");
    let server = server(&lake);
    // Each of them takes more than half of what one may.
    let statement = "select sum(length(replace(repeat('a', 8000 + value), 'a', repeat('b', 500)))) \
                     from generate_series(1, 14)";
    let memory = PeakMemory::watch(server.process());
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || {
            let query = json!({"query": statement});
            let each = (0..10).map(|_| {
                let answer = server.send("POST", "/v1/sql", &query);
                match answer.status {
                    503 => assert_eq!(answer.json()["code"], "busy"),
                    status => assert_eq!(status, 200, "{}", answer.json()),
                }
                answer.status
            });
            each.collect::<Vec<_>>()
        };
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        let asked: Vec<_> = asked.into_iter().map(|one| one.join()).collect();
        asked.into_iter().flat_map(Result::unwrap).collect()
    });
    let peak = memory.peak();
    println!("{statuses:?}, {peak} MiB at most");
    assert!(statuses.contains(&200));
    assert!(peak <= POOL + BESIDE, "{peak} MiB");
    let plain = json!({"query": "select count(*) as n from people"});
    let plain = server.send("POST", "/v1/sql", &plain);
    assert_eq!(plain.json()["rows"], json!([{"n": 2}]));
}

#[test]
fn disconnect_with_a_pipelined_request_is_noticed() {
    let lake = OwnLake::new("http_hung_up");
    let server = server(&lake);
    let endless = "select count(*) from generate_series(1, 3000000) a, generate_series(1, 3000000) b \
                   where a.value % 7 = b.value % 11";
    let body = json!({"query": endless}).to_string();
    let length = body.len();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let post = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let next = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream
        .write_all(format!("{post}{next}").as_bytes())
        .unwrap();
    let in_flight = |count: u32| {
        let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
        metrics.contains(&format!("rollbook_http_requests_in_flight {count}\n"))
    };
    // With the one that asks for the figures.
    eventually("it is never begun", || in_flight(2));
    drop(stream);
    let begun = std::time::Instant::now();
    eventually("it goes on for nobody", || in_flight(1));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}
