//! Query results as NDJSON, CSV, Arrow or Parquet, written in parts.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::ArrowWriter;

use crate::rows::{cells, exact};

/// Characters that make a spreadsheet take a cell for a formula.
const FORMULA_START: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// File format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object per line.
    Ndjson,
    /// A header line, then one line per row. A text that a spreadsheet would take for a formula gets a
    /// leading apostrophe; numbers do not.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl ExportFormat {
    /// Its media type (MIME).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes batches of rows and holds none of them.
pub struct Exporter(Writer);

enum Writer {
    Ndjson,
    /// With what comes before the first row.
    Csv(Vec<u8>),
    Arrow(StreamWriter<Vec<u8>>),
    Parquet(ArrowWriter<Vec<u8>>),
}

impl Exporter {
    /// A writer of rows with this schema.
    ///
    /// # Errors
    /// A column has a type that the format cannot express.
    pub fn new(format: ExportFormat, schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self(match format {
            ExportFormat::Ndjson => Writer::Ndjson,
            ExportFormat::Csv => {
                let names = schema.fields().iter().map(|field| field.name().clone());
                Writer::Csv(records(Vec::new(), [names]))
            }
            ExportFormat::Arrow => Writer::Arrow(StreamWriter::try_new(Vec::new(), schema)?),
            ExportFormat::Parquet => {
                let schema = Arc::clone(schema);
                Writer::Parquet(ArrowWriter::try_new(Vec::new(), schema, None)?)
            }
        }))
    }

    /// The bytes of further rows. For Parquet, each call writes one row group.
    ///
    /// # Errors
    /// A column has a type that the format cannot express.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match &mut self.0 {
            Writer::Ndjson => ndjson(rows),
            Writer::Csv(header) => csv(rows, std::mem::take(header)),
            Writer::Arrow(writer) => {
                writer.write(rows)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Writer::Parquet(writer) => {
                writer.write(rows)?;
                writer.flush()?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// The bytes after the last row.
    ///
    /// # Errors
    /// The footer of Arrow or Parquet cannot be written.
    pub fn end(self) -> Result<Vec<u8>, ArrowError> {
        Ok(match self.0 {
            Writer::Ndjson => Vec::new(),
            Writer::Csv(header) => header,
            Writer::Arrow(writer) => writer.into_inner()?,
            Writer::Parquet(writer) => writer.into_inner()?,
        })
    }
}

/// A complete file of these rows.
///
/// # Errors
/// A column has a type that the format cannot express.
pub fn write_all(format: ExportFormat, rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut exporter = Exporter::new(format, &rows.schema())?;
    let mut bytes = exporter.write(rows)?;
    bytes.extend(exporter.end()?);
    Ok(bytes)
}

fn ndjson(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    if let Some(ids) = ids_alone(rows) {
        return Ok(lines(
            &format!("{{\"{}\":", rows.schema().field(0).name()),
            ids,
            "}\n",
        ));
    }
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut bytes);
    writer.write(&exact(rows)?)?;
    writer.finish()?;
    Ok(bytes)
}

fn csv(rows: &RecordBatch, mut header: Vec<u8>) -> Result<Vec<u8>, ArrowError> {
    if let Some(ids) = ids_alone(rows) {
        header.extend(lines("", ids, "\n"));
        return Ok(header);
    }
    let schema = rows.schema();
    let is_text = |column: usize| !schema.field(column).data_type().is_numeric();
    let rows = cells(std::slice::from_ref(rows))?;
    let rows = rows.into_iter().map(|row| {
        let row = row.into_iter().enumerate();
        row.map(|(column, cell)| match is_text(column) {
            true => escape_formula(cell),
            false => cell,
        })
    });
    Ok(records(header, rows))
}

/// Puts an apostrophe before a text that a spreadsheet would take for a formula.
pub fn escape_formula(text: String) -> String {
    match text.starts_with(FORMULA_START) {
        true => format!("'{text}"),
        false => text,
    }
}

/// The ids, if the rows have no other column: a fast path for exports of millions of members.
fn ids_alone(rows: &RecordBatch) -> Option<&[i64]> {
    match rows.columns() {
        [ids] if ids.null_count() == 0 => Some(ids.as_primitive_opt::<Int64Type>()?.values()),
        _ => None,
    }
}

/// One line per id, between `before` and `after`.
fn lines(before: &str, ids: &[i64], after: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() * (before.len() + after.len() + 8));
    let mut digits = itoa::Buffer::new();
    for id in ids {
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend_from_slice(digits.format(*id).as_bytes());
        bytes.extend_from_slice(after.as_bytes());
    }
    bytes
}

