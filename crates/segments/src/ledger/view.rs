//! The view `segment_changes`: the ledger, a row for each person who entered or left.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use rollbook_lake::{Lake, State};
use rollbook_model::Timestamp;
use rollbook_model::config::BATCH_ROWS;

use crate::ledger::{self, Change, Move};

/// `segment_changes(segment, person_id, change, reason, at, as_of, snapshot, revision)`.
#[derive(Debug)]
pub struct SegmentChanges {
    schema: SchemaRef,
    lake: Lake,
    state: State,
}

impl SegmentChanges {
    /// The ledger at a snapshot; it is read when somebody asks for it.
    pub fn new(lake: &Lake, state: &State) -> Self {
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let field = |name: &str, ty| Field::new(name, ty, false);
        let schema = Schema::new(vec![
            field("segment", DataType::Utf8),
            field("person_id", DataType::Int64),
            field("change", DataType::Utf8),
            field("reason", DataType::Utf8),
            field("at", time()),
            field("as_of", time()),
            field("snapshot", DataType::Int64),
            field("revision", DataType::Int64),
        ]);
        Self {
            schema: Arc::new(schema),
            lake: lake.clone(),
            state: state.clone(),
        }
    }
}

#[async_trait]
impl TableProvider for SegmentChanges {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let changes = ledger::changes(&self.lake, &self.state, None).await;
        let changes = changes.map_err(|error| DataFusionError::External(error.into()))?;
        let rows: Arc<dyn PartitionStream> = Arc::new(ChangeRows {
            schema: Arc::clone(&self.schema),
            lake: self.lake.clone(),
            changes,
        });
        let table = StreamingTable::try_new(Arc::clone(&self.schema), vec![rows])?;
        table.scan(state, projection, &[], limit).await
    }
}

/// The rows of all changes, one move after the other.
#[derive(Debug)]
struct ChangeRows {
    schema: SchemaRef,
    lake: Lake,
    changes: Vec<Change>,
}

impl PartitionStream for ChangeRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, lake) = (Arc::clone(&self.schema), self.lake.clone());
        let moves = self.changes.iter().flat_map(|change| {
            let moves = change.moves.iter();
            moves.map(|one| (change.clone(), one.clone()))
        });
        let moves: Vec<(Change, Move)> = moves.collect();
        // Of a move all batches, then those of the next one.
        let begin = (moves.into_iter(), Vec::<u64>::new(), None, 0);
        let batches = stream::try_unfold(begin, move |(mut moves, mut ids, mut of, mut at)| {
            let (schema, lake) = (Arc::clone(&schema), lake.clone());
            async move {
                while at >= ids.len() {
                    let Some((change, one)) = moves.next() else {
                        return Ok(None);
                    };
                    let persons = ledger::persons(&lake, &one).await;
                    let persons =
                        persons.map_err(|error| DataFusionError::External(error.into()))?;
                    (ids, at) = (persons.iter().collect(), 0);
                    of = Some((change, one));
                }
                let part = &ids[at..ids.len().min(at + BATCH_ROWS)];
                let (change, one) = of.as_ref().expect("ids are of a move");
                let batch = batch(&schema, change, one, part)?;
                let at = at + part.len();
                Ok(Some((batch, (moves, ids, of, at))))
            }
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

fn batch(schema: &SchemaRef, change: &Change, one: &Move, ids: &[u64]) -> Result<RecordBatch> {
    let text = |value: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            value,
            ids.len(),
        )))
    };
    let time = |at: Timestamp| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_value(at.micros(), ids.len());
        Arc::new(times.with_timezone("UTC"))
    };
    let number = |value: u64| -> ArrayRef {
        Arc::new(Int64Array::from_value(value.cast_signed(), ids.len()))
    };
    // Person ids are bigints that are never negative, so each fits back into one.
    let persons = Int64Array::from_iter_values(ids.iter().map(|id| id.cast_signed()));
    let columns = vec![
        text(change.segment.as_str()),
        Arc::new(persons),
        text(one.direction.name()),
        text(one.reason.name()),
        time(change.at),
        time(change.as_of),
        number(change.snapshot.0),
        number(change.revision),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
