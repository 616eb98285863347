//! Ingest and segments on an S3-compatible server, conditional puts included.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::own_lake::{OwnLake, counts};
use crate::support::polling::{found, found_within};
use crate::support::server::Server;

const BUCKET: &str = "lakes";

/// A `moto` server that is stopped when this is dropped.
struct S3Server {
    process: Child,
    port: u16,
}

impl S3Server {
    fn start() -> Self {
        let python = rollbook_tests::python();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(&python)
            .args(["-c", "from moto.server import main; main()"])
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let bucket = format!("{}/{BUCKET}", server.endpoint());
        let what = format!(
            "no S3 server: {} -m pip install -r tests/peers/requirements.txt",
            PathBuf::from(python).display()
        );
        found(&what, || ureq::put(&bucket).send_empty());
        server
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rollbook_tests::rollbook();
        command
            .args(["--lake", "s3://lakes/one", "--output", "json"])
            .args(arguments)
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1");
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().unwrap();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}:\n{messages}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn ingest_and_segments_work_on_s3() {
    let server = S3Server::start();
    let local = OwnLake::new("beside_a_bucket");
    let data = local.write("data/.keep", "");
    let data = data.parent().unwrap().to_str().unwrap().to_owned();
    local.json(&[
        "generate",
        "--persons",
        "200",
        "--seed",
        "5",
        "--out",
        &data,
    ]);

    let missing = server.command(&["tables"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no lake"));

    let on_bucket = server.json(&["ingest", "native", &data]);
    let on_disk = local.json(&["ingest", "native", &data]);
    assert_eq!(on_bucket["tables"], on_disk["tables"]);
    let again = server.json(&["ingest", "native", &data]);
    let [read, accepted, unchanged, _] = counts(&again, "orders");
    assert_eq!((read, accepted), (unchanged, 0));

    // Two writers at once: one of them loses the race for the number and goes on after the other.
    let more = [("one", "U1"), ("two", "U2")].map(|(name, id)| {
        let rows = format!("external_id,name\n{id},{name}\n");
        let file = local.write(&format!("{name}/products.csv"), &rows);
        let file = file.to_str().unwrap().to_owned();
        server
            .command(&["ingest", "native", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for writer in more {
        let ended = writer.wait_with_output().unwrap();
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    let both = "select count(*) as n from products where external_id in ('U1', 'U2')";
    assert_eq!(server.json(&["sql", both])[0]["n"], 2);

    let criteria = [
        "segment",
        "put",
        "buyers",
        "--criteria",
        "total_spent > 100",
    ];
    let refresh = ["segment", "refresh", "--as-of", "2026-01-01"];
    let members = ["segment", "members", "buyers"];
    for arguments in [criteria.as_slice(), &refresh] {
        server.json(arguments);
        local.json(arguments);
    }
    let pulled = server.json(&members);
    assert!(!pulled.as_array().unwrap().is_empty());
    assert_eq!(pulled, local.json(&members));
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn keys_count_within_a_second_on_s3() {
    let bucket = S3Server::start();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--rate-limit", "0"];
    let server = Server::start_with(bucket.command(&serve));
    let check = |token: Option<&str>, expected: u16| {
        let seen = found_within(Duration::from_secs(1), || {
            match server.ask(token, "GET", "/v1/schema", None).status {
                status if status == expected => Ok(()),
                status => Err(status),
            }
        });
        assert_eq!(seen, Ok(()), "{expected} was expected");
    };
    check(None, 200);
    let create = ["api-key", "create", "--name", "one", "--role", "viewer"];
    let key = bucket.json(&create);
    check(None, 401);
    check(key["token"].as_str(), 200);
    let prefix = key["prefix"].as_str().unwrap();
    let rotated = bucket.json(&["api-key", "rotate", prefix]);
    check(rotated["token"].as_str(), 200);
    bucket.json(&["api-key", "revoke", prefix]);
    check(key["token"].as_str(), 401);
    check(rotated["token"].as_str(), 401);
    let listed = bucket.json(&["api-key", "list"]);
    assert_eq!(listed[0]["status"], "revoked");
    assert!(server.stop());
}
