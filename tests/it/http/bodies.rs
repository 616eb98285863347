//! Request bodies: encodings, compression, truncation, other shapes, bad lines.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::refusals::check;
use crate::support::own_lake::{OwnLake, counts};
use crate::support::server::{Answer, Server, raw};

const PERSONS: &str = "/v1/ingest/native/persons";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn city_of(server: &Server, external_id: &str) -> Value {
    let query = format!(
        "select p.city from persons p join identities i using (person_id)
         where i.external_id = '{external_id}'"
    );
    let found = server.send("POST", "/v1/sql", &json!({ "query": query }));
    found.json()["rows"][0]["city"].clone()
}

#[test]
fn declared_charset_of_a_body_is_used() {
    let lake = OwnLake::new("http_charsets");
    let server = Server::start(&lake, "default");
    for (at, (kind, bytes, city)) in [
        ("text/csv; charset=windows-1250", &b"Plze\xf2"[..], "Plzeň"),
        ("text/csv;charset=\"ISO-8859-2\"", b"Gy\xf5r", "Győr"),
        (
            "Text/CSV; header=present; Charset=windows-1254",
            b"I\xf0d\xfdr",
            "Iğdır",
        ),
        (
            "text/csv; charset=koi8-u",
            b"\xb7\xd6\xc1\xcb\xa6\xd7",
            "Їжаків",
        ),
        ("text/csv; charset=iso-8859-15", b"\xbcuf", "Œuf"),
        ("text/csv; charset=Shift_JIS", b"\x93\x8c\x8b\x9e", "東京"),
        ("text/csv; charset=cp949", b"\xbc\xad\xbf\xef", "서울"),
        // Not declared, the encoding is found out; a mark says more than what is declared.
        ("text/csv", "Łódź".as_bytes(), "Łódź"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("p{at}");
        let body = [b"external_id,city\n", id.as_bytes(), b",", bytes, b"\n"].concat();
        let answer = server.post_bytes(PERSONS, kind, &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(city_of(&server, &id), city, "{kind}");
    }
    let marked = "\u{feff}external_id,city\nmarked,Łódź\n".as_bytes();
    server.post_bytes(PERSONS, "text/csv; charset=latin1", &[], marked);
    assert_eq!(city_of(&server, "marked"), "Łódź");
    // The same of JSON, of rows and of queries.
    let row = b"{\"external_id\": \"json\", \"city\": \"Gy\xf5r\"}\n";
    let kind = "application/x-ndjson; charset=iso-8859-2";
    assert_eq!(server.post_bytes(PERSONS, kind, &[], row).status, 200);
    assert_eq!(city_of(&server, "json"), "Győr");
    let query = b"{\"query\": \"select 'Gy\xf5r' as city\"}";
    let kind = "application/json; charset=iso-8859-2";
    let found = server.post_bytes("/v1/sql", kind, &[], query).json();
    assert_eq!(found["rows"][0]["city"], "Győr");
    // It is kept with rows that wait in the journal.
    let waits = [("prefer", "respond-async")];
    let body = b"external_id,city\nlater,Gy\xf5r\n";
    let kind = "text/csv; charset=iso-8859-2";
    let answer = server.post_bytes(PERSONS, kind, &waits, body);
    assert_eq!(answer.status, 202, "{}", answer.json());
    server.post_bytes(PERSONS, "text/csv", &[], b"external_id\nx\n");
    assert_eq!(city_of(&server, "later"), "Győr");

    // Bytes that the encoding does not have are no text; encodings that nobody knows are refused.
    let kind = "text/csv; charset=utf-8";
    let answer = server.post_bytes(PERSONS, kind, &[], b"external_id,city\na,Gy\xf5r\nb,Bonn\n");
    assert_eq!(counts(&answer.json(), "persons"), [2, 1, 0, 1]);
    let kind = "application/json; charset=utf-8";
    check(
        &server.post_bytes("/v1/sql", kind, &[], query),
        400,
        "invalid_body",
    );
    for kind in [
        "text/csv; charset=utf-7",
        "application/json; charset=klingon",
    ] {
        check(
            &server.post_bytes(PERSONS, kind, &[], b"x"),
            415,
            "unknown_charset",
        );
    }
}

#[test]
fn compressed_bodies_are_unpacked_or_refused() {
    let lake = OwnLake::new("http_packed_bodies");
    let server = Server::start(&lake, "default");
    let rows = |id: &str| format!("external_id,city\n{id},Bonn\n").into_bytes();
    let post = |headers: &[(&str, &str)], body: &[u8]| -> Answer {
        server.post_bytes(PERSONS, "text/csv", headers, body)
    };
    for encoding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
        let answer = post(&[("content-encoding", encoding)], &gzip(&rows("a")));
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    assert_eq!(post(&[], &gzip(&rows("b"))).status, 200);
    assert_eq!(
        post(&[("content-encoding", "identity")], &rows("c")).status,
        200
    );
    let persons = lake.value("select count(*) as n from people");
    assert_eq!(persons, 3);
    for encoding in ["br", "deflate", "gzip, gzip", "compress"] {
        let refused = post(&[("content-encoding", encoding)], &rows("d"));
        check(&refused, 415, "unknown_packing");
        assert_eq!(refused.header("accept-encoding"), "gzip, zstd");
        let body = b"{\"query\": \"select 1\"}";
        let headers = [("content-encoding", encoding)];
        let refused = server.post_bytes("/v1/sql", "application/json", &headers, body);
        check(&refused, 415, "unknown_packing");
    }
    let plain = post(&[("content-encoding", "gzip")], &rows("e"));
    check(&plain, 400, "invalid_body");

    let sql = |headers: &[(&str, &str)], body: &[u8]| {
        server.post_bytes("/v1/sql", "application/json", headers, body)
    };
    let query = b"{\"query\": \"select 1 as a\"}";
    let packed = [("content-encoding", "gzip")];
    for answer in [
        sql(&[], query),
        sql(&packed, &gzip(query)),
        sql(&[], &gzip(query)),
        sql(&[], &[b"\xef\xbb\xbf", &query[..]].concat()),
        sql(&packed, &gzip(&[b"\xef\xbb\xbf", &query[..]].concat())),
        sql(&[], &[b"\n ", &query[..], b"\n"].concat()),
    ] {
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.json()["rows"], json!([{"a": 1}]));
    }
    check(&sql(&packed, query), 400, "invalid_body");
    check(&sql(&packed, &gzip(query)[..20]), 400, "invalid_body");
    // A small compressed body may be large.
    let large = format!("{{\"query\": \"select 1{}\"}}", " ".repeat(2 << 20));
    check(
        &sql(&packed, &gzip(large.as_bytes())),
        413,
        "body_too_large",
    );
    check(&sql(&[], large.as_bytes()), 413, "body_too_large");
    assert_eq!(lake.value("select count(*) as n from people"), 3);
}

#[test]
fn json_bodies_must_be_objects() {
    let lake = OwnLake::new("http_arrays");
    let server = Server::start(&lake, "default");
    server.post_bytes(PERSONS, "text/csv", &[], b"external_id\na\n");
    let post =
        |path: &str, body: &str| server.post_bytes(path, "application/json", &[], body.as_bytes());
    for body in [
        "[\"select 1\"]",
        " [\"select 1\", null, null]",
        "[]",
        "\"select 1\"",
        "1",
        "",
    ] {
        check(&post("/v1/sql", body), 400, "invalid_body");
    }
    check(
        &post("/v1/segments", "[\"a\", \"true\"]"),
        400,
        "invalid_body",
    );
    check(
        &post("/v1/segments/preview", "[\"true\"]"),
        400,
        "invalid_body",
    );
    check(&post("/v1/identity/merges", "[1, 2]"), 400, "invalid_body");
    check(
        &post("/v1/sql", "{\"query\": \"select 1\"} {}"),
        400,
        "invalid_body",
    );
    assert_eq!(server.get("/v1/segments").json(), json!([]));
    // As a time, minutes are enough.
    let query = json!({"query": "select now() as t", "as_of": "2025-06-01T00:00Z"});
    let found = server.send("POST", "/v1/sql", &query).json();
    assert_eq!(found["as_of"], "2025-06-01T00:00:00Z");
    // Columns without a name are called as they are written.
    let found = post("/v1/sql", "{\"query\": \"select 1, 2 as b\"}").json();
    assert_eq!(found["columns"], json!(["1", "b"]));
    assert_eq!(found["rows"], json!([{"1": 1, "b": 2}]));
}

#[test]
fn truncated_body_is_reported_as_such() {
    let lake = OwnLake::new("http_broken_bodies");
    let server = Server::start(&lake, "default");
    let address = server.address.as_str();
    let head = |path: &str, kind: &str, how: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\n{how}\r\nconnection: close\r\n\r\n"
        )
    };
    for (path, kind, body) in [
        ("/v1/sql", "application/json", "{\"query\": \"select 1\"}"),
        (PERSONS, "text/csv", "external_id\na\n"),
    ] {
        let chunked = head(path, kind, "transfer-encoding: chunked");
        for chunks in [
            "zz\r\nabc\r\n0\r\n\r\n",
            "-1\r\nabc\r\n",
            "3\r\nabcdef\r\n0\r\n\r\n",
        ] {
            let answer = raw(address, format!("{chunked}{chunks}").as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 400"),
                "{path} {chunks:?}: {answer}"
            );
            assert!(
                answer.contains("body_broken_off"),
                "{path} {chunks:?}: {answer}"
            );
        }
        let longer = head(path, kind, &format!("content-length: {}", body.len() + 10));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(longer.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{path}: {answer}"
        );
        // Sent whole, in chunks, it is taken.
        let whole = format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let answer = raw(address, whole.as_bytes());
        let expected = if path == PERSONS {
            "HTTP/1.1 200"
        } else {
            "HTTP/1.1 404"
        };
        assert!(answer.starts_with(expected), "{path}: {answer}");
    }
    assert_eq!(lake.value("select count(*) as n from people"), 1);
}

