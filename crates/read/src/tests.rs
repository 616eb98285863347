//! Helpers that the tests of all readers share.

use std::fs;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::{Format, ReadError, Reader, Refused, SourceFile, discover};

/// A file in a folder of its own.
pub(super) struct Given {
    _folder: tempfile::TempDir,
    pub(super) file: SourceFile,
}

/// Everything that a reader returned.
pub(super) struct Found {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(i64, Vec<Option<String>>)>,
    pub(super) refused: Vec<Refused>,
}

impl Given {
    pub(super) fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let mut file = discover(&[path]).unwrap().remove(0);
        file.label = name.to_owned();
        Self {
            _folder: folder,
            file,
        }
    }
}

impl Found {
    pub(super) fn lines(&self) -> Vec<i64> {
        self.rows.iter().map(|(line, _)| *line).collect()
    }
}

/// Reads the file with usual and with tiny batches and buffers, which must not matter.
pub(super) fn read(given: &Given) -> Found {
    let usual = read_with(given, 8192, super::window::CHUNK).unwrap();
    for (batch_rows, chunk) in [(1, 1), (2, 3), (3, 7), (1000, 64)] {
        let other = read_with(given, batch_rows, chunk).unwrap();
        assert_eq!(other.columns, usual.columns, "chunk {chunk}");
        assert_eq!(other.rows, usual.rows, "chunk {chunk}");
        assert_eq!(other.refused, usual.refused, "chunk {chunk}");
    }
    usual
}

/// Reads the file with these sizes of batches and of the buffer.
pub(super) fn read_with(
    given: &Given,
    batch_rows: usize,
    chunk: usize,
) -> Result<Found, ReadError> {
    let mut reader = Reader::open_in_chunks(&given.file, batch_rows, chunk)?;
    let columns = reader.columns().to_vec();
    let mut found = Found {
        columns,
        rows: Vec::new(),
        refused: Vec::new(),
    };
    while let Some(batch) = reader.next_batch(&mut found.refused)? {
        assert_eq!(batch.schema(), reader.schema());
        assert!(batch.num_rows() <= batch_rows);
        let width = found.columns.len();
        let lines = batch.column(width + 1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            assert_eq!(
                batch.column(width).as_string::<i32>().value(row),
                given.file.label
            );
            let cell = |column: usize| {
                let texts = batch.column(column).as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            found
                .rows
                .push((lines.value(row), (0..width).map(cell).collect()));
        }
    }
    Ok(found)
}

/// The message with which opening or reading the file ends.
pub(super) fn check_error(given: Given, expected: &str) {
    let error = read_with(&given, 10, 64).err().expect("the file was read");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn file_without_rows_is_not_guessed() {
    let given = Given::new("notes.md", "a,b\n1,2\n");
    assert_eq!(given.file.format, Format::Unknown);
    check_error(
        given,
        "`notes.md` is not CSV, NDJSON or Parquet, name it `.csv`, `.ndjson` or `.parquet` if it is",
    );
}

#[test]
fn number_of_columns_is_limited() {
    let names = |count: usize| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>();
    let csv = |count: usize| format!("{}\n", names(count).join(","));
    let ndjson = |count: usize| {
        let objects = names(count)
            .into_iter()
            .map(|name| format!("{{\"{name}\":1}}\n"));
        objects.collect::<String>()
    };
    for (name, text) in [("x.csv", csv(2_000)), ("x.ndjson", ndjson(2_000))] {
        let given = Given::new(name, text);
        assert_eq!(
            Reader::open(&given.file, 8192).unwrap().columns().len(),
            2_000
        );
    }
    for (name, text) in [("x.csv", csv(2_001)), ("x.ndjson", ndjson(2_001))] {
        let given = Given::new(name, text);
        let refused = Reader::open(&given.file, 8192).err().unwrap().to_string();
        assert!(refused.contains("more than 2000 columns"), "{refused}");
    }
}
