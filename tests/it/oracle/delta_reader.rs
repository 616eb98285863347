//! The `deltalake` package for Python reads the same rows.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::own_lake::OwnLake;

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn deltalake_reads_the_same_rows() {
    let python = rollbook_tests::python();
    let lake = OwnLake::new("other_tools");
    lake.json(&["demo"]);
    // A second version of a table, with a file rewritten.
    let changed = lake.write(
        "more/orders.csv",
        "external_id,person_external_id,status,currency,total,placed_at\nO10,P8,refunded,EUR,79.38,2024-01-05T23:22:26Z\n",
    );
    lake.json(&[
        "--tenant",
        "demo",
        "ingest",
        "native",
        changed.to_str().unwrap(),
    ]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/read_lake.py");
    let output = Command::new(python)
        .arg(script)
        .arg(lake.path("lake/demo"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = lake.json(&["--tenant", "demo", "tables"]);
    let tables = ours.as_array().unwrap();
    assert_eq!(theirs.as_object().unwrap().len(), tables.len());
    for table in tables {
        let name = table["table"].as_str().unwrap();
        assert_eq!(theirs[name]["rows"], table["rows"], "{name}");
    }
    for (name, columns) in [
        ("orders", "provider, external_id, person_id, total"),
        (
            "activities",
            "provider, external_id, person_id, null as total",
        ),
    ] {
        // From the far future, so that nothing is hidden.
        let query = format!("select {columns} from {name}");
        let arguments = [
            "--tenant",
            "demo",
            "sql",
            &query,
            "--limit",
            "1000000",
            "--as-of",
            "2200-01-01",
        ];
        let rows = lake.json(&arguments);
        let digest: u64 = rows.as_array().unwrap().iter().map(digest).sum();
        assert_eq!(theirs[name]["digest"].as_u64(), Some(digest), "{name}");
    }
}

fn digest(row: &Value) -> u64 {
    let text = |name: &str| match &row[name] {
        Value::Null => "None".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut key = String::new();
    for name in ["provider", "external_id", "person_id", "total"] {
        if !key.is_empty() {
            key.push('\u{1f}');
        }
        let _ = write!(key, "{}", text(name));
    }
    let hash = Sha256::digest(key.as_bytes());
    hash[..6]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
