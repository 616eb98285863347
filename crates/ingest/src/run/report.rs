//! What a run did, or would have done, for whoever asked for it.

use rollbook_model::{BatchId, SnapshotNumber, TableCounts};
use serde::{Deserialize, Serialize};

use crate::linking::LinkCounts;
use crate::odd::Odd;
use crate::unknown::UnknownStatus;

/// What a run did, or would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The snapshot that holds the rows; the one before where nothing changed.
    pub snapshot: SnapshotNumber,
    /// The run.
    pub batch: BatchId,
    /// Counts by table, in the order of the tables.
    pub tables: Vec<TableCounts>,
    /// The same for each request, in their order.
    pub by_request: Vec<Vec<TableCounts>>,
    /// Files that no mapping reads.
    pub unclaimed: Vec<String>,
    /// The currency that the run set as the tenant's, where it had none.
    pub currency: Option<String>,
    /// How records of persons came to persons.
    pub records: LinkCounts,
    /// Statuses that no query of ours knows.
    pub unknown_statuses: Vec<UnknownStatus>,
    /// The same for each request, in their order.
    pub unknown_by_request: Vec<Vec<UnknownStatus>>,
    /// Rows that name something that is not there.
    pub unfound: Vec<Unfound>,
    /// Values that were read otherwise than they are written, or could not be read.
    pub odd: Vec<Odd>,
}

/// Rows of a table that name something that the lake does not have, and that the run does not bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfound {
    /// The table.
    pub table: String,
    /// What they name, such as `person`.
    pub names: String,
    /// How many name one that is not there.
    pub rows: u64,
    /// How many name one at all.
    pub of: u64,
}
