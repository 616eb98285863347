//! Each key has its own limits: how many calls in a time, how many requests at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{serve, token};
use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;
use crate::support::server::{Answer, Server};

fn get(server: &Server, token: Option<&str>, path: &str) -> Answer {
    server.ask(token, "GET", path, None)
}

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer.header(name);
    value
        .parse()
        .unwrap_or_else(|_| panic!("`{name}` is `{value}`"))
}

#[test]
fn calls_of_a_key_are_limited_and_come_back() {
    let lake = OwnLake::new("http_limits");
    let (one, other) = (token(&lake), token(&lake));
    let server = Server::start_with(serve(&lake, &["--rate-limit", "8/4"]));
    let begun = Instant::now();
    for call in 1..=8 {
        // Whatever the answer is, the call counts.
        let path = ["/v1/schema", "/v1/segments/none", "/v1/nothing"][call % 3];
        let answer = get(&server, Some(&one), path);
        assert_ne!(answer.status, 429, "call {call}");
        assert_eq!(number(&answer, "ratelimit-limit"), 8);
        let remaining = number(&answer, "ratelimit-remaining");
        assert!(begun.elapsed() > Duration::from_millis(400) || remaining == 8 - call as u64);
        assert!((1..=4).contains(&number(&answer, "ratelimit-reset")));
    }
    let mut answer = get(&server, Some(&one), "/v1/schema");
    while answer.status != 429 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nothing is refused"
        );
        answer = get(&server, Some(&one), "/v1/schema");
    }
    assert_eq!(answer.json()["code"], "rate_limited");
    assert_eq!(number(&answer, "ratelimit-remaining"), 0);
    let wait = number(&answer, "retry-after");
    assert!((1..=4).contains(&wait), "{wait}");
    assert_eq!(number(&answer, "ratelimit-reset"), wait);
    // Another key, and routes without one, are not affected.
    assert_eq!(get(&server, Some(&other), "/v1/schema").status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_ne!(get(&server, Some(&one), path).status, 429);
    }
    // After the time that it said, a call is possible.
    let asked = Instant::now();
    eventually("a call is possible again", || {
        get(&server, Some(&one), "/v1/schema").status == 200
    });
    assert!(asked.elapsed() < Duration::from_secs(wait + 1));
    assert!(server.stop());
}

#[test]
fn calls_without_a_valid_key_are_limited_apart() {
    let lake = OwnLake::new("http_limits_no_key");
    let valid = token(&lake);
    let server = Server::start_with(serve(&lake, &["--rate-limit", "5/60"]));
    let wrong = format!("{}{}", &valid[..15], "0".repeat(64));
    for token in [None, Some("x"), Some(wrong.as_str()), None, None] {
        assert_eq!(get(&server, token, "/v1/schema").status, 401);
    }
    for token in [None, Some(wrong.as_str())] {
        let answer = get(&server, token, "/v1/schema");
        assert_eq!(answer.status, 429);
        assert_eq!(answer.json()["code"], "rate_limited");
        assert!(number(&answer, "retry-after") <= 12);
    }
    // Nobody loses the use of a key to others at the same address.
    assert_eq!(get(&server, Some(&valid), "/v1/schema").status, 200);
    // A header of a caller that is no proxy changes nothing.
    let forwarded = [("x-forwarded-for", "198.51.100.1")];
    let answer = server.ask_with(&forwarded, "GET", "/v1/schema", None);
    assert_eq!(answer.status, 429);
    // Whether the server lives can be asked without end, the others as often as the limit says.
    for _ in 0..20 {
        assert_eq!(get(&server, None, "/healthz").status, 200);
    }
    let statuses: Vec<u16> = (0..8)
        .map(|_| get(&server, None, "/readyz").status)
        .collect();
    // Checking answers takes the document, which counts too.
    let limited = statuses.iter().filter(|status| **status == 429).count();
    assert!((3..=4).contains(&limited), "{statuses:?}");
    assert!(server.stop());
}

#[test]
fn server_without_keys_has_no_limits() {
    let lake = OwnLake::new("http_limits_open");
    let server = Server::start_with(serve(&lake, &["--rate-limit", "2/60"]));
    for call in 0..10 {
        let answer = get(&server, None, ["/v1/schema", "/readyz"][call % 2]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-limit"), "");
    }
    assert!(server.stop());
}

#[test]
fn limits_are_settings() {
    let lake = OwnLake::new("http_limits_settings");
    let valid = token(&lake);
    let server = Server::start_with(serve(&lake, &["--rate-limit", "0"]));
    for _ in 0..150 {
        let answer = get(&server, Some(&valid), "/v1/schema");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-limit"), "");
    }
    assert!(server.stop());
    let server = Server::start_with(serve(&lake, &[]));
    let answer = get(&server, Some(&valid), "/v1/schema");
    assert_eq!(number(&answer, "ratelimit-limit"), 100);
    assert!(server.stop());
    for wrong in [
        "--rate-limit=100",
        "--rate-limit=0/10",
        "--rate-limit=x",
        "--requests-per-key=0",
    ] {
        let refused = lake.run(&["serve", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
}

/// Sends a request but for the end of its body.
fn unfinished(server: &Server, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let head = format!(
        "POST /v1/ingest/native/persons HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-type: text/csv\r\ncontent-length: 14\r\n\r\nexternal_id"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn running_requests_of_a_key_are_limited() {
    let lake = OwnLake::new("http_limits_running");
    let (one, other) = (token(&lake), token(&lake));
    let options = ["--requests-per-key", "2", "--rate-limit", "0"];
    let server = Server::start_with(serve(&lake, &options));
    let mut running = [unfinished(&server, &one), unfinished(&server, &one)];
    eventually("a third request is refused", || {
        get(&server, Some(&one), "/v1/schema").status == 429
    });
    let answer = get(&server, Some(&one), "/v1/schema");
    assert_eq!(answer.json()["code"], "rate_limited");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(get(&server, Some(&other), "/v1/schema").status, 200);
    assert_eq!(get(&server, None, "/healthz").status, 200);
    // One ends, one breaks off: both are free again.
    let [first, second] = &mut running;
    first.write_all(b"\na\n").unwrap();
    let mut answered = String::new();
    first.read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    eventually("the answered one is over", || {
        get(&server, Some(&one), "/v1/schema").status == 200
    });
    second.shutdown(std::net::Shutdown::Both).unwrap();
    let mut third = unfinished(&server, &one);
    eventually("the broken one is over", || {
        get(&server, Some(&one), "/v1/schema").status == 200
    });
    third.write_all(b"\nb\n").unwrap();
    let mut answered = String::new();
    third.read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert!(server.stop());
}