/// Rows of CSV after what is written already.
fn records(
    written: Vec<u8>,
    rows: impl IntoIterator<Item = impl Iterator<Item = String>>,
) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(written);
    for row in rows {
        let written = writer.write_record(row.map(String::into_bytes));
        written.expect("all rows have as many cells, and writing to memory does not fail");
    }
    let written = writer.into_inner();
    written.unwrap_or_else(|_| unreachable!("writing to memory does not fail"))
}

/// Members as rows of the one column `person_id`.
///
/// # Errors
/// Never in practice: the column matches its schema.
pub fn ids(members: &[u64]) -> Result<RecordBatch, ArrowError> {
    // Person ids are non-negative bigints.
    let ids = Int64Array::from_iter_values(members.iter().map(|id| id.cast_signed()));
    let field = Field::new("person_id", DataType::Int64, false);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(ids)])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::compute::concat_batches;
    use arrow::ipc::reader::StreamReader;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::{ExportFormat, Exporter, ids, records, write_all};

    #[test]
    fn csv_escapes_formulas() {
        let texts = ["=1+1", "+49", "-x", "@a", "a,\"b\"", "plain"];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from_iter_values(-3..3))),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let written = write_all(ExportFormat::Csv, &rows).unwrap();
        let written = String::from_utf8(written).unwrap();
        let expected = "n,text\n-3,'=1+1\n-2,'+49\n-1,'-x\n0,'@a\n1,\"a,\"\"b\"\"\"\n2,plain\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn csv_keeps_rows_of_nulls() {
        let emails = StringArray::from(vec![Some("a@example.com"), None, Some("")]);
        let rows = RecordBatch::try_from_iter([("email", Arc::new(emails) as ArrayRef)]).unwrap();
        let written = write_all(ExportFormat::Csv, &rows).unwrap();
        assert_eq!(written, b"email\na@example.com\n\"\"\n\"\"\n");
    }

    #[test]
    fn ids_take_one_line_each() {
        let batch = ids(&[1, 1 << 40]).unwrap();
        let csv = write_all(ExportFormat::Csv, &batch).unwrap();
        assert_eq!(csv, b"person_id\n1\n1099511627776\n");
        let lines = b"{\"person_id\":1}\n{\"person_id\":1099511627776}\n";
        assert_eq!(write_all(ExportFormat::Ndjson, &batch).unwrap(), lines);
    }

    #[test]
    fn parts_concatenate_to_one_file() {
        let parts = [ids(&[1, 2]).unwrap(), ids(&[3]).unwrap()];
        for format in [
            ExportFormat::Ndjson,
            ExportFormat::Csv,
            ExportFormat::Arrow,
            ExportFormat::Parquet,
        ] {
            let mut exporter = Exporter::new(format, &parts[0].schema()).unwrap();
            let mut bytes = Vec::new();
            for part in &parts {
                bytes.extend(exporter.write(part).unwrap());
            }
            bytes.extend(exporter.end().unwrap());
            let read: Vec<RecordBatch> = match format {
                ExportFormat::Arrow => StreamReader::try_new(bytes.as_slice(), None)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect(),
                ExportFormat::Parquet => {
                    ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 10)
                        .unwrap()
                        .map(Result::unwrap)
                        .collect()
                }
                _ => {
                    let whole = write_all(format, &ids(&[1, 2, 3]).unwrap()).unwrap();
                    assert_eq!(bytes, whole, "{format:?}");
                    continue;
                }
            };
            let read = concat_batches(&parts[0].schema(), &read).unwrap();
            assert_eq!(read, ids(&[1, 2, 3]).unwrap(), "{format:?}");
        }
        let none = Exporter::new(ExportFormat::Csv, &parts[0].schema()).unwrap();
        assert_eq!(none.end().unwrap(), b"person_id\n");
    }

    #[test]
    fn cells_are_quoted_where_needed() {
        let rows = [
            vec!["plain", " # a 'b' ", "a,b"],
            vec!["say \"so\"", "two\nlines", "a\rb"],
            vec!["", "", ""],
        ];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned));
        let expected =
            "h\nplain, # a 'b' ,\"a,b\"\n\"say \"\"so\"\"\",\"two\nlines\",\"a\rb\"\n,,\n";
        assert_eq!(records(b"h\n".to_vec(), rows), expected.as_bytes());
        // A blank line is no row to most who read it.
        let blank = records(Vec::new(), [[String::new()].into_iter()]);
        assert_eq!(blank, b"\"\"\n");
    }
}
