//! The arguments of `keys`, `journal`, `snapshot` and `backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rollbook_model::SnapshotNumber;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Keys {
    /// Show which master key encrypts the tenant's key, and where it is stored
    Show,
    /// Create a new master key, if it is kept in a file, and re-encrypt all keys
    Rotate,
}

#[derive(Debug, Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) command: Option<JournalCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Ingest the waiting requests, as a server does
    Fold {
        /// A folder of custom mappings, with one subfolder per provider
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Try rejected requests again
    Retry {
        /// A folder of custom mappings, with one subfolder per provider
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Delete a rejected request for good
    Drop {
        /// The id, as `journal` lists it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Keep a snapshot for good, under a name
    Keep {
        /// The snapshot
        number: SnapshotNumber,
        /// Its name
        name: String,
    },
    /// Remove a name: the snapshot expires like any other
    Release {
        /// The name
        name: String,
    },
    /// List the snapshots that have names
    List,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// A folder or an s3:// URL
    #[arg(required = true)]
    pub(crate) to: Option<String>,
    /// The snapshot; the newest by default
    #[arg(long, value_name = "N")]
    pub(crate) snapshot: Option<SnapshotNumber>,
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Delete from a backup the keys of persons erased since it was made
    Forget {
        /// The folder or s3:// URL of the backup
        at: String,
    },
}
