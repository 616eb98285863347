//! Filters of other Delta readers on every column of every table find all matching rows, and the
//! Delta logs hold no personal values.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use rollbook_lake::{Cause, Commit, Committed, DataFile, Lake, TableChange};
use rollbook_model::{ColumnDef, ColumnType, Shape, TableDef, Timestamp, tables};
use rollbook_tests::times;
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

/// Number of bounds by which each column is filtered; `ROLLBOOK_TEST_BOUNDS=3` tests all.
const BOUNDS: u64 = 1;
/// Values of columns that must not be in a log, besides numbers.
const SECRET: &str = "zq";

/// The value of a column in a CSV file, for the row with this number.
fn value(table: &str, column: &ColumnDef, row: usize) -> String {
    match (column.name, column.ty) {
        ("email", _) => format!("{SECRET}{row}@{SECRET}.example.com"),
        ("phone", _) => format!("+49 30 901820{row}"),
        ("country", _) => ["DE", "FR", "US"][row % 3].to_owned(),
        ("currency", _) => ["EUR", "USD"][row % 2].to_owned(),
        ("timezone", _) => "Europe/Berlin".to_owned(),
        ("region", _) => "BE".to_owned(),
        ("latitude" | "longitude", _) => format!("{row}.25"),
        ("probability", _) => format!("0.{row}"),
        ("status", _) if table == "deals" => ["open", "won", "lost"][row % 3].to_owned(),
        ("date_of_birth", _) => format!("1971-07-0{}", 1 + row % 9),
        ("day", _) => format!("2024-03-{:02}", 1 + row),
        (_, ColumnType::Text) => format!("{SECRET}{row}"),
        (_, ColumnType::TextList) => format!("{SECRET}{row}|b"),
        (_, ColumnType::Bool) => row.is_multiple_of(2).to_string(),
        (_, ColumnType::Int) => row.to_string(),
        (_, ColumnType::Float) => format!("{row}.5"),
        (_, ColumnType::Decimal) => format!("{}.25", 10 * row),
        (_, ColumnType::Time) => format!("2024-0{}-02T10:20:30.123456Z", 1 + row % 9),
        (_, ColumnType::Date) => format!("2024-0{}-03", 1 + row % 9),
        (_, ColumnType::Json) => format!("\"{{\"\"{SECRET}\"\": {row}}}\""),
    }
}

/// A file of a table that mappings fill: rows with all columns, and one with the required ones only.
fn file(def: &TableDef, rows: std::ops::Range<usize>) -> String {
    let is_fact = def.shape == Shape::Fact;
    let columns: Vec<&ColumnDef> = def.columns.iter().collect();
    let mut text = "external_id".to_owned();
    if is_fact {
        text.push_str(",person_external_id");
    }
    columns.iter().for_each(|column| {
        let _ = write!(text, ",{}", column.name);
    });
    let last = rows.end - 1;
    for row in rows {
        let _ = write!(text, "\n{SECRET}id{row}");
        if is_fact {
            let _ = write!(text, ",{SECRET}id{row}");
        }
        for column in &columns {
            let is_empty = row == last && column.nullable;
            let cell = if is_empty {
                String::new()
            } else {
                value(def.name, column, row)
            };
            let _ = write!(text, ",{cell}");
        }
    }
    text + "\n"
}

/// A lake with at least two files of every table that mappings fill.
fn full(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    for (at, rows) in [1..4, 4..7, 7..9].into_iter().enumerate() {
        for def in tables::TABLES {
            if def.shape != Shape::Own {
                lake.write(&format!("{at}/{}.csv", def.name), &file(def, rows.clone()));
            }
        }
        lake.json(&[
            "ingest",
            "native",
            lake.path(&at.to_string()).to_str().unwrap(),
        ]);
    }
    // Tables of rollbook's own: a row that cannot be taken in, and a decision.
    let wrong = "external_id,placed_at,total\nwrong,never,1\n";
    let wrong = lake.write("wrong/orders.csv", wrong);
    lake.json(&["ingest", "native", wrong.to_str().unwrap()]);
    lake.json(&["identity", "merge", "1", "2"]);
    lake
}

