//! A full disk and a read-only one: the error says so, nothing is damaged, and work continues once there is
//! room. On a small file system in a mount namespace.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::http::readiness::{becomes_ready, becomes_unready};
use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

/// Set for the test that runs in the namespace.
const INSIDE: &str = "ROLLBOOK_TEST_SMALL_DISK";
const COUNT: &str = "select count(*) as n from activities";

#[test]
#[cfg_attr(
    not(has_namespaces),
    ignore = "this system lets nobody mount a file system of their own"
)]
fn full_or_read_only_disk_loses_nothing() {
    let inside = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "durability::full_disk::full_disk_in_a_mount_namespace",
            "--ignored",
            "--nocapture",
        ])
        .env(INSIDE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout).into_owned();
    let complained = String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success(), "{said}\n{complained}");
    println!("{said}");
}

#[test]
#[ignore = "is started in a namespace by the test above it"]
fn full_disk_in_a_mount_namespace() {
    assert!(
        std::env::var_os(INSIDE).is_some(),
        "run the test above instead"
    );
    let own = OwnLake::new("small_disk");
    let folder = own.path("lake");
    std::fs::create_dir(&folder).unwrap();
    mount(&folder, &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
    let first = own.write("activities-1.csv", &activities(0..100));
    let many = own.write("activities-2.csv", &activities(100..60_000));
    let (first, many) = (first.to_str().unwrap(), many.to_str().unwrap());
    own.json(&["ingest", "native", first]);

    // Full: of the run nothing is seen.
    let refused = own.run(&["ingest", "native", many]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("free space"), "{said}");
    assert_eq!(own.value(COUNT), 100);
    assert_eq!(own.json(&["check"])["problems"], json!([]));

    // To the last byte: neither a post nor an entry of the journal is acknowledged.
    let server = Server::start(&own, "default");
    let rest = folder.join("rest");
    let room = fill(&rest);
    let body = format!("{}\n", row("H1"));
    for headers in [&[][..], &[("prefer", "respond-async")]] {
        let path = "/v1/ingest/native/activities";
        let answer = server.send_text("POST", path, "application/x-ndjson", headers, &body);
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (507, &json!("disk_full")),
            "{problem}"
        );
    }
    assert_eq!(own.value(COUNT), 100);
    assert_eq!(own.json(&["check"])["problems"], json!([]));
    assert_eq!(own.json(&["journal"])["objects"], 0);
    becomes_unready(&server, "the storage of the lake is full");

    // Room again: the same goes through, by the server that was there all the while too.
    std::fs::remove_file(&rest).unwrap();
    mount(&folder, &["-o", "remount,size=64m"]);
    for (headers, status) in [(&[][..], 200), (&[("prefer", "respond-async")], 202)] {
        let path = "/v1/ingest/native/activities";
        let answer = server.send_text("POST", path, "application/x-ndjson", headers, &body);
        assert_eq!(answer.status, status, "{}", answer.json());
    }
    assert!(becomes_ready(&server) >= 2);
    drop(server);
    own.json(&["ingest", "native", many]);
    assert!(own.run(&["journal", "fold"]).status.success());
    assert_eq!(own.value(COUNT), 60_001);
    assert_eq!(own.json(&["check"])["problems"], json!([]));

    // Read only: it is read.
    let more = own.write("activities-3.csv", &activities(60_000..60_010));
    let more = more.to_str().unwrap();
    mount(&folder, &["-o", "remount,ro"]);
    assert_eq!(own.value(COUNT), 60_001);
    assert_eq!(own.json(&["check"])["problems"], json!([]));
    for command in [
        &["ingest", "native", more][..],
        &["compact", "--all"],
        &["settings", "currency", "EUR"],
    ] {
        let refused = own.run(command);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.contains("Read-only file system"),
            "{command:?}: {said}"
        );
    }
    let server = Server::start(&own, "default");
    becomes_unready(&server, "the storage of the lake is read-only");
    mount(&folder, &["-o", "remount,rw"]);
    drop(server);
    own.json(&["settings", "currency", "EUR"]);
    assert_eq!(own.value(COUNT), 60_001);
    println!("{room} bytes were left on the full disk");
}

fn mount(folder: &Path, arguments: &[&str]) {
    let mounted = Command::new("mount").args(arguments).arg(folder).output();
    let mounted = mounted.unwrap();
    let said = String::from_utf8_lossy(&mounted.stderr);
    assert!(mounted.status.success(), "{said}");
}

/// Fills the remaining space, and returns its size.
fn fill(path: &Path) -> u64 {
    let mut file = std::fs::File::create(path).unwrap();
    let mut written = 0;
    for size in [65_536, 4_096, 512, 1] {
        while let Ok(bytes) = std::io::Write::write(&mut file, &vec![0; size]) {
            written += bytes as u64;
        }
    }
    written
}

fn row(id: &str) -> Value {
    json!({"external_id": id, "person_external_id": "P1", "type": "seen",
        "occurred_at": "2025-01-01T00:00:00Z"})
}

fn activities(ids: std::ops::Range<u64>) -> String {
    let mut rows = "external_id,person_external_id,type,campaign_id,occurred_at\n".to_owned();
    for id in ids {
        // Campaigns that do not compress well.
        let campaign = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ = writeln!(rows, "A{id},P{id},seen,{campaign:x},2025-01-01T00:00:00Z");
    }
    rows
}
