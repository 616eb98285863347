//! Parquet as rows of text, one row group after the other.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{Compression, ReadError, SourceFile, names, rows};

mod as_text;
#[cfg(test)]
mod tests;

/// A Parquet file behind its footer.
pub(super) struct Parquet {
    file: SourceFile,
    columns: Vec<String>,
    schema: SchemaRef,
    batches: ParquetRecordBatchReader,
    rows_read: i64,
}

impl Parquet {
    pub(super) fn open(file: &SourceFile, batch_rows: usize) -> Result<Self, ReadError> {
        let content = seekable(file)?;
        let size = content
            .metadata()
            .map_err(|source| file.io_error(source))?
            .len();
        if size == 0 {
            return Err(ReadError::Empty {
                file: file.label.clone(),
            });
        }
        let broken = |source| ReadError::Parquet {
            file: file.label.clone(),
            source,
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(content).map_err(broken)?;
        let fields = builder.schema().fields();
        let columns = names::unique(fields.iter().map(|field| field.name().as_str()));
        let batches = builder
            .with_batch_size(batch_rows.max(1))
            .build()
            .map_err(broken)?;
        let schema = rows::schema(&columns);
        Ok(Self {
            file: file.clone(),
            columns,
            schema,
            batches,
            rows_read: 0,
        })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let Some(batch) = self.batches.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|source| ReadError::ParquetRows {
            file: self.file.label.clone(),
            row: self.rows_read,
            source,
        })?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (name, column) in self.columns.iter().zip(batch.columns()) {
            let text = as_text::as_text(column).map_err(|source| ReadError::NoText {
                file: self.file.label.clone(),
                column: name.clone(),
                source,
            })?;
            columns.push(Arc::new(text));
        }
        let count = batch.num_rows();
        let label = std::iter::repeat_n(&self.file.label, count);
        columns.push(Arc::new(StringArray::from_iter_values(label)));
        let first = self.rows_read + 1;
        self.rows_read += i64::try_from(count).expect("a batch has fewer rows than i64 counts");
        columns.push(Arc::new(Int64Array::from_iter_values(
            first..=self.rows_read,
        )));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        Ok(Some(
            rows.expect("every column is text of the batch's length"),
        ))
    }
}

/// The file itself, or an unpacked copy of it that vanishes with the reader: Parquet is read from
/// its end.
fn seekable(file: &SourceFile) -> Result<File, ReadError> {
    if file.compression == Compression::None {
        return File::open(&file.path).map_err(|source| file.io_error(source));
    }
    let mut packed = file.open()?;
    let mut unpacked = tempfile::tempfile().map_err(|source| file.io_error(source))?;
    io::copy(&mut packed, &mut unpacked).map_err(|source| file.io_error(source))?;
    Ok(unpacked)
}
