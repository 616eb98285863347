//! Why files could not be generated.

use std::io;
use std::path::{Path, PathBuf};

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
    /// The truth is asked for, and there are too few rows to tell the stories that it is about.
    #[error(
        "--truth needs at least {orders} orders and {activities} activities for so many persons: ask for more"
    )]
    TooFewForTruth {
        /// First orders.
        orders: u64,
        /// Activities of leads in their first days.
        activities: u64,
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

impl GenerateError {
    pub(crate) fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}
