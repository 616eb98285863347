//! A lake for one test, used the way a user does: through the program, reading its JSON.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::polling::found;

/// A folder below `target/tmp` with a new lake and other files of the test.
pub(crate) struct OwnLake {
    folder: PathBuf,
}

impl OwnLake {
    /// An empty folder; the content of an earlier run with that name is removed.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// Writes a file beside the lake, creating folders as needed; returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The path of something in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes the lake, but not the files beside it.
    pub(crate) fn forget(&self) {
        let lake = self.folder.join("lake");
        if lake.exists() {
            fs::remove_dir_all(lake).unwrap();
        }
    }

    /// A command on the lake.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = rollbook_tests::rollbook();
        command.arg("--lake").arg(self.folder.join("lake"));
        command.args(["--output", "json"]).args(arguments);
        command
    }

    /// Runs a command on the lake.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; returns the JSON that it prints.
    pub(crate) fn json<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Value {
        let output = self.run(arguments);
        let command: Vec<_> = arguments
            .iter()
            .map(|a| a.as_ref().to_string_lossy())
            .collect();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "`{}` failed:\n{messages}",
            command.join(" ")
        );
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("`{}` printed no JSON: {error}", command.join(" ")))
    }

    /// Waits until the server has folded its whole write-ahead log into a snapshot.
    pub(crate) fn wait_until_folded(&self) {
        found("rows are in no snapshot", || {
            match self.json(&["journal"]) {
                log if log["objects"] == 0 => Ok(()),
                log => Err(log),
            }
        });
    }

    /// The rows of a query.
    pub(crate) fn sql(&self, query: &str) -> Vec<Value> {
        match self.json(&["sql", query]) {
            Value::Array(rows) => rows,
            other => panic!("`{query}` gave {other}"),
        }
    }

    /// The only value of a query.
    pub(crate) fn value(&self, query: &str) -> Value {
        let rows = self.sql(query);
        assert_eq!(rows.len(), 1, "`{query}`");
        let row = rows[0].as_object().unwrap();
        assert_eq!(row.len(), 1, "`{query}`");
        row.values().next().unwrap().clone()
    }
}

/// `[read, accepted, unchanged, quarantined]` of a table in the answer of `ingest`.
pub(crate) fn counts(ingested: &Value, table: &str) -> [u64; 4] {
    let tables = ingested["tables"].as_array().unwrap();
    let mut of_table = tables.iter().filter(|entry| entry["table"] == table);
    let entry = of_table
        .next()
        .unwrap_or_else(|| panic!("`{table}` is not in {ingested}"));
    assert!(
        of_table.next().is_none(),
        "`{table}` is counted twice in {ingested}"
    );
    ["read", "accepted", "unchanged", "quarantined"].map(|key| entry[key].as_u64().unwrap())
}

/// A text cell of a row.
pub(crate) fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column]
        .as_str()
        .unwrap_or_else(|| panic!("`{column}` is no text in {row}"))
}

/// One field of each row that a command printed.
pub(crate) fn column(rows: &Value, name: &str) -> Vec<Value> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[name].clone()).collect()
}
