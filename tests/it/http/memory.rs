//! Many slow readers at once: their answers are complete, and the memory of the server stays within its limit.

use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::own_lake::OwnLake;
use crate::support::polling::{eventually, found};
use crate::support::server::Server;
use crate::support::usage::{PeakMemory, usage};

/// Mebibytes of `--memory-mib`, and of memory that the server and its workers may use besides.
const MEMORY: u64 = 128;
const BESIDE: u64 = 512;
const PULLS: usize = 200;
/// One pull in this many reads personal columns, unless all do.
const SOME: usize = 8;
/// Mebibytes that the server may need for each pull, and for what it computes for any of them.
const PER_PULL: u64 = 1;
const FOR_ALL: u64 = 300;
const PERSONS: usize = 100_000;
const COUNTRIES: usize = 16;
/// Bytes that a reader's connection holds at most, so that the rest stays with the server.
const RECEIVE_BUFFER: usize = 16 << 10;
const PAUSE: Duration = Duration::from_secs(1);
const FORMATS: [&str; 3] = ["csv", "ndjson", "arrow"];
const COLUMNS: &str = "email,first_name,last_name,country";

fn lake(name: &str) -> (OwnLake, Server) {
    let lake = OwnLake::new(name);
    let rows: String = (0..PERSONS)
        .map(|n| {
            format!(
                "p{n},person.{n}@example.com,First{n},Last{n},C{}\n",
                n % COUNTRIES
            )
        })
        .collect();
    let rows = format!("external_id,email,first_name,last_name,country\n{rows}");
    let file = lake.write("persons.csv", &rows);
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    let memory = MEMORY.to_string();
    let serve = ["--memory-mib", &memory, "serve", "--listen", "127.0.0.1:0"];
    let server = Server::start_with(lake.command(&serve));
    for (key, criteria) in [("everyone", "true"), ("some", "country = 'C3'")] {
        let new = json!({"key": key, "criteria": criteria});
        assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    }
    let refreshed = server.send("POST", "/v1/segments/refresh", &json!({}));
    assert_eq!(refreshed.status, 200, "{}", refreshed.json());
    (lake, server)
}

fn path(key: &str, format: &str, has_columns: bool) -> String {
    let fields = match has_columns {
        true => format!("&fields={COLUMNS}"),
        false => String::new(),
    };
    format!("/v1/segments/{key}/members?stream=true&format={format}{fields}")
}

/// The body of an answer whose reader pauses after the first bytes.
fn slow_body(address: &str, path: &str, pause: impl FnOnce()) -> Vec<u8> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let timeout = Some(Duration::from_secs(550));
    stream.set_read_timeout(timeout).unwrap();
    // The connection ends with the answer, which has no chunks.
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 1024];
    let begun = stream.read(&mut answer);
    pause();
    answer.truncate(begun.unwrap());
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head = head.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&answer)));
    let body = answer.split_off(head + 4);
    let head = String::from_utf8_lossy(&answer);
    let is_success = head
        .lines()
        .next()
        .is_some_and(|line| line.contains(" 200 "));
    assert!(is_success, "{head}{}", String::from_utf8_lossy(&body));
    body
}

/// All rows of an Arrow stream, however they are divided into batches.
fn rows(body: &[u8]) -> RecordBatch {
    let batches = StreamReader::try_new(Cursor::new(body), None).unwrap();
    let schema = batches.schema();
    let batches: Vec<_> = batches.map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn reserved_for_answers(server: &Server) -> u64 {
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let series = "rollbook_memory_reserved_bytes{usage=\"answers\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap().parse().unwrap()
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "what processes use is read from /proc"
)]
fn slow_pulls_need_little_memory_each_and_are_complete() {
    // With all of them, it takes a quarter of an hour without optimisation.
    let all = std::env::var("ROLLBOOK_TEST_PULLS").is_ok_and(|which| which == "all");
    let (_lake, server) = lake("http_pulls");
    let step = if all { 1 } else { SOME };
    let pulls: Vec<(&str, &str, bool)> = (0..PULLS)
        .map(|at| match at % step {
            0 => ("some", FORMATS[at / step % FORMATS.len()], true),
            _ => ("everyone", FORMATS[at % FORMATS.len()], false),
        })
        .collect();
    let alone = |key, format, has_columns| {
        let answer = server.get(&path(key, format, has_columns));
        assert_eq!(answer.status, 200);
        answer.body
    };
    let of_ids = FORMATS.map(|format| alone("everyone", format, false));
    let of_columns = FORMATS.map(|format| alone("some", format, true));
    let line = "p3,person.3@example.com";
    let is_opened = String::from_utf8_lossy(&of_columns[0]).contains(&line[3..]);
    assert!(is_opened, "{}", String::from_utf8_lossy(&of_columns[0]));
    assert_eq!(rows(&of_ids[2]).num_rows(), PERSONS);
    assert_eq!(rows(&of_columns[2]).num_rows(), PERSONS / COUNTRIES);
    let before = usage(server.process()).0;
    let memory = PeakMemory::watch(server.process());
    let (all_begun, is_seen) = (Barrier::new(PULLS + 2), Barrier::new(2));
    let reserved = thread::scope(|scope| {
        // More than connections hold, so that the server holds rows.
        let (address, long) = (server.address.as_str(), path("everyone", "csv", true));
        let (seen, begun) = (&is_seen, &all_begun);
        let long = scope.spawn(move || {
            let pause = || {
                begun.wait();
                seen.wait();
            };
            slow_body(address, &long, pause)
        });
        for (key, format, has_columns) in pulls {
            let all_begun = &all_begun;
            let alone = if has_columns { &of_columns } else { &of_ids };
            scope.spawn(move || {
                let pause = || {
                    all_begun.wait();
                    thread::sleep(PAUSE);
                };
                let body = slow_body(address, &path(key, format, has_columns), pause);
                let at = FORMATS.iter().position(|one| *one == format).unwrap();
                match format {
                    "arrow" => assert!(rows(&body) == rows(&alone[at]), "{key} {format}"),
                    _ => assert!(body == alone[at], "{key} {format}"),
                }
            });
        }
        all_begun.wait();
        let reserved = found(
            "no memory of answers is reserved",
            || match reserved_for_answers(&server) {
                0 => Err(()),
                bytes => Ok(bytes),
            },
        );
        is_seen.wait();
        let body = String::from_utf8(long.join().unwrap()).unwrap();
        assert_eq!(body.lines().count(), PERSONS + 1);
        let last = body.lines().last().unwrap();
        assert!(last.contains(&format!("person.{}@", PERSONS - 1)), "{last}");
        reserved
    });
    let peak = memory.peak();
    println!("{before} MiB before, {peak} MiB at most, {reserved} bytes reserved");
    assert!(peak <= MEMORY + BESIDE, "{peak} MiB");
    let allowed = before + FOR_ALL + PULLS as u64 * PER_PULL;
    assert!(peak <= allowed, "{peak} MiB of {allowed}");
    assert!(reserved < MEMORY << 20, "{reserved}");
    eventually("memory of answers is still reserved", || {
        reserved_for_answers(&server) == 0
    });
}
