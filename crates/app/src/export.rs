//! Members in the forms that programs pull them in.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::ArrowWriter;

use crate::rows::{cells, exact};

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// An object a line.
///
/// # Errors
/// Columns of a type that JSON does not have.
pub fn ndjson(members: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut bytes);
    writer.write(&exact(members)?)?;
    writer.finish()?;
    Ok(bytes)
}

/// A header and a row a line. A text that a spreadsheet would take for a formula has an apostrophe
/// before it; numbers have none.
///
/// # Errors
/// Columns of a type that has no text.
pub fn csv(members: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let schema = members.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let mut text = line(names);
    let is_text = |column: usize| !schema.field(column).data_type().is_numeric();
    for row in cells(std::slice::from_ref(members))? {
        let row = row.into_iter().enumerate();
        text +=
            &line(row.map(
                |(column, cell)| match is_text(column) && cell.starts_with(FORMULA) {
                    true => format!("'{cell}"),
                    false => cell,
                },
            ));
    }
    Ok(text.into_bytes())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

/// An Arrow IPC stream.
///
/// # Errors
/// Those of the writer.
pub fn arrow(members: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &members.schema())?;
    writer.write(members)?;
    writer.into_inner()
}

/// A Parquet file.
///
/// # Errors
/// Those of the writer.
pub fn parquet(members: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), members.schema(), None)?;
    writer.write(members)?;
    Ok(writer.into_inner()?)
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

    use super::{csv, ids, ndjson};

    #[test]
    fn no_text_becomes_a_formula() {
        let texts = ["=1+1", "+49", "-x", "@a", "a,\"b\"", "plain"];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from_iter_values(-3..3))),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let written = csv(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let written = String::from_utf8(written).unwrap();
        let expected = "n,text\n-3,'=1+1\n-2,'+49\n-1,'-x\n0,'@a\n1,\"a,\"\"b\"\"\"\n2,plain\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn ids_are_a_line_each() {
        let batch = ids(&[1, 1 << 40]).unwrap();
        assert_eq!(csv(&batch).unwrap(), b"person_id\n1\n1099511627776\n");
        let lines = b"{\"person_id\":1}\n{\"person_id\":1099511627776}\n";
        assert_eq!(ndjson(&batch).unwrap(), lines);
    }
}
