//! Asynchronous posts are acknowledged once durable, and are in a snapshot later.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

const ASYNC: (&str, &str) = ("prefer", "respond-async");
const PATH: &str = "/v1/ingest/native/activities";

fn activity(id: &str, kind: &str) -> String {
    let row = json!({"external_id": id, "person_external_id": "P1", "type": kind,
        "occurred_at": "2025-01-01T00:00:00Z"});
    format!("{row}\n")
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    server.send_text("POST", path, "application/x-ndjson", headers, body)
}

#[test]
fn async_rows_are_acknowledged_before_their_snapshot() {
    let lake = OwnLake::new("journal");
    let server = Server::start(&lake, "default");
    assert_eq!(
        post(&server, PATH, &[], &activity("A0", "seen")).status,
        200
    );
    lake.json(&["settings", "journal_seconds", "1"]);

    let answer = post(&server, PATH, &[ASYNC], &activity("A1", "seen"));
    assert_eq!(answer.status, 202, "{}", answer.json());
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(
        answer.header("x-journal-ahead").split_once('=').unwrap().0,
        "objects"
    );
    lake.wait_until_folded();
    assert_eq!(lake.value("select count(*) as n from activities"), 2);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("rollbook_journal_objects{tenant=\"default\"} 0"),
        "{metrics}"
    );
    assert_eq!(server.get("/healthz").header("x-journal-ahead"), "");

    // Of one source the later request comes later, whichever way it was sent.
    post(&server, PATH, &[ASYNC], &activity("A1", "clicked"));
    post(&server, PATH, &[], &activity("A1", "bought"));
    let kind = "select type from activities where external_id = 'A1'";
    assert_eq!(lake.value(kind), "bought");

    // With a key it takes effect once, and the answer comes once it is known.
    let keyed = [ASYNC, ("idempotency-key", "k1")];
    assert_eq!(
        post(&server, PATH, &keyed, &activity("A2", "seen")).status,
        202
    );
    lake.wait_until_folded();
    let again = post(&server, PATH, &keyed, &activity("A2", "seen"));
    assert_eq!(
        (again.status, &again.json()["tables"][0]["accepted"]),
        (200, &json!(1))
    );
    let other = post(&server, PATH, &keyed, &activity("A3", "seen"));
    assert_eq!(other.json()["code"], "idempotency_key_reused");

    // Rows that fail are in quarantine.
    let body = "{\"external_id\": \"X\", \"type\": \"seen\", \"occurred_at\": \"never\"}\n";
    let batch = post(&server, PATH, &[ASYNC], body).json()["batch"].clone();
    lake.wait_until_folded();
    let file = lake.json(&["quarantine"])[0]["file"].clone();
    assert_eq!(
        file,
        format!("http/{}/activities.ndjson", batch.as_str().unwrap())
    );
    // An unknown source is refused immediately.
    let nobody = post(
        &server,
        "/v1/ingest/native/nothing_like_it",
        &[ASYNC],
        "{}\n",
    );
    assert_eq!(
        (nobody.status, &nobody.json()["code"]),
        (404, &json!("unknown_source"))
    );
}

#[test]
fn next_process_folds_acknowledged_rows() {
    let lake = OwnLake::new("journal_left");
    let server = Server::start(&lake, "default");
    post(&server, PATH, &[], &activity("A0", "seen"));
    lake.json(&["settings", "journal_seconds", "3600"]);
    // The server learns of the setting with the next fold.
    assert_eq!(
        post(&server, PATH, &[ASYNC], &activity("A1", "seen")).status,
        202
    );
    lake.wait_until_folded();
    assert_eq!(
        post(&server, PATH, &[ASYNC], &activity("A2", "seen")).status,
        202
    );
    // A body that cannot be read as a whole: it is found out when the caller has gone.
    assert_eq!(
        post(&server, PATH, &[ASYNC], "{\"type\": \"seen\"}\n").status,
        202
    );
    server.kill();
    assert_eq!(lake.value("select count(*) as n from activities"), 2);
    let waiting = lake.json(&["journal"]);
    assert_eq!(waiting["objects"], 2, "{waiting}");

    // A backup has what was acknowledged.
    let copy = lake.path("copy").to_str().unwrap().to_owned();
    lake.json(&["backup", &copy]);
    let back = OwnLake::new("journal_restored");
    back.json(&["restore", &copy]);
    back.run(&["journal", "fold"]);
    assert_eq!(back.value("select count(*) as n from activities"), 3);

    let fold = lake.run(&["journal", "fold"]);
    let said = String::from_utf8_lossy(&fold.stderr).into_owned();
    assert_eq!(
        lake.value("select count(*) as n from activities"),
        3,
        "{said}"
    );
    let waiting = lake.json(&["journal"]);
    assert_eq!(waiting["objects"], 0, "{waiting}");
    let refused: &Vec<Value> = waiting["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{waiting}");
    assert_eq!(refused[0]["file"], "activities.ndjson", "{waiting}");
    assert_eq!(fold.status.code(), Some(1));

    let retry = lake.run(&["journal", "retry"]);
    assert_eq!(retry.status.code(), Some(1));
    let id = refused[0]["id"].as_str().unwrap();
    assert_eq!(
        lake.run(&["journal", "drop", "no-such-id"]).status.code(),
        Some(1)
    );
    assert!(lake.run(&["journal", "drop", id]).status.success());
    assert_eq!(lake.json(&["journal"])["refused"], json!([]));
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

#[test]
fn damaged_log_entry_does_not_block_later_ones() {
    let lake = OwnLake::new("journal_harmed");
    let server = Server::start(&lake, "default");
    post(&server, PATH, &[], &activity("A0", "seen"));
    lake.json(&["settings", "journal_seconds", "3600"]);
    post(&server, PATH, &[ASYNC], &activity("A1", "seen"));
    lake.wait_until_folded();
    let mut objects = Vec::new();
    let folder = lake.path("lake/default/_journal");
    for name in ["A2", "A3"] {
        post(&server, PATH, &[ASYNC], &activity(name, "seen"));
        let all = std::fs::read_dir(&folder).unwrap();
        objects.extend(all.map(|object| object.unwrap().path()));
    }
    server.kill();
    let harmed = objects.first().unwrap();
    let sound = std::fs::read(harmed).unwrap();
    std::fs::write(harmed, &sound[..sound.len() / 2]).unwrap();

    // Later entries are folded; the damaged one is reported and kept unchanged.
    assert_eq!(lake.run(&["journal", "fold"]).status.code(), Some(1));
    assert_eq!(lake.value("select count(*) as n from activities"), 3);
    let waiting = lake.json(&["journal"]);
    assert_eq!(waiting["objects"], 0, "{waiting}");
    let reason = waiting["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("its bytes have changed since"), "{waiting}");
    assert_eq!(lake.run(&["journal", "retry"]).status.code(), Some(1));

    // Made whole again from a copy, it is taken in.
    let id = waiting["refused"][0]["id"].as_str().unwrap();
    std::fs::write(
        lake.path(&format!("lake/default/_refused/{id}.body")),
        sound,
    )
    .unwrap();
    assert!(lake.run(&["journal", "retry"]).status.success());
    assert_eq!(lake.value("select count(*) as n from activities"), 4);
    assert_eq!(lake.json(&["journal"])["refused"], json!([]));
}
