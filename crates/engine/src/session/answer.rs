//! The answer to a query.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

/// The whole answer to a query, within the row limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than the limit; the further ones are left out.
    pub truncated: bool,
}