fn ask(script: &str, arguments: &[&str]) -> Value {
    let python = rollbook_tests::python();
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let mut command = Command::new(python);
    let output = command
        .arg(peers.join(script))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn delta_filters_find_all_matching_rows() {
    let lake = full("filters");
    let bounds = times("ROLLBOOK_TEST_BOUNDS", BOUNDS).to_string();
    let place = lake.path("lake/default");
    let found = ask("filter_lake.py", &[place.to_str().unwrap(), &bounds]);
    let ours = lake.json(&["tables"]);
    let found = found.as_object().unwrap();
    assert_eq!(found.len(), ours.as_array().unwrap().len());
    for table in ours.as_array().unwrap() {
        let name = table["table"].as_str().unwrap();
        assert_eq!(found[name]["rows"], table["rows"], "{name}");
    }
    for (name, looked) in found {
        assert_eq!(looked["wrong"], json!([]), "{name}");
        let def = tables::table(name).unwrap();
        let columns = looked["columns"].as_array().unwrap().len();
        assert_eq!(columns, def.stored_schema().fields().len(), "{name}");
        let asked = looked["asked"].as_object().unwrap();
        assert!(asked.len() >= 5, "{asked:?}");
        assert!(
            asked
                .values()
                .all(|asked| asked.as_u64() >= Some(columns as u64))
        );
        println!(
            "{name}: {} rows, {} files, {columns} columns; {asked:?}",
            looked["rows"], looked["files"]
        );
    }
    assert!(
        tables::TABLES
            .iter()
            .all(|def| found.contains_key(def.name))
    );
    for def in tables::TABLES.iter().filter(|def| def.shape != Shape::Own) {
        assert_eq!(found[def.name]["rows"], 8, "{}", def.name);
        // Rows of persons lie in a file for each run: readers have files to skip.
        let files = if def.is_personal_fact() { 3 } else { 1 };
        assert!(
            found[def.name]["files"].as_u64() >= Some(files),
            "{}",
            def.name
        );
    }
}

#[test]
fn delta_logs_hold_no_personal_values() {
    let lake = full("filters_secrets");
    lake.json(&["compact", "--all"]);
    let (mut logs, mut adds) = (0, 0);
    for folder in fs::read_dir(lake.path("lake/default")).unwrap() {
        let Ok(entries) = fs::read_dir(folder.unwrap().path().join("_delta_log")) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            logs += 1;
            for secret in [SECRET, "901820", "1971-07"] {
                let found = text.find(secret).map(|at| &text[at.saturating_sub(40)..]);
                assert_eq!(found, None, "{}", path.display());
            }
            // Statistics for skipping files cover person ids alone.
            for line in text.lines().filter(|line| line.contains("\"add\"")) {
                adds += 1;
                let add: Value = serde_json::from_str(line).unwrap();
                let stats: Value =
                    serde_json::from_str(add["add"]["stats"].as_str().unwrap()).unwrap();
                for kind in ["minValues", "maxValues", "nullCount"] {
                    let of = stats[kind].as_object().unwrap();
                    assert!(of.keys().all(|column| column == "person_id"), "{stats}");
                }
            }
        }
    }
    assert!(logs > 50 && adds > 10, "{logs} logs, {adds} files");
}

/// Commits this many changes of `orders`, each of which replaces a file.
async fn commits(place: &str, versions: std::ops::Range<u64>) -> Lake {
    let lake = Lake::open_or_new(place, "default".parse().unwrap())
        .await
        .unwrap();
    let mut state = lake.head().await.unwrap();
    let file = |version: u64| DataFile {
        path: format!("part-{version}.parquet"),
        size: 4,
        rows: 1,
        min_person: Some(1),
        max_person: Some(2),
        ..DataFile::default()
    };
    for version in versions {
        let path = lake.path(&format!("orders/part-{version}.parquet"));
        lake.store().put_new(&path, b"rows").await.unwrap();
        let gone = version.checked_sub(3).map(file);
        let change = TableChange {
            adds: vec![file(version)],
            removes: gone.into_iter().collect(),
        };
        let mut commit = Commit::of_names(
            Cause::Define {
                name: "test".to_owned(),
            },
            Timestamp::from_micros(1_700_000_000_000_000),
            [].into(),
        );
        commit.tables.insert("orders", change);
        match lake.commit(&state, commit).await.unwrap() {
            Committed::Done(done) => state = *done,
            Committed::Overtaken => panic!("nobody else writes"),
        }
    }
    lake
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn long_delta_log_opens_from_a_checkpoint() {
    let own = OwnLake::new("filters_long_log");
    let place = own.path("lake").to_str().unwrap().to_owned();
    let lake = commits(&place, 0..600).await;
    let copy = own.path("copy").to_str().unwrap().to_owned();
    let to = rollbook_lake::Store::at(&copy).unwrap();
    lake.copy_to(&to, None).await.unwrap();
    for place in [place, copy] {
        let orders = format!("{place}/default/orders");
        let opened = ask("open_table.py", &[&orders]);
        assert_eq!(opened["version"], 599);
        let files = ["part-597.parquet", "part-598.parquet", "part-599.parquet"];
        assert_eq!(opened["files"], json!(files));
        let checkpoint = opened["checkpoint"].as_u64().unwrap();
        assert!((560..600).contains(&checkpoint), "{checkpoint}");
        assert!(opened["seconds"].as_f64().unwrap() < 0.2, "{opened}");
        // The contents of earlier versions are still known.
        assert_eq!(
            opened["earlier"],
            json!(["part-98.parquet", "part-99.parquet", "part-100.parquet"])
        );
        let properties = opened["properties"].as_object().unwrap();
        assert_eq!(properties["delta.dataSkippingNumIndexedCols"], "1");
    }
}
