//! The facts of remapped records, under the persons that they belong to: one more ordered run of a scan.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, filter_record_batch, is_not_null, lexsort_to_indices,
    take_record_batch,
};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use crate::table::identity_remap::IdentityRemap;

/// Facts that are stored with other persons. They are few enough to be sorted in memory.
#[derive(Debug, Clone)]
pub(crate) struct MovedRows {
    /// All rows of the persons with whom such facts are stored, in one partition.
    pub(crate) homes: Arc<dyn ExecutionPlan>,
    pub(crate) moves: Arc<IdentityRemap>,
    /// The index of the column `person_id`.
    pub(crate) person: usize,
    /// The index of the column `identity_id`.
    pub(crate) identity: usize,
    /// The indexes of the columns that the rows are sorted by.
    pub(crate) order: Vec<usize>,
}

impl MovedRows {
    /// The rows in order, under the persons that they belong to.
    pub(crate) fn execute(&self, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (schema, this) = (self.homes.schema(), self.clone());
        let homes = self.homes.execute(0, context)?;
        let rows = async move {
            let moved = homes.and_then(|batch| {
                let moved = this.moved(&batch).map_err(Into::into);
                futures::future::ready(moved)
            });
            let moved: Vec<RecordBatch> = moved.try_collect().await?;
            Ok(sorted(&this.homes.schema(), &moved, &this.order)?)
        };
        let rows = futures::stream::once(rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// The rows of a batch that belong to other persons, under these persons.
    fn moved(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let persons = batch.column(self.person).as_primitive::<Int64Type>();
        let identities = batch.column(self.identity).as_primitive::<Int64Type>();
        let rows = persons.values().iter().zip(identities.values());
        let to = rows.map(|(person, identity)| {
            let moved = self.moves.get(*identity)?;
            (moved.to != *person).then_some(moved.to)
        });
        let to: Int64Array = to.collect();
        let is_moved = is_not_null(&to)?;
        let to: Int64Array = to.iter().map(Option::unwrap_or_default).collect();
        let mut columns = batch.columns().to_vec();
        columns[self.person] = Arc::new(to);
        let batch = RecordBatch::try_new(batch.schema(), columns)?;
        filter_record_batch(&batch, &is_moved)
    }
}

fn sorted(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    order: &[usize],
) -> Result<RecordBatch, ArrowError> {
    let all = concat_batches(schema, batches)?;
    let options = SortOptions {
        descending: false,
        nulls_first: true,
    };
    let columns = order.iter().map(|at| SortColumn {
        values: ArrayRef::clone(all.column(*at)),
        options: Some(options),
    });
    let places = lexsort_to_indices(&columns.collect::<Vec<_>>(), None)?;
    take_record_batch(&all, &places)
}
