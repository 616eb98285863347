//! `/readyz` says whether the server can do its work: the lake, its storage, the master key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::own_lake::OwnLake;
use crate::support::polling::found;
use crate::support::server::Server;

/// A tenant whose name no answer may hold.
const TENANT: &str = "acme-inc";

fn serve(lake: &OwnLake) -> Server {
    let mut command = lake.command(&["--tenant", TENANT, "serve", "--listen", "127.0.0.1:0"]);
    command.env("ROLLBOOK_MASTER_KEY_FILE", lake.path("keys/master.key"));
    command.env_remove("ROLLBOOK_MASTER_KEY");
    command.env_remove("ROLLBOOK_MASTER_KEY_COMMAND");
    Server::start_with(command)
}

/// Waits until the server is not ready for this reason.
pub(crate) fn becomes_unready(server: &Server, reason: &str) {
    let problem = found("it is still ready", || {
        let answer = server.get("/readyz");
        match answer.status {
            503 => Ok(answer.json()),
            other => Err(other),
        }
    });
    assert_eq!(problem["code"], "not_ready", "{problem}");
    let text = problem.to_string();
    assert!(text.contains(reason), "{problem}");
    assert!(
        !text.contains(TENANT) && !text.contains(".key"),
        "{problem}"
    );
}

/// Waits until the server is ready; returns the newest snapshot.
pub(crate) fn becomes_ready(server: &Server) -> u64 {
    let ready = found("it is not ready", || {
        let answer = server.get("/readyz");
        match answer.status {
            200 => Ok(answer.json()),
            _ => Err(answer.json()),
        }
    });
    assert_eq!(ready["status"], "ready");
    ready["snapshot"].as_u64().unwrap()
}

fn metric(server: &Server) -> String {
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("rollbook_ready "));
    line.unwrap().to_owned()
}

#[test]
fn server_without_its_master_key_is_not_ready() {
    let lake = OwnLake::new("http_ready_key");
    let server = serve(&lake);
    assert_eq!(becomes_ready(&server), 0);
    assert!(!lake.path("keys").exists(), "readiness creates no key");
    let rows = "external_id,email\na,ann@example.com\n";
    let path = "/v1/ingest/native/persons";
    let posted = server.send_text("POST", path, "text/csv", &[], rows);
    assert_eq!(posted.status, 200);
    assert_eq!(becomes_ready(&server), 1);
    assert_eq!(metric(&server), "rollbook_ready 1");

    // Another key is as good as none.
    let (key, away) = (lake.path("keys/master.key"), lake.path("keys/away.key"));
    fs::rename(&key, &away).unwrap();
    lake.write("keys/master.key", &"00".repeat(32));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    becomes_unready(&server, "the master key is missing or does not fit");
    assert_eq!(metric(&server), "rollbook_ready 0");
    fs::rename(&away, &key).unwrap();
    assert_eq!(becomes_ready(&server), 1);
    fs::rename(&key, &away).unwrap();
    becomes_unready(&server, "the master key is missing or does not fit");
    fs::rename(&away, &key).unwrap();
    assert_eq!(becomes_ready(&server), 1);
    let log = server.log();
    let warned = log.iter().filter(|line| line.contains("not ready"));
    assert!(warned.count() >= 2, "{log:?}");
    assert!(server.stop());
}

#[test]
fn server_without_its_lake_is_not_ready() {
    let lake = OwnLake::new("http_ready_lake");
    let server = serve(&lake);
    let path = "/v1/ingest/native/persons";
    let posted = server.send_text("POST", path, "text/csv", &[], "external_id\na\n");
    assert_eq!(posted.status, 200);
    assert_eq!(becomes_ready(&server), 1);
    let (folder, away) = (lake.path("lake"), lake.path("away"));
    fs::rename(&folder, &away).unwrap();
    lake.write("lake", "no folder");
    becomes_unready(&server, "the lake cannot be");
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(becomes_ready(&server), 1);
    // Checks leave nothing behind.
    let staged = |name: &str| name.starts_with(".staged");
    for below in ["lake", &format!("lake/{TENANT}/_snapshots")] {
        let entries = fs::read_dir(lake.path(below)).unwrap();
        let names = entries.map(|one| one.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| staged(name)).count(), 0);
    }
    assert!(server.stop());
}

/// However often readiness is asked for, the lake is written every few seconds at most.
#[test]
fn readiness_is_checked_seldom() {
    let lake = OwnLake::new("http_ready_seldom");
    let server = serve(&lake);
    assert_eq!(becomes_ready(&server), 0);
    let changed = || fs::metadata(lake.path("lake")).unwrap().modified().unwrap();
    let mut times = vec![changed()];
    let begun = std::time::Instant::now();
    let mut requests = 0;
    while begun.elapsed().as_secs() < 3 {
        assert_eq!(server.get("/readyz").status, 200);
        requests += 1;
        times.push(changed());
    }
    times.dedup();
    assert!(requests > 20, "{requests}");
    assert!(times.len() <= 2, "{times:?} at {requests} requests");
    assert!(server.stop());
}
