//! Statements that make much out of little, or come to no end: whatever is asked, the server
//! stays up, answers others, and takes no more memory than it may; and once the caller has gone,
//! nothing goes on.
//!
//! `wild.txt` has a statement a line, behind its kind and a tabulator, found among the functions and
//! operators that DataFusion has. `[[3;, ;a#]]` stands for `a1, a2, a3`; `##` is one less than `#`.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::serving::{Serving, raw};
use crate::own_lake::OwnLake;

const STATEMENTS: &str = include_str!("wild.txt");
/// Mebibytes of a query's pool, and what the server and its processes may have beside it.
pub(super) const POOL: u64 = 128;
pub(super) const BESIDE: u64 = 512;
/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// One statement in so many is tried, unless all are asked for.
const SOME: usize = 6;

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "what processes use is read from /proc"
)]
fn no_statement_takes_the_server_down() {
    let all = std::env::var("ROLLBOOK_TEST_STATEMENTS").is_ok_and(|which| which == "all");
    let lake = OwnLake::new("http_wild");
    let pool = POOL.to_string();
    let serve = ["--memory-mib", &pool, "serve", "--listen", "127.0.0.1:0"];
    let server = Serving::start_with(lake.command(&serve));
    let rows: String = (0..3000).map(|n| format!("p{n},C{}\n", n % 5)).collect();
    let rows = format!("external_id,country\n{rows}");
    let posted = server.send_text("POST", "/v1/ingest/native/persons", "text/csv", &[], &rows);
    assert_eq!(posted.status, 200);
    let mut faults = Vec::new();
    let step = if all { 1 } else { SOME };
    for (kind, statement) in statements().into_iter().step_by(step) {
        let seen = ask(&server, &statement);
        println!("{kind}: {seen:?}");
        let is_answered = matches!(seen.status, None | Some(200 | 422));
        let is_small = seen.peak <= POOL + BESIDE;
        if !is_answered || !is_small || seen.slowest > Duration::from_secs(1) || seen.busy > 15 {
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
fn criteria_that_take_too_much_fail_alone() {
    let lake = OwnLake::new("http_wild_criteria");
    let pool = POOL.to_string();
    let serve = ["--memory-mib", &pool, "serve", "--listen", "127.0.0.1:0"];
    let server = Serving::start_with(lake.command(&serve));
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
    let begun = Instant::now();
    let count = |key: &str| {
        let shown = server.get(&format!("/v1/segments/{key}")).json();
        (shown["count"].clone(), shown["status"].clone())
    };
    while count("some").0.is_null() || count("tame").0.is_null() || count("wild").1 != "failed" {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "{:?}",
            ["some", "tame", "wild"].map(count)
        );
        thread::sleep(Duration::from_millis(200));
    }
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
    // What names it, or asks for the head alone, asks as much.
    let naming = json!({"criteria": "in_segment('wild') or country = 'C1'"});
    let asked = server.send("POST", "/v1/segments/preview", &naming);
    let code = asked.json()["code"].clone();
    assert_eq!((asked.status, code), (422, json!("memory_exhausted")));
    let head =
        "HEAD /v1/segments/wild/calendar HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let asked = raw(&server.address, head.as_bytes());
    assert!(asked.starts_with("HTTP/1.1 422"), "{asked}");
    // The segment that failed is tried again by itself, by another worker, maybe at this moment.
    let begun = Instant::now();
    while usage(server.process()).0 > POOL + BESIDE {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            usage(server.process())
        );
        thread::sleep(Duration::from_millis(20));
    }
    let asked = server.send("POST", "/v1/segments/some/refresh", &json!({}));
    assert_eq!((asked.status, &asked.json()["count"]), (200, &json!(1200)));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_command_that_takes_too_much_ends_itself() {
    let lake = OwnLake::new("wild_command");
    let file = lake.write("persons.csv", "external_id,country\np1,C1\n");
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    for (kind, statement) in statements() {
        if !kind.starts_with("texts put together") {
            continue;
        }
        let refused = lake.run(&["--memory-mib", "64", "sql", &statement]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("more than the 64 MiB of memory"), "{told}");
        assert!(told.contains("hint: ask for fewer"), "{told}");
    }
}

/// What was seen of a statement.
#[derive(Debug)]
struct Seen {
    /// The status, where there was an answer in time.
    status: Option<u16>,
    /// Mebibytes of the server and what it started, at most.
    peak: u64,
    /// The slowest of the health checks meanwhile.
    slowest: Duration,
    /// Percent of a processor that they kept afterwards.
    busy: u64,
}

fn ask(server: &Serving, statement: &str) -> Seen {
    let (is_done, peak, slowest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                peak.fetch_max(usage(server.process()).0, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(server.get("/healthz").status, 200);
                let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
                slowest.fetch_max(took, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let status = status_of(server, statement);
        is_done.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(2));
        let before = usage(server.process()).1;
        thread::sleep(Duration::from_secs(1));
        Seen {
            status,
            peak: peak.load(Ordering::Relaxed),
            slowest: Duration::from_millis(slowest.load(Ordering::Relaxed)),
            // A tick is a hundredth of a second.
            busy: usage(server.process()).1.saturating_sub(before),
        }
    })
}

/// Asks as a caller who hangs up when it takes too long.
fn status_of(server: &Serving, statement: &str) -> Option<u16> {
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

/// Mebibytes that a process and what it started have in memory, and ticks that they have kept
/// processors.
pub(super) fn usage(root: u32) -> (u64, u64) {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut of = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Ok(pid) = name.to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        children
            .entry(fields[1].parse().unwrap())
            .or_default()
            .push(pid);
        of.insert(pid, (number(21) * 4 / 1024, number(11) + number(12)));
    }
    let (mut sum, mut todo) = ((0, 0), vec![root]);
    while let Some(pid) = todo.pop() {
        let (memory, ticks) = of.get(&pid).copied().unwrap_or_default();
        sum = (sum.0 + memory, sum.1 + ticks);
        todo.extend(children.remove(&pid).unwrap_or_default());
    }
    sum
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
