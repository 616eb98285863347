//! The report of a run.

use rollbook_model::{BatchId, SnapshotNumber, TableCounts};

use crate::persons::LinkCounts;
use crate::rows::unknown_statuses::UnknownStatus;
use crate::rows::upsert::Unfound;
use crate::rows::value_warnings::ValueWarning;

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
    /// Statuses that no built-in query knows.
    pub unknown_statuses: Vec<UnknownStatus>,
    /// The same for each request, in their order.
    pub unknown_by_request: Vec<Vec<UnknownStatus>>,
    /// Rows that refer to something which does not exist.
    pub unfound: Vec<Unfound>,
    /// Warnings about values.
    pub odd: Vec<ValueWarning>,
}
