//! Ids of persons in the forms that programs pull them in: one column, `person_id`.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;

/// `{"person_id":1}` a line.
pub fn ndjson(members: &[u64]) -> Vec<u8> {
    let lines = members.iter().map(|id| format!("{{\"person_id\":{id}}}\n"));
    lines.collect::<String>().into_bytes()
}

/// A header and an id a line.
pub fn csv(members: &[u64]) -> Vec<u8> {
    let lines = members.iter().map(|id| format!("{id}\n"));
    let mut text = String::from("person_id\n");
    text.extend(lines);
    text.into_bytes()
}

/// An Arrow IPC stream.
pub fn arrow(members: &[u64]) -> Result<Vec<u8>, ArrowError> {
    let batch = batch(members)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// A Parquet file.
pub fn parquet(members: &[u64]) -> Result<Vec<u8>, ArrowError> {
    let batch = batch(members)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

fn batch(members: &[u64]) -> Result<RecordBatch, ArrowError> {
    // Person ids are bigints that are never negative, so each fits back into one.
    let ids = Int64Array::from_iter_values(members.iter().map(|id| id.cast_signed()));
    let field = Field::new("person_id", DataType::Int64, false);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(ids)])
}
