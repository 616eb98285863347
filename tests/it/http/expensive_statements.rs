//! Statements that expand without bound or never end: the server stays up, answers others, keeps its memory
//! limit, and stops a statement once the caller has disconnected.
//!
//! `expensive_statements.txt` has one statement per line, after its kind and a tab, for functions and
//! operators of DataFusion. `[[3;, ;a#]]` stands for `a1, a2, a3`; `##` is one less than `#`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::polling::{found, found_within};
use crate::support::server::{Server, raw};
use crate::support::usage::{PeakMemory, usage};

const STATEMENTS: &str = include_str!("expensive_statements.txt");
/// Mebibytes of a query's memory pool, and of memory that the server and its workers may use besides.
pub(super) const POOL: u64 = 128;
pub(super) const BESIDE: u64 = 512;
/// Timeout of a caller.
const PATIENCE: Duration = Duration::from_secs(4);
/// Time between two health checks.
const HEALTH: Duration = Duration::from_millis(200);
/// Time until a statement must have ended, and the processor usage in percent that is allowed then.
const AFTERMATH: Duration = Duration::from_millis(3_500);
const BUSY: u64 = 15;
/// One in this many statements is tried, unless all are requested.
const SOME: usize = 6;

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "what processes use is read from /proc"
)]
fn expensive_statements_do_not_take_the_server_down() {
    let all = std::env::var("ROLLBOOK_TEST_STATEMENTS").is_ok_and(|which| which == "all");
    let lake = OwnLake::new("http_wild");
    let pool = POOL.to_string();
    let serve = ["--memory-mib", &pool, "serve", "--listen", "127.0.0.1:0"];
    let server = Server::start_with(lake.command(&serve));
    let rows: String = (0..3000).map(|n| format!("p{n},C{}\n", n % 5)).collect();
    let rows = format!("external_id,country\n{rows}");
    let posted = server.send_text("POST", "/v1/ingest/native/persons", "text/csv", &[], &rows);
    assert_eq!(posted.status, 200);
    let mut faults = Vec::new();
    let step = if all { 1 } else { SOME };
    let statements = statements();
    assert!(statements.len() > SOME);
    for (kind, statement) in statements.into_iter().step_by(step) {
        let seen = ask(&server, &statement);
        println!("{kind}: {seen:?}");
        let is_answered = matches!(seen.status, None | Some(200 | 422));
        let is_small = seen.peak <= POOL + BESIDE;
        if !is_answered || !is_small || seen.slowest > Duration::from_secs(1) || seen.busy > BUSY {
            faults.push(format!("{kind}: {seen:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let plain = server.send(
        "POST",
        "/v1/sql",
        &json!({"query": "select count(*) n from people"}),
    );
    assert_eq!(plain.json()["rows"], json!([{"n": 3000}]));
}

#[test]
fn criteria_over_the_memory_limit_fail_alone() {
    let lake = OwnLake::new("http_wild_criteria");
    let pool = POOL.to_string();
    let serve = ["--memory-mib", &pool, "serve", "--listen", "127.0.0.1:0"];
    let server = Server::start_with(lake.command(&serve));
    let persons = |with: fn(usize) -> String| {
        let rows: String = (0..3000)
            .map(|n| format!("p{n},C{}{}\n", n % 5, with(n)))
            .collect();
        let columns = if with(0).is_empty() { "" } else { ",city" };
        let rows = format!("external_id,country{columns}\n{rows}");
        let posted = server.send_text("POST", "/v1/ingest/native/persons", "text/csv", &[], &rows);
        assert_eq!(posted.status, 200);
    };
    persons(|_| String::new());
    let much =
        |of: &str| format!("length(replace(repeat({of}, 4000), 'C', repeat('y', 9000))) > 3");
    let preview = json!({"criteria": much("country")});
    let preview = server.send("POST", "/v1/segments/preview", &preview);
    let code = preview.json()["code"].clone();
    assert_eq!((preview.status, code), (422, json!("memory_exhausted")));
    // Nobody has a city yet.
    let wild = json!({"key": "wild", "criteria": much("city")});
    let tame = json!({"key": "tame", "criteria": "country = 'C1'"});
    let some = json!({"key": "some", "criteria": "country ~ '^C[12]$'"});
    for segment in [&wild, &some, &tame] {
        let made = server.send("POST", "/v1/segments", segment);
        assert_eq!(made.status, 201, "{}", made.json());
    }
    persons(|_| ",C".to_owned());
    // They are computed by themselves; one that cannot be holds up none of the others.
    let count = |key: &str| {
        let shown = server.get(&format!("/v1/segments/{key}")).json();
        (shown["count"].clone(), shown["status"].clone())
    };
    found("segments are not computed by themselves", || {
        let seen @ [some, tame, wild] = &["some", "tame", "wild"].map(count);
        match some.0.is_null() || tame.0.is_null() || wild.1 != "failed" {
            true => Err(format!("{seen:?}")),
            false => Ok(()),
        }
    });
    assert_eq!(
        (count("some").0, count("tame").0),
        (json!(1200), json!(600))
    );
    let reason = server.get("/v1/segments/wild").json()["reason"].to_string();
    assert!(reason.contains("memory"), "{reason}");
    let asked = server.send("POST", "/v1/segments/wild/refresh", &json!({}));
    assert_eq!(
        (asked.status, &asked.json()["code"]),
        (422, &json!("memory_exhausted"))
    );
    // Of all of them, it alone is not computed.
    let asked = server.send("POST", "/v1/segments/refresh", &json!({"full": true}));
    assert_eq!(asked.status, 200, "{}", asked.json());
    let became = |key: &str| {
        let rows = asked.json();
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["segment"] == key).unwrap().clone()
    };
    assert_eq!(
        ["some", "tame"].map(|key| became(key)["count"].clone()),
        [1200, 600]
    );
    assert_eq!(became("wild")["status"], "failed");
    let error = became("wild")["error"].to_string();
    assert!(error.contains("memory"), "{error}");
    // Naming it, or asking for the head alone, costs as much.
    let naming = json!({"criteria": "in_segment('wild') or country = 'C1'"});
    let asked = server.send("POST", "/v1/segments/preview", &naming);
    let code = asked.json()["code"].clone();
    assert_eq!((asked.status, code), (422, json!("memory_exhausted")));
    let head =
        "HEAD /v1/segments/wild/calendar HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let asked = raw(&server.address, head.as_bytes());
    assert!(asked.starts_with("HTTP/1.1 422"), "{asked}");
    // The segment that failed is tried again by itself, by another worker, maybe at this moment.
    let small = found_within(Duration::from_secs(5), || {
        let (memory, _) = usage(server.process());
        if memory <= POOL + BESIDE {
            Ok(())
        } else {
            Err(memory)
        }
    });
    assert_eq!(small, Ok(()), "mebibytes");
    let asked = server.send("POST", "/v1/segments/some/refresh", &json!({}));
    assert_eq!((asked.status, &asked.json()["count"]), (200, &json!(1200)));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn command_over_the_memory_limit_ends_with_an_error() {
    let lake = OwnLake::new("wild_command");
    let file = lake.write("persons.csv", "external_id,country\np1,C1\n");
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    let statements = statements().into_iter();
    let of_texts = statements.filter(|(kind, _)| kind.starts_with("texts put together"));
    let of_texts: Vec<_> = of_texts.collect();
    assert!(!of_texts.is_empty());
    for (_, statement) in of_texts {
        let refused = lake.run(&["--memory-mib", "64", "sql", &statement]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("more than the 64 MiB of memory"), "{told}");
        assert!(told.contains("hint: ask for fewer"), "{told}");
    }
}

/// Measurements of a statement.
#[derive(Debug)]
struct Seen {
    /// The status, if there was an answer in time.
    status: Option<u16>,
    /// Peak memory of the server and its workers, in mebibytes.
    peak: u64,
    /// The time of the slowest health check meanwhile.
    slowest: Duration,
    /// Processor usage in percent afterwards; 0 if they became idle.
    busy: u64,
}

fn ask(server: &Server, statement: &str) -> Seen {
    let memory = PeakMemory::watch(server.process());
    let (end, is_over) = channel::<()>();
    thread::scope(|scope| {
        let slowest = scope.spawn(move || {
            let mut slowest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                assert_eq!(server.get("/healthz").status, 200);
                slowest = slowest.max(begun.elapsed());
                if is_over.recv_timeout(HEALTH) != Err(RecvTimeoutError::Timeout) {
                    return slowest;
                }
            }
        });
        let status = status_of(server, statement);
        drop(end);
        Seen {
            status,
            peak: memory.peak(),
            slowest: slowest.join().unwrap(),
            busy: idle_within(AFTERMATH, server.process()).err().unwrap_or(0),
        }
    })
}

/// Waits for a second in which a process and its children are idle; if there is none, returns their processor
/// usage in the last second, in percent.
fn idle_within(deadline: Duration, process: u32) -> Result<(), u64> {
    let (mut since, mut before) = (Instant::now(), usage(process).1);
    let mut busy = 100;
    found_within(deadline, || {
        if since.elapsed() < Duration::from_secs(1) {
            return Err(busy);
        }
        // A tick is a hundredth of a second.
        let ticks = usage(process).1;
        busy = ticks.saturating_sub(before);
        (since, before) = (Instant::now(), ticks);
        if busy <= BUSY { Ok(()) } else { Err(busy) }
    })
}

/// Sends a request and disconnects at a timeout.
fn status_of(server: &Server, statement: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = json!({"query": statement}).to_string();
    let head = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).ok()?;
    let status = String::from_utf8_lossy(&begin[9..]).parse().ok();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).ok()?;
    status
}

pub(super) fn statements() -> Vec<(String, String)> {
    let lines = STATEMENTS.lines();
    let lines = lines.map(|line| line.split_once('\t').unwrap());
    lines
        .map(|(kind, sql)| (kind.to_owned(), expanded(sql)))
        .collect()
}

fn expanded(text: &str) -> String {
    let Some((before, rest)) = text.split_once("[[") else {
        return text.to_owned();
    };
    let (inner, after) = rest.split_once("]]").unwrap();
    let [count, between, part] = inner.splitn(3, ';').collect::<Vec<_>>()[..] else {
        panic!("{inner}");
    };
    let one = |at: u32| {
        let part = part.replace("##", &(at - 1).to_string());
        part.replace('#', &at.to_string())
    };
    let parts: Vec<String> = (1..=count.parse().unwrap()).map(one).collect();
    format!("{before}{}{}", parts.join(between), expanded(after))
}
