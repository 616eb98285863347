//! Errors of generating data.

use std::io;
use std::path::PathBuf;

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Rows of facts were requested without persons.
    #[error("{rows} {what} need at least 1 person")]
    NobodyToHaveThem {
        /// The kind of row.
        what: &'static str,
        /// The requested number.
        rows: u64,
    },
    /// Fewer rows were requested than are mandatory.
    #[error(
        "{rows} {what} are too few: {persons} persons have {least} at least; ask for that many, or for fewer persons"
    )]
    TooFew {
        /// The kind of row.
        what: &'static str,
        /// The requested number.
        rows: u64,
        /// The number of mandatory rows.
        least: u64,
        /// The requested number of persons.
        persons: u64,
    },
    /// More second records than persons were requested.
    #[error("{per_mille} of 1,000 persons cannot have a second record: the maximum is 1,000")]
    TooManyDuplicates {
        /// The requested number per 1,000 persons.
        per_mille: u64,
    },
    /// A file or folder cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A row cannot be written to a CSV file.
    #[error("`{path}` cannot be written: {source}")]
    WriteRow {
        /// The file.
        path: PathBuf,
        /// The error of the writer.
        source: csv::Error,
    },
    /// The rows of a table cannot be encoded as Parquet.
    #[error("`{path}` cannot be written as Parquet: {source}")]
    WriteParquet {
        /// The file.
        path: PathBuf,
        /// The error of the writer.
        source: parquet::errors::ParquetError,
    },
}
