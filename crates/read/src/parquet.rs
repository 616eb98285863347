//! Parquet as rows of text, one row group after another.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, IntervalUnit, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::compression::Compression;
use crate::error::ReadError;
use crate::source::SourceFile;
use crate::{names, rows};

mod as_text;
mod logical;
#[cfg(test)]
mod tests;

use logical::Leaf;

/// A Parquet file after its footer.
pub(super) struct Parquet {
    file: SourceFile,
    columns: Vec<String>,
    schema: SchemaRef,
    /// The leaf columns of each column.
    leaves: Vec<Vec<Leaf>>,
    batches: ParquetRecordBatchReader,
    /// A reader of the months of interval columns, if there are any: Arrow reads either days and
    /// milliseconds, or months.
    months: Option<ParquetRecordBatchReader>,
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
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::load(&content, options).map_err(broken)?;
        let fields = metadata.schema().fields();
        names::not_too_many(fields.len(), file)?;
        let columns = names::unique(fields.iter().map(|field| field.name().as_str()));
        let leaves = logical::leaves(metadata.parquet_schema());
        let batch_rows = batch_rows.max(1);
        let months = months(&content, &metadata, &leaves, batch_rows).map_err(broken)?;
        let metadata = hinted(metadata, &leaves, IntervalUnit::DayTime).map_err(broken)?;
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(content, metadata)
            .with_batch_size(batch_rows)
            .build()
            .map_err(broken)?;
        let schema = rows::schema(&columns);
        Ok(Self {
            file: file.clone(),
            columns,
            schema,
            leaves,
            batches,
            months,
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
        let broken = |source| ReadError::ParquetRows {
            file: self.file.label.clone(),
            row: self.rows_read,
            source,
        };
        let batch = batch.map_err(broken)?;
        let months = self.months.as_mut().and_then(Iterator::next);
        let months = months.transpose().map_err(broken)?;
        let mut months = months.iter().flat_map(RecordBatch::columns);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for ((name, column), leaves) in self.columns.iter().zip(batch.columns()).zip(&self.leaves) {
            let text = match leaves[..] {
                [Leaf::Interval] => interval_text(months.next(), column),
                _ => as_text::as_text(column, leaves),
            };
            let text = text.map_err(|source| ReadError::NoText {
                file: self.file.label.clone(),
                column: name.clone(),
                source,
            })?;
            columns.push(
                match self.file.decimal_comma && is_number(column.data_type()) {
                    true => Arc::new(with_comma(&text)),
                    false => Arc::new(text),
                },
            );
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

/// The same file, with its types read as `logical` defines.
fn hinted(
    metadata: ArrowReaderMetadata,
    leaves: &[Vec<Leaf>],
    unit: IntervalUnit,
) -> Result<ArrowReaderMetadata, ParquetError> {
    let is_special = |leaf: &Leaf| matches!(leaf, Leaf::Int96 | Leaf::Interval);
    if !leaves.iter().flatten().any(is_special) {
        return Ok(metadata);
    }
    let schema = logical::hinted(metadata.schema(), leaves, unit);
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// A reader of the months of columns that are intervals.
fn months(
    content: &File,
    metadata: &ArrowReaderMetadata,
    leaves: &[Vec<Leaf>],
    batch_rows: usize,
) -> Result<Option<ParquetRecordBatchReader>, ParquetError> {
    let is_interval = |leaves: &Vec<Leaf>| leaves[..] == [Leaf::Interval];
    let roots = (0..leaves.len()).filter(|&root| is_interval(&leaves[root]));
    let roots: Vec<usize> = roots.collect();
    if roots.is_empty() {
        return Ok(None);
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    let metadata = hinted(metadata.clone(), leaves, IntervalUnit::YearMonth)?;
    let content = content.try_clone()?;
    ParquetRecordBatchReaderBuilder::new_with_metadata(content, metadata)
        .with_projection(mask)
        .with_batch_size(batch_rows)
        .build()
        .map(Some)
}

fn interval_text(months: Option<&ArrayRef>, rest: &ArrayRef) -> Result<StringArray, ArrowError> {
    let months = months.and_then(|months| months.as_primitive_opt());
    match (months, rest.as_primitive_opt()) {
        (Some(months), Some(rest)) => Ok(logical::intervals(months, rest)),
        _ => Err(ArrowError::CastError(
            "the months of the interval cannot be read".to_owned(),
        )),
    }
}

fn is_number(ty: &DataType) -> bool {
    match ty {
        DataType::Dictionary(_, values) => is_number(values),
        ty => ty.is_floating() || ty.is_decimal(),
    }
}

fn with_comma(texts: &StringArray) -> StringArray {
    let texts = texts
        .iter()
        .map(|text| text.map(|text| text.replace('.', ",")));
    texts.collect()
}

/// The file itself, or a decompressed copy that is deleted with the reader: Parquet is read from its end.
fn seekable(file: &SourceFile) -> Result<File, ReadError> {
    if file.compression == Compression::None {
        return File::open(&file.path).map_err(|source| file.io_error(source));
    }
    let mut packed = file.open()?;
    let mut unpacked = tempfile::tempfile().map_err(|source| file.io_error(source))?;
    io::copy(&mut packed, &mut unpacked).map_err(|source| file.io_error(source))?;
    Ok(unpacked)
}
