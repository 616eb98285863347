//! Texts as queries compute with them, and as they are given out.
//!
//! Tables hand texts over as views, which a scan decodes without copying them. Whoever asks gets
//! plain texts: a view may hold on to far more memory than what it shows.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::times::{UTC, schema_in_zone};

/// Whether a column of type `found` can stand for one of type `expected`.
pub(crate) fn stands_for(found: &DataType, expected: &DataType) -> bool {
    found == expected || (*found == DataType::Utf8View && *expected == DataType::Utf8)
}

/// The columns as they are given out: plain texts in place of views, and times in UTC.
pub(crate) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
        _ => field.as_ref().clone(),
    });
    let fields: Vec<_> = fields.collect();
    let plain = Schema::new_with_metadata(fields, schema.metadata().clone());
    schema_in_zone(&Arc::new(plain), &UTC.into())
}

/// The rows as they are given out; `schema` is what [`plain_schema`] gave.
pub(crate) fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(
            |(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            },
        );
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