#[test]
fn bad_line_goes_to_quarantine_alone() {
    let lake = OwnLake::new("http_bad_lines");
    let server = Server::start(&lake, "default");
    let post = |path: &str, body: &str| {
        server.post_bytes(path, "application/x-ndjson", &[], body.as_bytes())
    };
    let good = "{\"external_id\": \"p\", \"city\": \"Bonn\"}";
    let bad = [
        "{\"external_id\":\"a\",\"city\":\"x\",\"city\":\"y\"}",
        "{\"external_id\":\"b\",\"city\":\"x\",}",
        "{'external_id':'c'}",
        "{\"external_id\":\"d\",\"city\":NaN}",
        "{\"external_id\":\"e\",\"city\":\"x",
        "{\"city\": NaN}",
        "null",
        "text",
    ];
    let mut expected = 0;
    for line in bad {
        // Alone, beside a good row, and beside a row that names nobody.
        for (body, rows) in [
            (line.to_owned(), [1, 0, 0, 1]),
            (format!("{good}\n{line}"), [2, 0, 1, 1]),
            (format!("{{\"city\": \"Bonn\"}}\n{line}"), [2, 0, 0, 2]),
        ] {
            let answer = post(PERSONS, &body);
            assert_eq!(answer.status, 200, "{body}: {}", answer.json());
            let mut found = counts(&answer.json(), "persons");
            // The first good row is new.
            (found[1], found[2]) = (0, found[1] + found[2]);
            assert_eq!(found, rows, "{body}");
            expected += 1;
        }
    }
    let of_code = |code: &str| {
        let found = lake.value(&format!(
            "select count(*) as n from quarantine where code = '{code}'"
        ));
        found.as_u64().unwrap()
    };
    assert_eq!(of_code("bad_json"), expected);
    assert_eq!(of_code("missing_value"), bad.len() as u64);
    // The same of facts, and of files.
    let answer = post(
        "/v1/ingest/native/orders",
        "{\"external_id\": \"o\", \"total\": 1,}",
    );
    assert_eq!(counts(&answer.json(), "orders"), [1, 0, 0, 1]);
    let file = lake.write("files/orders.ndjson", "{\"external_id\": \"o\",}\n");
    let files = lake.json(&["ingest", "native", file.to_str().unwrap()]);
    assert_eq!(counts(&files, "orders"), [1, 0, 0, 1]);
    // Without a bad line, a body that names nobody is of another kind than it says.
    check(&post(PERSONS, "{\"city\": \"Bonn\"}"), 422, "cannot_ingest");
}
