//! Conversion of query results to JSON and text.

pub mod export;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use crate::AppError;

/// Rows as JSON objects.
pub(crate) fn objects(batches: &[RecordBatch]) -> Result<Vec<Value>, AppError> {
    let json = json(batches).map_err(|source| AppError::Rows { source })?;
    serde_json::from_slice(&json).map_err(|error| AppError::Rows {
        source: ArrowError::JsonError(error.to_string()),
    })
}

/// Rows as a JSON array of objects, nulls included: integers as numbers, decimals as strings,
/// times as RFC 3339 with `Z`.
///
/// # Errors
/// A column has a type that JSON cannot express.
pub fn json(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(&mut bytes);
    for batch in batches {
        writer.write(&exact(batch)?)?;
    }
    writer.finish()?;
    Ok(if bytes.is_empty() {
        b"[]".to_vec()
    } else {
        bytes
    })
}

/// The same rows with decimals and times as text.
pub(crate) fn exact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = text_of(column)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn text_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => cast(column, &DataType::Utf8),
        DataType::Timestamp(..) => {
            let utc = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let micros = cast(&utc, &DataType::Int64)?;
            let micros = micros.as_primitive::<Int64Type>();
            let texts = micros
                .iter()
                .map(|at| at.map(|at| rollbook_model::Timestamp::from_micros(at).to_string()));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        _ => Ok(Arc::clone(column)),
    }
}

/// Every cell as text, row by row; null is empty.
///
/// # Errors
/// A column has a type that cannot be shown as text.
pub fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = exact(batch)?;
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                formatters
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect(),
            );
        }
    }
    Ok(rows)
}
