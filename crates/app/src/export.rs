//! Members in the forms that programs pull them in.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::ArrowWriter;

use crate::rows::{cells, exact};

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An object a line.
    Ndjson,
    /// A header and a row a line. A text that a spreadsheet would take for a formula has an
    /// apostrophe before it; numbers have none.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Form {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes rows part by part, and keeps none of them.
pub struct Exporter(Writing);

enum Writing {
    Ndjson,
    /// With what comes before the first row.
    Csv(String),
    Arrow(StreamWriter<Vec<u8>>),
    Parquet(ArrowWriter<Vec<u8>>),
}

impl Exporter {
    /// Of rows with these columns.
    ///
    /// # Errors
    /// Columns of a type that the form does not have.
    pub fn new(form: Form, schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self(match form {
            Form::Ndjson => Writing::Ndjson,
            Form::Csv => {
                let names = schema.fields().iter().map(|field| field.name().clone());
                Writing::Csv(line(names))
            }
            Form::Arrow => Writing::Arrow(StreamWriter::try_new(Vec::new(), schema)?),
            Form::Parquet => {
                let schema = Arc::clone(schema);
                Writing::Parquet(ArrowWriter::try_new(Vec::new(), schema, None)?)
            }
        }))
    }

    /// What some more rows add; of Parquet, each call makes a row group.
    ///
    /// # Errors
    /// Columns of a type that the form does not have.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match &mut self.0 {
            Writing::Ndjson => ndjson(rows),
            Writing::Csv(header) => csv(rows, std::mem::take(header)),
            Writing::Arrow(writer) => {
                writer.write(rows)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Writing::Parquet(writer) => {
                writer.write(rows)?;
                writer.flush()?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// What comes after the last row.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(self) -> Result<Vec<u8>, ArrowError> {
        Ok(match self.0 {
            Writing::Ndjson => Vec::new(),
            Writing::Csv(header) => header.into_bytes(),
            Writing::Arrow(writer) => writer.into_inner()?,
            Writing::Parquet(writer) => writer.into_inner()?,
        })
    }
}

/// All rows at once.
///
/// # Errors
/// Columns of a type that the form does not have.
pub fn written(form: Form, rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut exporter = Exporter::new(form, &rows.schema())?;
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

fn csv(rows: &RecordBatch, header: String) -> Result<Vec<u8>, ArrowError> {
    if let Some(ids) = ids_alone(rows) {
        let mut bytes = header.into_bytes();
        bytes.extend(lines("", ids, "\n"));
        return Ok(bytes);
    }
    let mut text = header;
    let schema = rows.schema();
    let is_text = |column: usize| !schema.field(column).data_type().is_numeric();
    for row in cells(std::slice::from_ref(rows))? {
        let row = row.into_iter().enumerate();
        text += &line(row.map(|(column, cell)| match is_text(column) {
            true => no_formula(cell),
            false => cell,
        }));
    }
    Ok(text.into_bytes())
}

/// A text that a spreadsheet would take for a formula, with an apostrophe before it.
pub fn no_formula(text: String) -> String {
    match text.starts_with(FORMULA) {
        true => format!("'{text}"),
        false => text,
    }
}

/// The values of rows that are nothing but ids: a pull has millions of them.
fn ids_alone(rows: &RecordBatch) -> Option<&[i64]> {
    match rows.columns() {
        [ids] if ids.null_count() == 0 => Some(ids.as_primitive_opt::<Int64Type>()?.values()),
        _ => None,
    }
}

/// Numbers with the same around each.
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

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    let line = quoted.collect::<Vec<_>>().join(",");
    match line.is_empty() {
        // A blank line is no row to most who read it.
        true => "\"\"\n".to_owned(),
        false => line + "\n",
    }
}

/// Ids alone.
///
/// # Errors
/// None that can happen: the column fits its schema.
pub fn ids(members: &[u64]) -> Result<RecordBatch, ArrowError> {
    // Person ids are bigints that are never negative, so each fits back into one.
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

    use super::{Exporter, Form, ids, written};

    #[test]
    fn no_text_becomes_a_formula() {
        let texts = ["=1+1", "+49", "-x", "@a", "a,\"b\"", "plain"];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from_iter_values(-3..3))),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let written = written(Form::Csv, &rows).unwrap();
        let written = String::from_utf8(written).unwrap();
        let expected = "n,text\n-3,'=1+1\n-2,'+49\n-1,'-x\n0,'@a\n1,\"a,\"\"b\"\"\"\n2,plain\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn csv_row_of_nulls_is_a_row() {
        let emails = StringArray::from(vec![Some("a@example.com"), None, Some("")]);
        let rows = RecordBatch::try_from_iter([("email", Arc::new(emails) as ArrayRef)]).unwrap();
        let written = written(Form::Csv, &rows).unwrap();
        assert_eq!(written, b"email\na@example.com\n\"\"\n\"\"\n");
    }

    #[test]
    fn ids_are_a_line_each() {
        let batch = ids(&[1, 1 << 40]).unwrap();
        let csv = written(Form::Csv, &batch).unwrap();
        assert_eq!(csv, b"person_id\n1\n1099511627776\n");
        let lines = b"{\"person_id\":1}\n{\"person_id\":1099511627776}\n";
        assert_eq!(written(Form::Ndjson, &batch).unwrap(), lines);
    }

    #[test]
    fn csv_parts_join_to_one_file() {
        let parts = [ids(&[1, 2]).unwrap(), ids(&[3]).unwrap()];
        for form in [Form::Ndjson, Form::Csv, Form::Arrow, Form::Parquet] {
            let mut exporter = Exporter::new(form, &parts[0].schema()).unwrap();
            let mut bytes = Vec::new();
            for part in &parts {
                bytes.extend(exporter.write(part).unwrap());
            }
            bytes.extend(exporter.end().unwrap());
            let read: Vec<RecordBatch> = match form {
                Form::Arrow => StreamReader::try_new(bytes.as_slice(), None)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect(),
                Form::Parquet => ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 10)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect(),
                _ => {
                    let whole = written(form, &ids(&[1, 2, 3]).unwrap()).unwrap();
                    assert_eq!(bytes, whole, "{form:?}");
                    continue;
                }
            };
            let read = concat_batches(&parts[0].schema(), &read).unwrap();
            assert_eq!(read, ids(&[1, 2, 3]).unwrap(), "{form:?}");
        }
        let none = Exporter::new(Form::Csv, &parts[0].schema()).unwrap();
        assert_eq!(none.end().unwrap(), b"person_id\n");
    }
}
