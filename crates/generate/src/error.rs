//! Why files could not be generated.

use std::io;
use std::path::PathBuf;

/// What stopped a run.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Rows of facts were asked for, persons were not.
    #[error("{rows} {what} were asked for but no person to have them; ask for at least 1 person")]
    NobodyToHaveThem {
        /// The kind of row.
        what: &'static str,
        /// How many were asked for.
        rows: u64,
    },
    /// Fewer rows were asked for than the persons have for certain.
    #[error(
        "{rows} {what} are too few: {persons} persons have {least} at least; ask for that many, or for fewer persons"
    )]
    TooFew {
        /// The kind of row.
        what: &'static str,
        /// How many were asked for.
        rows: u64,
        /// How many there are at least.
        least: u64,
        /// The persons asked for.
        persons: u64,
    },
    /// More second records than persons were asked for.
    #[error("{per_mille} of 1,000 persons cannot have a second record; ask for 1,000 at most")]
    TooManyDuplicates {
        /// Of 1,000 persons, how many were to have one.
        per_mille: u64,
    },
    /// A file or folder cannot be written.
    #[error("`{path}` cannot be written: {source}; choose another folder or make room in it")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row cannot be written to a file of text.
    #[error("`{path}` cannot be written: {source}; choose another folder or make room in it")]
    WriteRow {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: csv::Error,
    },
    /// The rows of a table cannot be turned into Parquet.
    #[error("`{path}` cannot be written as Parquet: {source}; `--format csv` needs less")]
    WriteParquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: parquet::errors::ParquetError,
    },
}
