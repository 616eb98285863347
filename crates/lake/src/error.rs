//! Errors of the lake. Each variant names a situation of the user.

use std::io::ErrorKind;
use std::path::PathBuf;

use rollbook_model::{BatchId, SnapshotNumber};

/// An error of the lake. The message says what to do, the source carries the detail.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The location is neither a folder nor a URL of a supported store.
    #[error(
        "`{location}` is not the location of a lake: use a folder, or a URL such as `file:///data/lake` or `s3://bucket/lake`"
    )]
    Location {
        /// The text that was given.
        location: String,
    },
    /// The store does not support conditional puts, which commits need.
    #[error(
        "the store at `{location}` does not support conditional puts ({detail}): two writers could overwrite each other's commits; use a store with conditional puts (S3's `If-None-Match`)"
    )]
    NoConditionalPut {
        /// The store.
        location: String,
        /// What the store answered or did instead.
        detail: String,
    },
    /// The location holds no lake of the tenant.
    #[error("there is no lake for tenant `{tenant}` at `{location}`")]
    NoLake {
        /// The location.
        location: String,
        /// The tenant.
        tenant: String,
    },
    /// The lake was written by a newer program.
    #[error(
        "the lake at `{location}` has format {found}, this program reads formats up to {known}: use a newer rollbook"
    )]
    NewerFormat {
        /// The location of the lake.
        location: String,
        /// The format that the lake has.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The lake was written by an older program, in a format that this one does not read.
    #[error(
        "the lake at `{location}` has format {found}, in which personal values are not encrypted, and this program needs {needed}: ingest its sources into a new lake"
    )]
    OlderFormat {
        /// The location of the lake.
        location: String,
        /// The format that the lake has.
        found: u32,
        /// The oldest format that this program reads.
        needed: u32,
    },
    /// The master key, which decrypts the tenant's keys of personal values and secrets, is missing or invalid.
    #[error(
        "no master key for this lake: {problem} ({place}). The key is 64 hexadecimal digits in a file named by ROLLBOOK_MASTER_KEY_FILE, in ROLLBOOK_MASTER_KEY, or printed by the command in ROLLBOOK_MASTER_KEY_COMMAND"
    )]
    MasterKey {
        /// The source of the key that was read.
        place: String,
        /// What is wrong with the key.
        problem: String,
    },
    /// No snapshot has the number.
    #[error("there is no snapshot {number}: the newest is {newest}")]
    NoSnapshot {
        /// The number.
        number: SnapshotNumber,
        /// The newest snapshot.
        newest: SnapshotNumber,
    },
    /// The snapshot has expired: its record or its objects are deleted.
    #[error("snapshot {number} has expired")]
    Expired {
        /// The number of the snapshot.
        number: SnapshotNumber,
    },
    /// The snapshot, or the time of a change, is before a retention run: what was removed is gone from it, too.
    #[error(
        "{what} is gone: the retention run of snapshot {first} removed data, and all older snapshots with it"
    )]
    Removed {
        /// What was asked for.
        what: String,
        /// The snapshot of the retention run.
        first: SnapshotNumber,
    },
    /// The other lake is not a backup of an earlier state of this one.
    #[error("the copy is not a backup of an earlier state of this lake")]
    NotACopy,
    /// The name of a snapshot is invalid, taken or unknown.
    #[error("{problem}")]
    SnapshotName {
        /// What is wrong with the name.
        problem: String,
    },
    /// The target of a copy holds data of the tenant.
    #[error(
        "`{location}` holds data of tenant `{tenant}` already: choose an empty location, so that no data is mixed or overwritten"
    )]
    Occupied {
        /// The location.
        location: String,
        /// The tenant.
        tenant: String,
    },
    /// An object of the lake refers to a path outside of the lake.
    #[error(
        "`{path}` leads out of the lake that refers to it: somebody may have manipulated the lake; nothing was read or written there"
    )]
    PathOutsideLake {
        /// The path.
        path: String,
    },
    /// An object that a commit refers to is missing, or has another size than was written.
    #[error(
        "`{path}` was deleted or changed before it was committed; nothing was committed, try again"
    )]
    MissingObject {
        /// The object, relative to the tenant's folder.
        path: String,
    },
    /// Another program wrote to a table's Delta log.
    #[error(
        "table `{table}` has a commit of another program at Delta version {version}: rollbook must be the only writer; move that file out of `_delta_log` and run the command again"
    )]
    ForeignCommit {
        /// The table.
        table: String,
        /// The Delta version of the other program's commit.
        version: u64,
    },
    /// Other writers committed first in every attempt.
    #[error("the lake is busy: other writers committed first in each of {attempts} attempts")]
    Busy {
        /// The number of attempts.
        attempts: u32,
    },
    /// No retained snapshot committed the batch.
    #[error("there is no batch `{batch}`")]
    NoBatch {
        /// The batch.
        batch: BatchId,
    },
    /// The batch was undone already.
    #[error("batch `{batch}` was undone already, by snapshot {by}")]
    AlreadyUndone {
        /// The batch.
        batch: BatchId,
        /// The snapshot that undid the batch.
        by: SnapshotNumber,
    },
    /// Later batches changed rows of the batch.
    #[error(
        "batch `{batch}` cannot be undone: later batches changed rows of `{table}` that it wrote; undo the later batches first"
    )]
    Overwritten {
        /// The batch.
        batch: BatchId,
        /// The table of the changed rows.
        table: String,
    },
    /// An object of the lake is missing, cannot be parsed or cannot be decrypted.
    #[error("`{path}` in the lake is damaged: {detail}")]
    Damaged {
        /// The object, relative to the tenant's folder.
        path: String,
        /// What is wrong with the object.
        detail: String,
    },
    /// A local file could not be written or read.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    File {
        /// The operation, such as `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error("cannot {doing} `{path}` in the lake: {source}")]
    Store {
        /// The operation, such as `read`.
        doing: &'static str,
        /// The object.
        path: String,
        /// The error of the store.
        source: object_store::Error,
    },
    /// A Parquet file could not be written or read.
    #[error("cannot {doing} the Parquet file `{path}`: {source}")]
    Parquet {
        /// The operation, such as `write`.
        doing: &'static str,
        /// The file.
        path: String,
        /// The error of the Parquet library.
        source: parquet::errors::ParquetError,
    },
    /// Rows do not have the table's schema.
    #[error("rows for `{table}` do not fit its schema: {source}")]
    Schema {
        /// The table.
        table: String,
        /// The error of Arrow.
        source: arrow::error::ArrowError,
    },
}

impl LakeError {
    /// Whether the error says that an object does not exist.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::File { source, .. } => source.kind() == ErrorKind::NotFound,
            Self::Store { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }
}
