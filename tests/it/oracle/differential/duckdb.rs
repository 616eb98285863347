//! DuckDB over the lake's Delta tables, as a process beside the test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// An engine that shares no code with rollbook: see `peers/oracle.py`.
pub(super) struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Number of answered queries.
    pub(super) asked: usize,
}

impl Oracle {
    /// Opens a tenant's folder.
    pub(super) fn start(folder: &Path, zone: &str) -> Self {
        let python = rollbook_tests::python();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/oracle.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(folder)
            .arg(zone)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
            asked: 0,
        }
    }

    /// The rows of each of these queries, on the newest version of the tables.
    pub(super) fn ask(&mut self, queries: &[String]) -> Vec<Vec<Vec<Value>>> {
        self.asked += queries.len();
        let asked = serde_json::to_string(queries).unwrap();
        writeln!(self.input, "{asked}").unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the oracle is gone: {error} in `{line}`"));
        assert!(answer["error"].is_null(), "{}\n{asked}", answer["error"]);
        serde_json::from_value(answer["answers"].take()).unwrap()
    }

    /// The texts in the only column of a query.
    pub(super) fn texts(&mut self, query: &str) -> Vec<String> {
        let rows = self.ask(&[query.to_owned()]).remove(0);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        rows.iter().map(|row| text(&row[0])).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
