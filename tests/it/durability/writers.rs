//! Concurrent writers, and another tool that reads every commit.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rollbook_tests::times;
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

/// Number of rounds of two writers; `ROLLBOOK_TEST_ROUNDS` sets more.
const ROUNDS: u64 = 4;
/// Number of commits read by another tool; `ROLLBOOK_TEST_COMMITS` sets more.
const COMMITS: u64 = 10;

fn orders(ids: std::ops::Range<u64>, total: u64) -> String {
    let mut rows = "external_id,person_external_id,status,currency,total,placed_at\n".to_owned();
    for id in ids {
        let _ = writeln!(rows, "O{id},P{id},paid,EUR,{total},2025-01-01T00:00:00Z");
    }
    rows
}

#[test]
fn concurrent_writers_equal_sequential_writers() {
    let lake = OwnLake::new("two_writers");
    let first = lake.write("0/orders.csv", &orders(0..1, 1));
    lake.json(&["ingest", "native", first.to_str().unwrap()]);
    for round in 1..=times("ROLLBOOK_TEST_ROUNDS", ROUNDS) {
        // Own keys each, shared ones, and ones that are new in every round.
        let (mine, theirs) = (round * 2, round * 2 + 1);
        let new = 1_000 + round * 10;
        let writers = [(0..6, new..new + 2, mine), (3..9, new + 1..new + 4, theirs)];
        let running = writers.map(|(known, new, total)| {
            let rows = orders(known, total) + orders(new, total).split_once('\n').unwrap().1;
            let file = lake.write(&format!("{total}/orders.csv"), &rows);
            let arguments = ["ingest", "native", file.to_str().unwrap()];
            let mut command = lake.command(&arguments);
            let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        });
        for writer in running {
            let ended = writer.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "round {round}: {said}");
        }
        let of = |ids: &str| -> BTreeSet<String> {
            let query = format!(
                "select distinct cast(cast(total as bigint) as text) as total from orders where external_id in ({ids})"
            );
            let rows = lake.sql(&query);
            rows.iter()
                .map(|row| row["total"].as_str().unwrap().to_owned())
                .collect()
        };
        let only = |total: u64| BTreeSet::from([total.to_string()]);
        assert_eq!(of(&format!("'O0','O1','O2','O{new}'")), only(mine));
        let last = format!("'O6','O7','O8','O{}','O{}'", new + 2, new + 3);
        assert_eq!(of(&last), only(theirs));
        let shared = of(&format!("'O3','O4','O5','O{}'", new + 1));
        assert!(
            shared == only(mine) || shared == only(theirs),
            "round {round}: {shared:?}"
        );
    }
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
    let twice = "select count(*) as n from (select external_id from orders group by 1 having count(*) > 1) as twice";
    assert_eq!(lake.value(twice), 0);
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn deltalake_reads_each_commit_immediately() {
    let python = rollbook_tests::python();
    let lake = OwnLake::new("read_along");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/read_lake.py");
    let first = lake.write("0/orders.csv", &orders(0..50, 1));
    lake.json(&["ingest", "native", first.to_str().unwrap()]);
    let mut reader = Command::new(python)
        .arg(script)
        .arg(lake.path("lake/default"))
        .arg("--follow")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = reader.stdin.take().unwrap();
    let mut answers = BufReader::new(reader.stdout.take().unwrap()).lines();
    for commit in 1..=times("ROLLBOOK_TEST_COMMITS", COMMITS) {
        match commit % 5 {
            4 => drop(lake.json(&["compact", "--all"])),
            _ => {
                // Changed rows and new ones; now and then a person who had only orders before.
                let rows = orders(commit * 7..commit * 7 + 12, commit);
                let file = lake.write(&format!("{commit}/orders.csv"), &rows);
                let person = format!("external_id,display_name\nP{commit},Ada\n");
                let persons = lake.write(&format!("{commit}/persons.csv"), &person);
                let [file, persons] = [&file, &persons].map(|path| path.to_str().unwrap());
                lake.json(&["ingest", "native", file, persons]);
            }
        }
        writeln!(ask, "now").unwrap();
        let theirs: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        let ours = lake.json(&["tables"]);
        assert_eq!(
            theirs.as_object().unwrap().len(),
            ours.as_array().unwrap().len()
        );
        for table in ours.as_array().unwrap() {
            let name = table["table"].as_str().unwrap();
            assert_eq!(
                theirs[name]["rows"], table["rows"],
                "{name} after commit {commit}"
            );
        }
        let sum = "select sum(total) as total, sum(person_id) as persons from orders";
        let rows = lake.sql(sum);
        let snapshots = lake.json(&["snapshots"]);
        let newest = snapshots.as_array().unwrap().last().unwrap()["snapshot"].to_string();
        let pinned = lake.json(&["sql", sum, "--snapshot", &newest]);
        assert_eq!(json!(rows), pinned);
    }
    drop(ask);
    assert!(reader.wait().unwrap().success());
}
