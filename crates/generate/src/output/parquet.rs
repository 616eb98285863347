//! Joins parts into a Parquet file with the types of the canonical table.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use rollbook_model::tables;

use super::{Table, cannot_write};
use crate::error::GenerateError;

const BATCH_ROWS: usize = 8_192;
const GROUP_ROWS: usize = 128 * 1_024;

/// Reads the parts as text and writes them as one file with typed columns.
pub(super) fn join(
    table: Table,
    columns: &[&str],
    parts: &[PathBuf],
    path: &Path,
) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::WriteParquet {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(cannot_write(path))?;
    let schema = schema(table, columns);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut writer =
        ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(failed)?;
    for part in parts {
        let file = File::open(part).map_err(cannot_write(part))?;
        let reader = arrow::csv::ReaderBuilder::new(without_zones(&schema))
            .with_batch_size(BATCH_ROWS)
            .build(file)
            .map_err(|error| failed(error.into()))?;
        for batch in reader {
            let batch = batch.map_err(ParquetError::from).map_err(failed)?;
            writer
                .write(&in_utc(&batch, &schema).map_err(failed)?)
                .map_err(failed)?;
        }
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// The schema of the file. Lists are text, as in CSV.
fn schema(table: Table, columns: &[&str]) -> SchemaRef {
    let canonical = tables::table(table.name());
    let fields = columns.iter().map(|name| {
        let column = canonical.and_then(|canonical| canonical.column(name));
        let data_type = match column.map(|column| column.ty.arrow()) {
            None | Some(DataType::List(_)) => DataType::Utf8,
            Some(data_type) => data_type,
        };
        Field::new(*name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Without a database of time zones, Arrow's text reader does not know zone names, and UTC needs none.
fn without_zones(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, _) => field
            .as_ref()
            .clone()
            .with_data_type(DataType::Timestamp(*unit, None)),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn in_utc(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ParquetError> {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                let times = column.as_primitive::<TimestampMicrosecondType>().clone();
                Arc::new(times.with_timezone("UTC"))
            }
            _ => Arc::clone(column),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?)
}
