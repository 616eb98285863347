//! Connections are encrypted with the newest certificate, and no caller keeps others from connecting.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::serve_encrypted;
use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;
use crate::support::server::{Server, raw};
use crate::support::tls::{CERTIFICATE, KEY, TestCertificate, TlsConnection};

const LOOPBACK: &str = "127.0.0.1:0";

/// A request that is answered on a connection that stays open.
const ALIVE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn is_answered(server: &Server, certificate: &TestCertificate) -> bool {
    let connection = TlsConnection::open(&server.address, certificate);
    let answer = connection.and_then(|mut connection| connection.exchange(ALIVE));
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn cookies_of_encrypted_connections_are_secure() {
    let (lake, certificate) = (OwnLake::new("http_tls_cookie"), TestCertificate::new());
    let key = lake.json(&["api-key", "create", "--name", "a", "--role", "viewer"]);
    let server = Server::start_with(serve_encrypted(&lake, &certificate, LOOPBACK));
    let mut connection = TlsConnection::open(&server.address, &certificate).unwrap();
    let token = key["token"].as_str().unwrap();
    let start = format!(
        "POST /v1/session HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    let started = connection.exchange(&start).unwrap();
    assert!(started.starts_with("HTTP/1.1 201"), "{started}");
    assert!(started.contains("SameSite=Strict; Secure\r\n"), "{started}");
    assert!(server.stop());
}

#[test]
fn requests_over_tls_are_answered() {
    let (lake, certificate) = (OwnLake::new("http_tls"), TestCertificate::new());
    let server = Server::start_with(serve_encrypted(&lake, &certificate, LOOPBACK));
    let offered = ["h2", "http/1.1"];
    let connection = TlsConnection::with_protocols(&server.address, &certificate, &offered);
    let mut connection = connection.unwrap();
    assert_eq!(connection.protocol().as_deref(), Some("http/1.1"));
    // Several requests, one with a body of many records.
    let rows: String = (0..30_000).map(|n| format!("p{n},DE\n")).collect();
    let rows = format!("external_id,country\n{rows}");
    let post = format!(
        "POST /v1/ingest/native/persons HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n\
         content-length: {}\r\n\r\n{rows}",
        rows.len()
    );
    assert!(
        connection
            .exchange(ALIVE)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    let ingested = connection.exchange(&post).unwrap();
    assert!(ingested.contains("\"accepted\":30000"), "{ingested}");
    let new = "{\"key\": \"all\", \"criteria\": \"country = 'DE'\"}";
    let json = |method: &str, path: &str, body: &str| {
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    };
    let created = connection
        .exchange(&json("POST", "/v1/segments", new))
        .unwrap();
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    let refreshed = json("POST", "/v1/segments/all/refresh", "{}");
    let refreshed = connection.exchange(&refreshed).unwrap();
    assert!(refreshed.contains("\"count\":30000"), "{refreshed}");
    let members = "GET /v1/segments/all/members?stream=true&format=csv HTTP/1.1\r\n\
                   host: localhost\r\nconnection: close\r\n\r\n";
    // The end of the answer is that of TLS: nobody cut it off.
    let members = connection.last(members).unwrap();
    assert!(members.starts_with("HTTP/1.1 200"), "{members:.200}");
    assert!(members.len() > 100_000, "{}", members.len());
    assert!(server.stop());
}

#[test]
fn pages_of_the_server_itself_have_https() {
    let (lake, certificate) = (OwnLake::new("http_tls_origin"), TestCertificate::new());
    let server = Server::start_with(serve_encrypted(&lake, &certificate, LOOPBACK));
    let status = |origin: &str| {
        let host = &server.address;
        let request =
            format!("GET /v1/schema HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\r\n");
        let mut connection = TlsConnection::open(host, &certificate).unwrap();
        let answer = connection.exchange(&request).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status(&format!("https://{}", server.address)), "200");
    assert_eq!(status(&format!("http://{}", server.address)), "403");
    assert_eq!(status("https://example.com"), "403");
    assert!(server.stop());
}

#[test]
fn changed_certificate_is_used_and_a_broken_one_is_not() {
    let lake = OwnLake::new("http_tls_changed");
    let [first, second, third] = [(); 3].map(|()| TestCertificate::new());
    let server = Server::start_with(serve_encrypted(&lake, &first, LOOPBACK));
    let mut open = TlsConnection::open(&server.address, &first).unwrap();
    assert!(open.exchange(ALIVE).unwrap().starts_with("HTTP/1.1 200"));
    assert!(!is_answered(&server, &second));
    second.write(&lake);
    eventually("the second certificate is used", || {
        is_answered(&server, &second)
    });
    assert!(!is_answered(&server, &first));
    // Whoever was connected stays so.
    assert!(open.exchange(ALIVE).unwrap().starts_with("HTTP/1.1 200"));
    let complains = |of: &str| {
        let log = server.log();
        let warned = |line: &&String| line.contains("WARN") && line.contains(of);
        log.iter().filter(warned).count() == 1
    };
    let [certificate, key] = [CERTIFICATE, KEY].map(|name| lake.path(name));
    fs::write(&certificate, &second.pem[..200]).unwrap();
    eventually("a damaged certificate is reported", || {
        complains("is damaged")
    });
    assert!(is_answered(&server, &second));
    fs::write(&certificate, "").unwrap();
    eventually("an empty file is reported", || complains("no certificate"));
    fs::remove_file(&certificate).unwrap();
    eventually("a missing file is reported", || complains("cannot read"));
    assert!(is_answered(&server, &second));
    // One file after the other: nothing fits until both are there.
    fs::write(&certificate, &third.pem).unwrap();
    eventually("a key of another certificate is reported", || {
        complains("is not that of")
    });
    assert!(is_answered(&server, &second));
    fs::write(&key, &third.key).unwrap();
    eventually("the third certificate is used", || {
        is_answered(&server, &third)
    });
    let secret = third.key.lines().nth(1).unwrap();
    assert!(server.log().iter().all(|line| !line.contains(secret)));
    assert!(server.stop());
}

#[test]
fn unfinished_handshakes_do_not_block_others() {
    let (lake, certificate) = (OwnLake::new("http_tls_half"), TestCertificate::new());
    let server = Server::start_with(serve_encrypted(&lake, &certificate, LOOPBACK));
    let begun = Instant::now();
    let mut half = TcpStream::connect(&server.address).unwrap();
    // The begin of a record of a handshake.
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
        .unwrap();
    let silent: Vec<_> = (0..500)
        .map(|_| TcpStream::connect(&server.address).unwrap())
        .collect();
    let asked = Instant::now();
    assert!(is_answered(&server, &certificate));
    assert!(asked.elapsed() < Duration::from_secs(5));
    // The server gives up on it.
    half.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(half.read(&mut [0; 16]).unwrap_or(0), 0);
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
    drop(silent);
    assert!(is_answered(&server, &certificate));
    // Nor do they hold up its end.
    let _silent = TcpStream::connect(&server.address).unwrap();
    let stopping = Instant::now();
    assert!(server.stop());
    assert!(stopping.elapsed() < Duration::from_secs(8));
}

#[test]
fn plain_requests_to_an_encrypted_port_are_told_so() {
    let (lake, certificate) = (OwnLake::new("http_tls_plain"), TestCertificate::new());
    let server = Server::start_with(serve_encrypted(&lake, &certificate, LOOPBACK));
    let answer = raw(&server.address, ALIVE.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("\"code\":\"not_encrypted\""), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    for garbage in [
        &b"\x00\x01\x02\x03\x04\x05\x06"[..],
        &[0x80; 40],
        &[0x16; 40],
        b"get / ",
    ] {
        let asked = Instant::now();
        let answer = raw(&server.address, garbage);
        assert!(!answer.contains("HTTP/1.1 2"), "{answer}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{garbage:?}");
    }
    assert!(is_answered(&server, &certificate));
    assert!(server.stop());
}

#[test]
fn unusable_certificates_are_told_at_the_start() {
    let lake = OwnLake::new("http_tls_start");
    let [one, other] = [(); 2].map(|()| TestCertificate::new());
    let check = |certificate: Option<&str>, key: Option<&str>, expected: &[&str]| {
        let file = |name: &str, content: Option<&str>| {
            let path = lake.path(name);
            match content {
                Some(content) => lake.write(name, content),
                None => {
                    let _ = fs::remove_file(&path);
                    path
                }
            }
        };
        let mut command = lake.command(&["serve", "--listen", LOOPBACK, "--tls-cert"]);
        command.arg(file(CERTIFICATE, certificate));
        command.arg("--tls-key").arg(file(KEY, key));
        let refused = command.output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        for text in expected {
            assert!(said.contains(text), "no `{text}` in {said}");
        }
        assert!(said.contains("hint: "), "{said}");
        let secret = one.key.lines().nth(1).unwrap();
        assert!(!said.contains(secret), "{said}");
    };
    let (pem, key) = (Some(one.pem.as_str()), Some(one.key.as_str()));
    check(None, key, &["cannot read", "cert.pem", "--tls-cert"]);
    check(pem, None, &["cannot read", "key.pem", "--tls-key"]);
    check(Some(""), key, &["no certificate in", "cert.pem"]);
    check(key, key, &["no certificate in", "cert.pem"]);
    check(pem, Some(""), &["no private key in", "key.pem"]);
    check(pem, pem, &["no private key in", "key.pem"]);
    check(
        pem,
        Some(&other.key),
        &["is not that of", "cert.pem", "key.pem"],
    );
    check(Some(&one.pem[..200]), key, &["cert.pem", "is damaged"]);
    check(pem, Some(&one.key[..100]), &["key.pem", "is damaged"]);
    let empty = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    check(Some(empty), key, &["cannot be used"]);
    assert!(
        !lake.path("lake").exists(),
        "a server that did not start wrote something"
    );
    let alone = lake.run(&["serve", "--tls-cert", "cert.pem"]);
    assert_eq!(alone.status.code(), Some(2));
}
