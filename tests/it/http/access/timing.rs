//! The time of a refusal does not tell what exists. Runs alone, by a command.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::{created, lake_with_persons, token};
use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

/// Requests of each kind; `ROLLBOOK_TEST_TRIES` sets another number.
const TRIES: usize = 10_000;
/// Parts of the measurement, whose medians are compared.
const PARTS: usize = 20;

/// A connection that is kept open.
struct Connection(TcpStream);

impl Connection {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends a request; returns the microseconds until its answer was read, and its status and size.
    fn time(&mut self, request: &str) -> (f64, String, usize) {
        let started = Instant::now();
        self.0.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.0.read(&mut part).unwrap();
            assert!(read > 0, "the server closed the connection");
            answer.extend_from_slice(&part[..read]);
            if let Some((head, body)) = halves(&answer)
                && body.len() >= length(&head)
            {
                let took = started.elapsed().as_secs_f64() * 1e6;
                return (took, head.lines().next().unwrap().to_owned(), body.len());
            }
        }
    }
}

fn halves(answer: &[u8]) -> Option<(String, &[u8])> {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..at]).to_lowercase();
    Some((head, &answer[at + 4..]))
}

fn length(head: &str) -> usize {
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    value.unwrap().trim().parse().unwrap()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Mean and standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// Fails unless two requests take the same time, as exactly as the first one takes the time that it takes itself.
fn check_same_time(server: &Server, what: &str, one: &str, other: &str) {
    let tries = std::env::var("ROLLBOOK_TEST_TRIES").ok();
    let tries = tries.and_then(|tries| tries.parse().ok()).unwrap_or(TRIES);
    let mut connection = Connection::new(server);
    for request in [one, other].repeat(50) {
        connection.time(request);
    }
    let (_, status, size) = connection.time(one);
    let expected = (status, size);
    let (mut between, mut itself, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for part in 0..PARTS {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..tries / PARTS {
            // Each follows each of the others equally often.
            for turn in 0..3 {
                let kind = (turn + round + part) % 3;
                let request = if kind == 1 { other } else { one };
                let (took, status, size) = connection.time(request);
                times[kind].push(took);
                assert_eq!((&status, size), (&expected.0, expected.1), "{what}");
            }
        }
        let [first, second, third] = times.map(median);
        between.push(second - first);
        itself.push(third - first);
        whole.push(first);
    }
    let ((between, error), (itself, own)) = (mean_and_error(&between), mean_and_error(&itself));
    println!(
        "{what}: {:.1} us; the other {between:+.2} us (standard error {error:.2}), the same again {itself:+.2} us ({own:.2})",
        mean_and_error(&whole).0
    );
    let allowed = itself.abs() + 4.0 * error.max(own);
    assert!(
        between.abs() <= allowed,
        "{what}: {between} us differ by more than {allowed}"
    );
}

fn request(method: &str, path: &str, token: &str, more: &str) -> String {
    let host = "host: localhost\r\n";
    format!("{method} {path} HTTP/1.1\r\n{host}authorization: Bearer {token}\r\n{more}\r\n")
}

fn other_tenant(lake: &OwnLake, name: &str) {
    let persons = lake.path("persons.csv");
    lake.json(&[
        "--tenant",
        name,
        "ingest",
        "native",
        persons.to_str().unwrap(),
    ]);
}

#[test]
#[ignore = "measures times: run it alone, in a release build"]
fn times_of_refusals_do_not_tell_what_exists() {
    let lake = lake_with_persons("http_access_timing");
    other_tenant(&lake, "other");
    let (viewer, admin) = (token(&lake, "viewer", &[]), token(&lake, "admin", &[]));
    let of_other = created(&lake, "viewer", &["--tenants", "other"]);
    let server = Server::start(&lake, "default");
    let zeros = "0".repeat(64);
    let get = |token: &str, more: &str| request("GET", "/v1/segments", token, more);
    check_same_time(
        &server,
        "a known and an unknown prefix",
        &get(&format!("rbk_aaaaaaaaaa_{zeros}"), ""),
        &get(&format!("{}{zeros}", &viewer[..15]), ""),
    );
    check_same_time(
        &server,
        "a secret that is wrong at its end and at its beginning",
        &get(&format!("{}{zeros}", &viewer[..15]), ""),
        &get(
            &format!(
                "{}{}",
                &viewer[..78],
                if viewer.ends_with('0') { '1' } else { '0' }
            ),
            "",
        ),
    );
    check_same_time(
        &server,
        "a tenant that does not exist and one that does",
        &get(&viewer, "x-rollbook-tenant: nobod\r\n"),
        &get(&viewer, "x-rollbook-tenant: other\r\n"),
    );
    check_same_time(
        &server,
        "a key that does not exist and one of another tenant",
        &request("DELETE", "/v1/keys/aaaaaaaaaa", &admin, ""),
        &request(
            "DELETE",
            &format!("/v1/keys/{}", of_other["prefix"].as_str().unwrap()),
            &admin,
            "",
        ),
    );
    assert!(server.stop());
}
