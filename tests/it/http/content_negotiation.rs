//! The format of an answer: what the caller accepts, has in its cache, and can decompress.

use rollbook_read::Compression;
use serde_json::{Value, json};

use super::refusals::check;
use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server, raw};

const MEMBERS: &str = "/v1/segments/all/members";

/// A server with a segment of some hundred persons.
fn serving(lake: &OwnLake) -> Server {
    let server = Server::start(lake, "default");
    let rows: String = (0..900).map(|n| format!("p{n},DE\n")).collect();
    let rows = format!("external_id,country\n{rows}");
    let path = "/v1/ingest/native/persons";
    assert_eq!(
        server
            .send_text("POST", path, "text/csv", &[], &rows)
            .status,
        200
    );
    let new = json!({"key": "all", "criteria": "country = 'DE'"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let refreshed = server.send("POST", "/v1/segments/all/refresh", &json!({}));
    assert_eq!(refreshed.status, 200);
    server
}

#[test]
fn if_none_match_accepts_lists_weak_tags_and_asterisk() {
    let lake = OwnLake::new("http_etags");
    let server = serving(&lake);
    for path in [
        MEMBERS.to_owned(),
        format!("{MEMBERS}?stream=true&format=csv"),
    ] {
        let first = server.get(&path);
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag");
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            format!("\"other\",W/{tag} , \"third\""),
            "*".to_owned(),
        ] {
            let answer = server.get_with(&path, &[("if-none-match", &known)]);
            assert_eq!(answer.status, 304, "{path} {known}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("vary"), "accept, accept-encoding");
        }
        let two = [
            ("if-none-match", "\"other\""),
            ("if-none-match", tag.as_str()),
        ];
        assert_eq!(server.get_with(&path, &two).status, 304, "{path}");
        for known in ["\"other\"", "other", "\"*\"", ""] {
            let answer = server.get_with(&path, &[("if-none-match", known)]);
            assert_eq!(answer.status, 200, "{path} {known}");
        }
    }
}

#[test]
fn members_come_in_the_accepted_format() {
    let lake = OwnLake::new("http_accept");
    let server = serving(&lake);
    let kind = |path: &str, accept: &str| {
        let answer = server.get_with(path, &[("accept", accept)]);
        assert_eq!(answer.status, 200, "{accept}");
        answer.header("content-type")
    };
    let stream = format!("{MEMBERS}?stream=true");
    let (csv, ndjson) = ("text/csv; charset=utf-8", "application/x-ndjson");
    let arrow = "application/vnd.apache.arrow.stream";
    let parquet = "application/vnd.apache.parquet";
    for (accept, of_page, of_stream) in [
        ("*/*", "application/json", ndjson),
        ("text/csv", csv, csv),
        ("TEXT/csv;q=0.8, application/json;q=0.2", csv, csv),
        ("application/x-ndjson", ndjson, ndjson),
        (arrow, arrow, arrow),
        (
            "application/vnd.apache.parquet, */*;q=0.1",
            parquet,
            parquet,
        ),
        ("text/html, */*;q=0.8", "application/json", ndjson),
    ] {
        assert_eq!(kind(MEMBERS, accept), of_page, "{accept}");
        assert_eq!(kind(&stream, accept), of_stream, "{accept}");
    }
    // The query parameter wins over the header; each format has its own tag.
    assert_eq!(
        kind(&format!("{MEMBERS}?format=json"), "text/csv"),
        "application/json"
    );
    let tag = |accept: &str| {
        server
            .get_with(MEMBERS, &[("accept", accept)])
            .header("etag")
    };
    assert_ne!(tag("text/csv"), tag("application/json"));
    let held = tag("application/json");
    let headers = [("accept", "text/csv"), ("if-none-match", held.as_str())];
    assert_eq!(server.get_with(MEMBERS, &headers).status, 200);

    for accept in [
        "image/png",
        "text/html, application/xml",
        "text/csv;q=0",
        "text/plain",
    ] {
        for path in [MEMBERS, &stream] {
            check(
                &server.get_with(path, &[("accept", accept)]),
                406,
                "not_acceptable",
            );
        }
    }
    check(
        &server.get_with(&stream, &[("accept", "application/json")]),
        406,
        "not_acceptable",
    );
}

/// The answer, decompressed as its headers declare.
fn unpacked(answer: &Answer) -> Vec<u8> {
    let packing = match answer.header("content-encoding").as_str() {
        "gzip" => Compression::Gzip,
        other => panic!("packed with {other:?}"),
    };
    assert_eq!(Compression::of(&answer.body), packing);
    packing.unpack(&answer.body, 1 << 30).unwrap()
}

#[test]
fn responses_are_compressed_where_accepted() {
    let lake = OwnLake::new("http_packed_answers");
    let server = serving(&lake);
    for path in [
        MEMBERS.to_owned(),
        format!("{MEMBERS}?format=csv"),
        format!("{MEMBERS}?stream=true"),
        "/v1/schema".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        let plain = server.get(&path);
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        for accept in ["gzip", "gzip;q=0.5, br", "zstd, gzip"] {
            let packed = server.get_with(&path, &[("accept-encoding", accept)]);
            assert_eq!(packed.status, 200, "{path} {accept}");
            assert_eq!(unpacked(&packed), plain.body, "{path} {accept}");
            assert!(packed.header("vary").contains("accept-encoding"), "{path}");
            assert!(packed.body.len() < plain.body.len(), "{path}");
        }
        for accept in ["", "identity", "br", "zstd", "gzip;q=0"] {
            let answer = server.get_with(&path, &[("accept-encoding", accept)]);
            assert_eq!(answer.header("content-encoding"), "", "{path} {accept}");
            assert_eq!(answer.body, plain.body, "{path} {accept}");
        }
    }
    // Compressed bytes have another tag, which still identifies the same members.
    let gzip = ("accept-encoding", "gzip");
    let (plain, packed) = (server.get(MEMBERS), server.get_with(MEMBERS, &[gzip]));
    let tag = packed.header("etag");
    assert_eq!(tag, format!("W/{}", plain.header("etag")));
    let held = ("if-none-match", tag.as_str());
    assert_eq!(server.get_with(MEMBERS, &[held, gzip]).status, 304);
    assert_eq!(server.get_with(MEMBERS, &[held]).status, 304);
    // Short answers and those that are packed in themselves stay as they are.
    for path in [
        "/healthz".to_owned(),
        format!("{MEMBERS}?limit=3"),
        format!("{MEMBERS}?format=arrow"),
        format!("{MEMBERS}?format=parquet"),
        format!("{MEMBERS}?format=arrow&stream=true"),
    ] {
        let answer = server.get_with(&path, &[gzip]);
        assert_eq!(answer.header("content-encoding"), "", "{path}");
    }
}

#[test]
fn trailing_slash_changes_nothing() {
    let lake = OwnLake::new("http_slashes");
    let server = serving(&lake);
    let same = |path: &str| {
        let (with, without) = (server.get(path), server.get(&path.replacen("/?", "?", 1)));
        let plain = server.get(path.trim_end_matches('/'));
        assert_eq!(with.status, 200, "{path}");
        assert_eq!(
            with.body,
            if path.contains('?') {
                without.body
            } else {
                plain.body
            }
        );
    };
    same("/v1/segments/");
    same("/v1/segments/all/members/");
    same("/v1/segments/all/members/?limit=2");
    same("/v1/schema//");
    same("/openapi.json/");
    let put = json!({"criteria": "country = 'FR'"});
    assert_eq!(server.send("PUT", "/v1/segments/french/", &put).status, 200);
    check(&server.get("/v1/nothing/"), 404, "unknown_route");
    check(&server.get("/"), 404, "unknown_route");
    let metrics = String::from_utf8(server.get("/metrics/").body).unwrap();
    let route = "route=\"/v1/segments/{key}/members\"";
    assert!(metrics.contains(route), "{metrics}");
}

#[test]
fn request_needs_exactly_one_local_host() {
    let lake = OwnLake::new("http_hosts");
    let server = Server::start(&lake, "default");
    let address = server.address.as_str();
    let ask = |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        let answer = raw(address, request.as_bytes());
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let (path, host) = ("/healthz", format!("host: {address}\r\n"));
    let ok = || ("200".to_owned(), String::new());
    let refused = |status: &str, code: &str| (status.to_owned(), code.to_owned());
    assert_eq!(ask(path, &host), ok());
    for two in [
        format!("{host}{host}"),
        format!("{host}host: evil.example\r\n"),
        format!("host: evil.example\r\n{host}"),
    ] {
        assert_eq!(ask(path, &two), refused("400", "invalid_host"), "{two}");
        let target = format!("http://{address}{path}");
        assert_eq!(ask(&target, &two), refused("400", "invalid_host"), "{two}");
    }
    assert_eq!(ask(path, ""), refused("400", "invalid_host"));
    let foreign = || refused("421", "foreign_host");
    assert_eq!(ask(path, "host: evil.example\r\n"), foreign());
    assert_eq!(ask(path, "host: localhost, evil.example\r\n"), foreign());
    assert_eq!(ask(path, "host:\r\n"), foreign());
    for target in [
        "http://evil.example/healthz",
        "http://evil.example:80/healthz",
        "http://localhost.evil.example/healthz",
    ] {
        assert_eq!(ask(target, &host), foreign(), "{target}");
    }
    assert_eq!(ask(&format!("http://{address}{path}"), &host), ok());
    assert_eq!(ask("http://localhost/healthz", &host), ok());
}
