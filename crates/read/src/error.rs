//! Errors that make a whole file unreadable; single bad rows are `Refused`, not errors.

use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::compression::Compression;

/// What is wrong with a path or a whole file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A path that the user gave leads nowhere.
    #[error("`{path}` does not exist, check the path")]
    Missing {
        /// The path as given.
        path: String,
    },
    /// A pipe, socket or device where a file was expected.
    #[error("`{path}` is neither a file nor a folder: pass the content of a pipe on standard input")]
    NotAFile {
        /// The path as given.
        path: String,
    },
    /// The operating system does not let us read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The path as given.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder whose content cannot be listed.
    #[error("the folder `{folder}` cannot be listed")]
    Unlistable {
        /// The folder as given.
        folder: String,
        /// What stood in the way.
        source: walkdir::Error,
    },
    /// Standard input could not be kept for the second look that reading needs.
    #[error("standard input cannot be stored in `{folder}`: check the free space there")]
    Spool {
        /// Where it was to be kept.
        folder: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file without a single line of content.
    #[error("`{file}` is empty, it has no header and no rows")]
    Empty {
        /// The file as the user knows it.
        file: String,
    },
    /// A file that is neither CSV, NDJSON nor Parquet.
    #[error(
        "`{file}` is not CSV, NDJSON or Parquet, name it `.csv`, `.ndjson` or `.parquet` if it is"
    )]
    UnknownFormat {
        /// The file as the user knows it.
        file: String,
    },
    /// A binary file under the name of a text file.
    #[error(
        "`{file}` is not text: byte {position} is NUL, as in spreadsheets, archives and UTF-16 without a byte order mark; export it as CSV in UTF-8"
    )]
    NotText {
        /// The file as the user knows it.
        file: String,
        /// Where the first NUL byte stands, from 0, after decompression.
        position: u64,
    },
    /// A compressed file that ends early or is not what its first bytes say.
    #[error(
        "`{file}` cannot be decompressed as {compression}, it may be cut short: fetch it again"
    )]
    Damaged {
        /// The file as the user knows it.
        file: String,
        /// What its first bytes say.
        compression: Compression,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A CSV file whose first record cannot be split into names.
    #[error("the header of `{file}` on line {line} cannot be read: {reason}")]
    Header {
        /// The file as the user knows it.
        file: String,
        /// Where the header begins, from 1.
        line: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of more columns than anything is planned over.
    #[error(
        "`{file}` has more than {limit} columns: leave out those that nobody needs, or send them in parts"
    )]
    TooManyColumns {
        /// The file as the user knows it.
        file: String,
        /// How many a file may have.
        limit: usize,
    },
    /// A JSON document over several lines that is no list of objects.
    #[error(
        "`{file}` is one JSON document over several lines: write one object per line, or one array of objects"
    )]
    JsonDocument {
        /// The file as the user knows it.
        file: String,
    },
    /// A file that its Parquet footer or pages do not describe.
    #[error("`{file}` is not a complete Parquet file: fetch or export it again")]
    Parquet {
        /// The file as the user knows it.
        file: String,
        /// What the Parquet reader said.
        source: ParquetError,
    },
    /// Rows of a Parquet file that cannot be decoded.
    #[error("`{file}` cannot be read beyond row {row}: fetch or export it again")]
    ParquetRows {
        /// The file as the user knows it.
        file: String,
        /// Rows that were read before, so the first bad one is the next.
        row: i64,
        /// What the Parquet reader said.
        source: ArrowError,
    },
    /// A Parquet column of a type that has no text form.
    #[error("column `{column}` of `{file}` cannot be read as text, leave it out of the export")]
    NoText {
        /// The file as the user knows it.
        file: String,
        /// The column.
        column: String,
        /// What the conversion said.
        source: ArrowError,
    },
}
