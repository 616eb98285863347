//! Personal values stay out of reasons, logs and files that others on the machine can read.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::personal_values::holds;
use crate::support::polling::eventually;
use crate::support::server::Server;

#[test]
fn failure_reason_does_not_reveal_the_value() {
    let lake = OwnLake::new("http_reasons");
    let server = Server::start(&lake, "default");
    let post = |rows: &str| {
        let path = "/v1/ingest/native/persons";
        let taken = server.send_text("POST", path, "text/csv", &[], rows);
        assert_eq!(taken.status, 200);
    };
    post("external_id,phone,first_name\nP1,4155552671,Bob\n");
    // A condition gives nothing for such a person; a query fails.
    let query = "select person_id from persons where phone::bigint > 4000000000";
    let new = json!({"key": "typo", "criteria": query});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let named = json!({"key": "outer", "criteria": "in_segment('typo')"});
    assert_eq!(server.send("POST", "/v1/segments", &named).status, 201);
    post("external_id,phone,first_name\nP2,(415) 555-9876 or later,Ann\n");
    for key in ["typo", "outer"] {
        let path = format!("/v1/segments/{key}");
        let reason = || server.get(&path).json()["reason"].to_string();
        eventually("the segment fails", || reason().contains("cannot"));
        let reason = reason();
        assert!(reason.contains("cannot cast"), "{reason}");
        assert!(!reason.contains("555-9876"), "{reason}");
    }
    // A caller with the permission sees the value.
    let preview = json!({ "criteria": query });
    let told = server.send("POST", "/v1/segments/preview", &preview).json();
    assert!(
        told["detail"].as_str().unwrap().contains("555-9876"),
        "{told}"
    );
    eventually("the request is in the log", || {
        let log = server.log();
        log.iter().any(|line| line.contains("/v1/segments/preview"))
    });
    assert!(server.log().iter().all(|line| !line.contains("555-9876")));
    assert!(server.stop());
    assert!(!holds(&lake.path("lake"), "555-9876"));
}

#[test]
fn spooled_bodies_are_private_and_removed_after_a_kill() {
    let lake = OwnLake::new("http_scratch");
    let scratch = lake.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut command = lake.command(&serve);
    command.env("TMPDIR", &scratch);
    let server = Server::start_with(command);
    let mut slow = TcpStream::connect(&server.address).unwrap();
    slow.write_all(
        b"POST /v1/ingest/native/persons HTTP/1.1\r\nhost: localhost\r\n\
          content-type: text/csv\r\ncontent-length: 1000\r\n\r\nexternal_id,email\nA,ann@example.com\n",
    )
    .unwrap();
    eventually("the body lies somewhere", || {
        holds(&scratch, "ann@example.com")
    });
    for folder in fs::read_dir(&scratch).unwrap() {
        let mode = folder.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    server.kill();
    assert!(holds(&scratch, "ann@example.com"));
    // A worker of the killed server ends by itself, and has a folder of its own until then.
    eventually("the next process removes the folders of dead ones", || {
        let mut next = lake.command(&["segment", "list"]);
        next.env("TMPDIR", &scratch).output().unwrap();
        fs::read_dir(&scratch).unwrap().count() == 0
    });
    drop(slow);
}
