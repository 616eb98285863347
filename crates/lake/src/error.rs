//! What can go wrong with a lake, named by the situation its user is in.

use std::io::ErrorKind;
use std::path::PathBuf;

use rollbook_model::{BatchId, SnapshotNumber};

/// An error of the lake. Messages say what to do; sources carry the detail.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The location is neither a folder nor a URL that is served.
    #[error(
        "`{location}` is not a place for a lake: use a folder, or a URL such as `file:///data/lake` or `s3://bucket/lake`"
    )]
    Location {
        /// The text that was given.
        location: String,
    },
    /// The store cannot do what commits rest on.
    #[error(
        "`{location}` cannot put an object only where there is none ({detail}): two writers could overwrite each other's commits; use a store with conditional puts (S3's `If-None-Match`)"
    )]
    NoConditionalPut {
        /// The store.
        location: String,
        /// What it did instead.
        detail: String,
    },
    /// Nothing has been stored there yet.
    #[error("there is no lake for tenant `{tenant}` at `{location}`")]
    NoLake {
        /// Where it was looked for.
        location: String,
        /// The tenant that was asked for.
        tenant: String,
    },
    /// The lake was written by a newer program.
    #[error(
        "the lake at `{location}` has format {found}, this program knows up to {known}: use a newer rollbook"
    )]
    NewerFormat {
        /// The lake.
        location: String,
        /// The format that it says it has.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The lake was written before what this program rests on.
    #[error(
        "the lake at `{location}` has format {found}, from before personal values were sealed, and this program needs {needed}: ingest its sources into a new lake"
    )]
    OlderFormat {
        /// The lake.
        location: String,
        /// The format that it says it has.
        found: u32,
        /// The oldest format that this program reads.
        needed: u32,
    },
    /// The key that opens the tenant's keys is not to be had.
    #[error(
        "no master key for personal values: {problem} (looked at {place}). It is 64 hexadecimal digits in a file named by ROLLBOOK_MASTER_KEY_FILE, in ROLLBOOK_MASTER_KEY, or printed by the command in ROLLBOOK_MASTER_KEY_COMMAND"
    )]
    MasterKey {
        /// Where it was looked for.
        place: String,
        /// What is the matter.
        problem: String,
    },
    /// A snapshot number that does not exist, or not any more.
    #[error("there is no snapshot {number}: the newest is {newest}")]
    NoSnapshot {
        /// The number that was asked for.
        number: SnapshotNumber,
        /// The newest one.
        newest: SnapshotNumber,
    },
    /// A snapshot that is not kept any more.
    #[error("snapshot {number} has expired")]
    Expired {
        /// The number that was asked for.
        number: SnapshotNumber,
    },
    /// A backup that was not made of this lake, or of what became of it later.
    #[error("it is no backup of this lake as it was once")]
    NotACopy,
    /// A name of a kept snapshot that is taken, or that nothing has.
    #[error("{problem}")]
    Name {
        /// What is wrong with the name.
        problem: String,
    },
    /// A place that a copy was to be written to holds something already.
    #[error(
        "`{location}` holds data of tenant `{tenant}` already: name an empty place, so that nothing is mixed or lost"
    )]
    Occupied {
        /// The place.
        location: String,
        /// The tenant.
        tenant: String,
    },
    /// A name that an object of the lake gives is not one of an object of the lake.
    #[error(
        "`{path}` lies outside of the lake that names it: whoever made this lake wants other files read or written; nothing of it is used"
    )]
    PathOutsideLake {
        /// The name.
        path: String,
    },
    /// What a commit was about to name was removed, or is not what was written.
    #[error(
        "`{path}` is gone, which was about to be committed: something removed it meanwhile; nothing was changed, do it again"
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
        /// The Delta version that it took.
        version: u64,
    },
    /// Other writers were faster, again and again.
    #[error("the lake is busy: {attempts} attempts to commit were overtaken by other writers")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// A batch that no snapshot names.
    #[error("there is no batch `{batch}`")]
    NoBatch {
        /// The batch that was asked for.
        batch: BatchId,
    },
    /// A batch that was taken back before.
    #[error("batch `{batch}` was taken back before, by snapshot {by}")]
    AlreadyUndone {
        /// The batch.
        batch: BatchId,
        /// The snapshot that took it back.
        by: SnapshotNumber,
    },
    /// A batch whose rows later batches have changed.
    #[error(
        "batch `{batch}` cannot be taken back: rows of `{table}` that it wrote were changed since; take back the later batches first"
    )]
    Overwritten {
        /// The batch.
        batch: BatchId,
        /// The table in question.
        table: String,
    },
    /// An object of the lake that cannot be understood.
    #[error("`{path}` in the lake is damaged: {detail}")]
    Damaged {
        /// The object, relative to the tenant's folder.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A local file could not be written or read.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    File {
        /// What was being done, such as `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error("cannot {doing} `{path}` in the lake: {source}")]
    Store {
        /// What was being done, such as `read`.
        doing: &'static str,
        /// The object.
        path: String,
        /// The store's answer.
        source: object_store::Error,
    },
    /// A Parquet file could not be written or read.
    #[error("cannot {doing} the Parquet file `{path}`: {source}")]
    Parquet {
        /// What was being done, such as `write`.
        doing: &'static str,
        /// The file.
        path: String,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// Rows do not have the table's schema.
    #[error("rows for `{table}` do not fit its schema: {source}")]
    Schema {
        /// The table.
        table: String,
        /// What Arrow said.
        source: arrow::error::ArrowError,
    },
}

impl LakeError {
    /// Whether an object was not there.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::File { source, .. } => source.kind() == ErrorKind::NotFound,
            Self::Store { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }
}
