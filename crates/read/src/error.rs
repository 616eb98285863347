//! Errors that make a whole file unreadable; single bad rows are `Refused`, not errors.

use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::compression::Compression;

/// An error of a path or a whole file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A path that does not exist.
    #[error("`{path}` does not exist, check the path")]
    Missing {
        /// The path as given.
        path: String,
    },
    /// A pipe, socket or device where a file was expected.
    #[error(
        "`{path}` is neither a file nor a folder: pass the content of a pipe on standard input"
    )]
    NotAFile {
        /// The path as given.
        path: String,
    },
    /// A file that the operating system cannot read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The path as given.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A folder whose content cannot be listed.
    #[error("the folder `{folder}` cannot be listed")]
    Unlistable {
        /// The folder as given.
        folder: String,
        /// The cause.
        source: walkdir::Error,
    },
    /// Standard input could not be stored for a second reading.
    #[error("standard input cannot be stored in `{folder}`: check the free space there")]
    Spool {
        /// The folder for it.
        folder: String,
        /// The error of the operating system.
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
    /// A binary file with the name of a text file.
    #[error(
        "`{file}` is not text: byte {position} is NUL, as in spreadsheets, archives and UTF-16 without a byte order mark; export it as CSV in UTF-8"
    )]
    NotText {
        /// The file as the user knows it.
        file: String,
        /// The position of the first NUL byte, from 0, after decompression.
        position: u64,
    },
    /// A compressed file that is truncated or damaged.
    #[error(
        "`{file}` cannot be decompressed as {compression}, it may be cut short: fetch it again"
    )]
    Damaged {
        /// The file as the user knows it.
        file: String,
        /// The detected compression.
        compression: Compression,
        /// The error of the decompressor.
        source: io::Error,
    },
    /// A CSV file whose first record cannot be split into names.
    #[error("the header of `{file}` on line {line} cannot be read: {reason}")]
    Header {
        /// The file as the user knows it.
        file: String,
        /// The line of the header, from 1.
        line: i64,
        /// The reason.
        reason: String,
    },
    /// A file with more columns than can be planned.
    #[error(
        "`{file}` has more than {limit} columns: leave out those that nobody needs, or send them in parts"
    )]
    TooManyColumns {
        /// The file as the user knows it.
        file: String,
        /// The maximum.
        limit: usize,
    },
    /// A JSON document over several lines that is not a list of objects.
    #[error(
        "`{file}` is one JSON document over several lines: write one object per line, or one array of objects"
    )]
    JsonDocument {
        /// The file as the user knows it.
        file: String,
    },
    /// A file with an invalid Parquet footer.
    #[error("`{file}` is not a complete Parquet file: fetch or export it again")]
    Parquet {
        /// The file as the user knows it.
        file: String,
        /// The error of the Parquet reader.
        source: ParquetError,
    },
    /// Rows of a Parquet file that cannot be decoded.
    #[error("`{file}` cannot be read beyond row {row}: fetch or export it again")]
    ParquetRows {
        /// The file as the user knows it.
        file: String,
        /// The number of rows read before the error.
        row: i64,
        /// The error of the Parquet reader.
        source: ArrowError,
    },
    /// A Parquet column of a type that has no text form.
    #[error("column `{column}` of `{file}` cannot be read as text, leave it out of the export")]
    NoText {
        /// The file as the user knows it.
        file: String,
        /// The column.
        column: String,
        /// The error of the conversion.
        source: ArrowError,
    },
}
