//! Hostile callers: cross-site requests, incomplete requests, decompression bombs, undefined
//! methods.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::refusals::check;
use crate::support::own_lake::OwnLake;
use crate::support::server::{Server, raw};

fn served(name: &str, persons: &str) -> (OwnLake, Server) {
    let lake = OwnLake::new(name);
    let server = Server::start(&lake, "default");
    let path = "/v1/ingest/native/persons";
    let taken = server.send_text("POST", path, "text/csv", &[], persons);
    assert_eq!(taken.status, 200);
    (lake, server)
}

#[test]
fn cross_site_requests_are_refused() {
    let (_lake, server) = served("http_cross_site", "external_id\na\n");
    let own = format!("http://{}", server.address);
    let (host, port) = server.address.split_once(':').unwrap();
    assert_eq!(host, "127.0.0.1");
    for taken in [
        vec![],
        vec![("origin", own.as_str())],
        vec![("sec-fetch-site", "none")],
        vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())],
    ] {
        let answer = server.get_with("/v1/persons/1", &taken);
        assert_eq!(answer.status, 200, "{taken:?}");
    }
    let same_site = format!("http://localhost:{port}");
    for refused in [
        vec![("origin", "null")],
        vec![("origin", "https://example.com")],
        vec![("origin", "http://127.0.0.1:1")],
        vec![("origin", same_site.as_str())],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        for path in ["/v1/persons/1", "/v1/segments", "/openapi.json"] {
            let answer = server.get_with(path, &refused);
            check(&answer, 403, "cross_site");
        }
        let path = "/v1/ingest/native/persons";
        let rows = "external_id\nb\n";
        let answer = server.send_text("POST", path, "text/csv", &refused, rows);
        check(&answer, 403, "cross_site");
    }
    let persons = json!({"query": "select count(*) as n from persons"});
    let rows = server.send("POST", "/v1/sql", &persons).json();
    assert_eq!(rows["rows"], json!([{"n": 1}]));
    assert!(server.stop());
}

#[test]
fn unknown_methods_share_one_metric() {
    let (_lake, server) = served("http_methods", "external_id\na\n");
    let host = server.address.clone();
    for n in 0..50 {
        let request =
            format!("MADE{n} /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert!(raw(&host, request.as_bytes()).starts_with("HTTP/1.1 405"));
    }
    let figures = server.get("/metrics").body;
    let figures = String::from_utf8(figures).unwrap();
    assert!(!figures.contains("MADE"));
    let other = figures
        .lines()
        .find(|line| line.contains("method=\"other\""));
    assert!(other.unwrap().ends_with(" 50"), "{figures}");
    assert!(server.stop());
}

#[test]
fn incomplete_requests_do_not_block_others() {
    let (_lake, server) = served("http_half", "external_id\na\n");
    let mut halves = Vec::new();
    for _ in 0..900 {
        let mut half = TcpStream::connect(&server.address).unwrap();
        half.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ")
            .unwrap();
        halves.push(half);
    }
    let begun = Instant::now();
    assert_eq!(server.get("/healthz").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Those that have waited longest are closed.
    let mut first = halves.remove(0);
    first
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert_eq!(first.read(&mut [0; 16]).unwrap_or(0), 0);
    assert!(server.stop());
}

#[test]
fn decompression_bombs_are_refused() {
    let lake = OwnLake::new("http_much");
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--body-bytes",
        "1000000",
    ];
    let server = Server::start_with(lake.command(&serve));
    let path = "/v1/ingest/native/persons";
    let post = |rows: &str, packed: bool| {
        if !packed {
            return server.send_text("POST", path, "text/csv", &[], rows);
        }
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(rows.as_bytes()).unwrap();
        let body = packer.finish().unwrap();
        assert!(body.len() < 100_000, "{}", body.len());
        let headers = [("content-encoding", "gzip")];
        server.post_bytes(path, "text/csv", &headers, &body)
    };
    assert_eq!(post("external_id\na\n", true).status, 200);
    // Unpacked the limit is that of other bodies.
    let rows = |count: usize, row: &str| "external_id\n".to_owned() + &row.repeat(count);
    check(&post(&rows(500_000, "a\n"), true), 413, "body_too_large");
    // So many rows may wait in quarantine; with one more none is kept.
    let bad = |count: usize| post(&rows(count, "b,c\n"), false);
    let refused = bad(100_001);
    check(&refused, 422, "too_many_refused");
    let quarantine = json!({"query": "select count(*) as n from quarantine"});
    let kept = || server.send("POST", "/v1/sql", &quarantine).json()["rows"].clone();
    assert_eq!(kept(), json!([{"n": 0}]));
    let taken = bad(1_000).json();
    assert_eq!(taken["tables"][0]["quarantined"], 1_000);
    assert_eq!(kept(), json!([{"n": 1_000}]));
    assert!(server.stop());
}
