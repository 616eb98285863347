//! The view `segment_members`, read straight from the bitmaps.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_model::config::BATCH_ROWS;

use crate::membership::{Refreshed, persons_at};

const SEGMENT: &str = "segment";
const PERSON_ID: &str = "person_id";

/// A segment and its members.
type Membership = (SegmentKey, Arc<RoaringTreemap>);

/// `segment_members(segment text, person_id bigint)`: a row for each member of each segment.
///
/// A filter on `segment` alone picks the bitmaps before any row is made.
#[derive(Debug)]
pub struct SegmentMembers {
    schema: SchemaRef,
    lake: Lake,
    segments: Vec<Refreshed>,
    /// Who has no records any longer, as the state names them.
    gone: Option<String>,
}

impl SegmentMembers {
    /// The view over these memberships, which are read when somebody asks for them, by the ids that
    /// persons have at `state`.
    pub fn new(lake: &Lake, state: &State, segments: Vec<Refreshed>) -> Self {
        let schema = Arc::new(Schema::new(vec![
            Field::new(SEGMENT, DataType::Utf8, false),
            Field::new(PERSON_ID, DataType::Int64, false),
        ]));
        Self {
            schema,
            lake: lake.clone(),
            segments,
            gone: state.person_redirects_path().map(str::to_owned),
        }
    }

    /// The segments that all `filters`, which look at `segment` alone, let through.
    async fn chosen(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Membership>> {
        let keys = self.segments.iter().map(|one| one.segment.as_str());
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
        let schema = Arc::new(Schema::new(vec![Field::new(
            SEGMENT,
            DataType::Utf8,
            false,
        )]));
        let columns = DFSchema::try_from(Arc::clone(&schema))?;
        let names = RecordBatch::try_new(schema, vec![keys])?;
        let mut keep = vec![true; self.segments.len()];
        for filter in filters {
            let filter = filter.clone().transform(|expr| match expr {
                Expr::Column(column) => Ok(Transformed::yes(Expr::Column(
                    Column::new_unqualified(column.name),
                ))),
                other => Ok(Transformed::no(other)),
            })?;
            let filter = state.create_physical_expr(filter.data, &columns)?;
            let passes = filter.evaluate(&names)?.into_array(names.num_rows())?;
            for (keep, passes) in keep.iter_mut().zip(passes.as_boolean()) {
                *keep &= passes == Some(true);
            }
        }
        let chosen = self.segments.iter().zip(keep).filter(|(_, keep)| *keep);
        let chosen: Vec<&Refreshed> = chosen.map(|(one, _)| one).collect();
        let persons = persons_at(&self.lake, self.gone.as_deref(), &chosen).await;
        let persons = persons.map_err(|error| DataFusionError::External(error.into()))?;
        let keys = chosen.iter().map(|one| one.segment.clone());
        Ok(keys.zip(persons.into_iter().map(Arc::new)).collect())
    }
}

#[async_trait]
impl TableProvider for SegmentMembers {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let by_segment_alone = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty()
                && columns.iter().all(|column| column.name == SEGMENT)
                && !filter.is_volatile()
                && !holds_a_query(filter)
        };
        let support = filters.iter().map(|filter| {
            if by_segment_alone(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let chosen = self.chosen(state, filters).await?;
        let most = state.config_options().execution.target_partitions.max(1);
        let size = chosen.len().div_ceil(most).max(1);
        let mut partitions: Vec<Arc<dyn PartitionStream>> = chosen
            .chunks(size)
            .map(|segments| self.partition(segments.to_vec()))
            .collect();
        if partitions.is_empty() {
            partitions.push(self.partition(Vec::new()));
        }
        let table = StreamingTable::try_new(Arc::clone(&self.schema), partitions)?;
        table.scan(state, projection, &[], limit).await
    }
}

impl SegmentMembers {
    fn partition(&self, segments: Vec<Membership>) -> Arc<dyn PartitionStream> {
        Arc::new(MemberRows {
            schema: Arc::clone(&self.schema),
            segments,
        })
    }
}

/// Some segments' rows, made a batch at a time.
#[derive(Debug)]
struct MemberRows {
    schema: SchemaRef,
    segments: Vec<Membership>,
}

impl PartitionStream for MemberRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches = self
            .segments
            .clone()
            .into_iter()
            .flat_map(move |(key, members)| {
                let schema = Arc::clone(&schema);
                let mut next = Some(0);
                std::iter::from_fn(move || {
                    let ids = ids_from(&members, next?);
                    next = ids.last().map(|last| last + 1);
                    (!ids.is_empty()).then(|| batch(&schema, &key, &ids))
                })
            });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

fn ids_from(members: &RoaringTreemap, first: u64) -> Vec<u64> {
    let mut ids = members.iter();
    ids.advance_to(first);
    ids.take(BATCH_ROWS).collect()
}

fn batch(schema: &SchemaRef, key: &SegmentKey, ids: &[u64]) -> Result<RecordBatch> {
    let keys = StringArray::from_iter_values(std::iter::repeat_n(key.as_str(), ids.len()));
    // Person ids are bigints that are never negative, so each fits back into one.
    let ids = Int64Array::from_iter_values(ids.iter().map(|id| id.cast_signed()));
    Ok(RecordBatch::try_new(
        Arc::clone(schema),
        vec![Arc::new(keys), Arc::new(ids)],
    )?)
}

fn holds_a_query(filter: &Expr) -> bool {
    filter
        .exists(|expr| {
            Ok(matches!(
                expr,
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)
            ))
        })
        .unwrap_or(true)
}
