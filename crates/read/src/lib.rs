//! Reads files into batches of text. Records that cannot be read are returned with their line and the
//! reason.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::Serialize;

mod charset;
mod compression;
mod csv;
mod error;
mod names;
mod ndjson;
mod parquet;
mod rows;
mod source;
mod text;
mod window;

pub use charset::{DeclaredCharset, UnknownCharset};
pub use compression::Compression;
pub use error::ReadError;
pub use source::{Format, SourceFile, discover, spool};

/// A record that could not be read, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file, as `_file` shows it.
    pub file: String,
    /// The physical line on which it begins, from 1.
    pub line: i64,
    /// The column with the error, if it is in one.
    pub column: Option<String>,
    /// The error code: `ragged`, `bad_quoting`, `bad_encoding`, `bad_json` or `too_long`.
    pub code: &'static str,
    /// The error in words, without the content, which may be personal.
    pub reason: String,
    /// The value with the error, if there is one.
    pub value: Option<String>,
    /// The record; undecodable bytes are shown as U+FFFD.
    pub record: String,
}

/// The rows of one file, batch by batch, in the order of the file.
///
/// All columns of the file are text, and a blank cell is null. `_file` and `_line` follow them:
/// the file's label, and the physical line (of Parquet the row), from 1, where the row begins.
/// The same file always gives the same rows in the same order.
pub struct Reader {
    rows: FormatReader,
}

enum FormatReader {
    Csv(Box<csv::Csv>),
    Ndjson(Box<ndjson::Ndjson>),
    Parquet(Box<parquet::Parquet>),
}

impl Reader {
    /// Opens a file to be read in batches of at most `batch_rows` rows.
    ///
    /// A text file is read once before to find its encoding, and NDJSON once more to find its keys.
    ///
    /// # Errors
    /// [`ReadError::UnknownFormat`] for a file that is neither CSV, NDJSON nor Parquet;
    /// [`ReadError::Unreadable`] or [`ReadError::Damaged`] where it cannot be read or decompressed;
    /// [`ReadError::Empty`], [`ReadError::NotText`], [`ReadError::Header`], [`ReadError::JsonDocument`],
    /// [`ReadError::TooManyColumns`] and [`ReadError::Parquet`] where its content does not fit its format.
    pub fn open(file: &SourceFile, batch_rows: usize) -> Result<Self, ReadError> {
        Self::open_in_chunks(file, batch_rows, window::CHUNK)
    }

    /// Like [`Reader::open`], reading `chunk` bytes at a time: for tests that results do not depend on the
    /// chunk size.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_in_chunks(
        file: &SourceFile,
        batch_rows: usize,
        chunk: usize,
    ) -> Result<Self, ReadError> {
        let rows = match file.format {
            Format::Csv => FormatReader::Csv(Box::new(csv::Csv::open(file, batch_rows, chunk)?)),
            Format::Ndjson => {
                FormatReader::Ndjson(Box::new(ndjson::Ndjson::open(file, batch_rows, chunk)?))
            }
            Format::Parquet => {
                FormatReader::Parquet(Box::new(parquet::Parquet::open(file, batch_rows)?))
            }
            Format::Unknown => {
                return Err(ReadError::UnknownFormat {
                    file: file.label.clone(),
                });
            }
        };
        Ok(Self { rows })
    }

    /// The names of the file's columns, trimmed and made unique; none is blank.
    pub fn columns(&self) -> &[String] {
        match &self.rows {
            FormatReader::Csv(rows) => rows.columns(),
            FormatReader::Ndjson(rows) => rows.columns(),
            FormatReader::Parquet(rows) => rows.columns(),
        }
    }

    /// Whether rows of the file may have different columns, as JSON objects with different keys have.
    pub fn is_uneven(&self) -> bool {
        matches!(&self.rows, FormatReader::Ndjson(rows) if rows.is_uneven())
    }

    /// The columns that each row of the last batch has, if the file is uneven; else empty.
    pub fn key_sets(&self) -> &[Arc<[String]>] {
        match &self.rows {
            FormatReader::Ndjson(rows) => rows.key_sets(),
            FormatReader::Csv(_) | FormatReader::Parquet(_) => &[],
        }
    }

    /// The schema of every batch: the columns as nullable text, then `_file` and `_line`.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(match &self.rows {
            FormatReader::Csv(rows) => rows.schema(),
            FormatReader::Ndjson(rows) => rows.schema(),
            FormatReader::Parquet(rows) => rows.schema(),
        })
    }

    /// The next rows, or `None` after the last; records that cannot be read are added to `refused`.
    ///
    /// A batch may be empty: one call refuses at most `batch_rows` records, so that the caller can store them
    /// before the next call.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`] or [`ReadError::Damaged`] where the file cannot be read further or
    /// decompressed; [`ReadError::ParquetRows`] where a row group cannot be decoded; [`ReadError::NoText`]
    /// where a Parquet value has no text form.
    pub fn next_batch(
        &mut self,
        refused: &mut Vec<Refused>,
    ) -> Result<Option<RecordBatch>, ReadError> {
        match &mut self.rows {
            FormatReader::Csv(rows) => rows.next_batch(refused),
            FormatReader::Ndjson(rows) => rows.next_batch(refused),
            FormatReader::Parquet(rows) => rows.next_batch(),
        }
    }
}

#[cfg(test)]
mod tests;
