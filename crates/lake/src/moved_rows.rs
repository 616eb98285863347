//! The rows of moved records, under the persons that they belong to: one more ordered run of a scan.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, filter_record_batch, lexsort_to_indices,
    take_record_batch,
};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::Result;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{
    Boundedness, EmissionType, PlanProperties, ReplaceChildrenOptions,
};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::TryStreamExt;

use crate::moves::Moves;

/// Rows out of their homes, few enough to be sorted in memory.
#[derive(Debug)]
pub(crate) struct MovedRows {
    homes: Arc<dyn ExecutionPlan>,
    moves: Arc<Moves>,
    /// The places of `person_id` and `identity_id`.
    person: usize,
    identity: usize,
    /// The places of the columns that rows are in order of.
    order: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl MovedRows {
    pub(crate) fn new(
        homes: Arc<dyn ExecutionPlan>,
        moves: Arc<Moves>,
        person: usize,
        identity: usize,
        order: Vec<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(homes.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            homes,
            moves,
            person,
            identity,
            order,
            properties: Arc::new(properties),
        }
    }

    /// The rows of a batch that belong to others, under these.
    fn moved(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let persons = batch.column(self.person).as_primitive::<Int64Type>();
        let identities = batch.column(self.identity).as_primitive::<Int64Type>();
        let rows = persons.values().iter().zip(identities.values());
        let to = rows.map(|(person, identity)| {
            let moved = self.moves.of(*identity)?;
            (moved.to != *person).then_some(moved.to)
        });
        let to: Int64Array = to.collect();
        let is_moved = arrow::compute::is_not_null(&to)?;
        let mut columns = batch.columns().to_vec();
        columns[self.person] = Arc::new(
            to.iter()
                .map(Option::unwrap_or_default)
                .collect::<Int64Array>(),
        );
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

impl DisplayAs for MovedRows {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MovedRows: records={}", self.moves.iter().count())
    }
}

impl ExecutionPlan for MovedRows {
    fn name(&self) -> &'static str {
        "MovedRows"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.homes.schema();
        let this = Self::new(
            Arc::clone(&self.homes),
            Arc::clone(&self.moves),
            self.person,
            self.identity,
            self.order.clone(),
        );
        let homes = self.homes.execute(partition, context)?;
        let output = Arc::clone(&schema);
        let rows = async move {
            let moved = homes.map_err(datafusion_common::DataFusionError::from);
            let moved = moved
                .and_then(|batch| futures::future::ready(this.moved(&batch).map_err(Into::into)));
            let moved: Vec<RecordBatch> = moved.try_collect().await?;
            Ok(sorted(&schema, &moved, &this.order)?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            output,
            futures::stream::once(rows),
        )))
    }
}
