//! The scan of a clustered table: ranges of persons in parallel, each in order of person and time.
//!
//! The scan of a range reads the runs that overlap it, skips row groups outside of it, cuts off rows
//! outside of it, and merges the runs where there are several. The scan declares the order and the
//! ranges to DataFusion, so that queries by person need neither a sort nor a repartitioning.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::stats::Precision;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, ScalarValue, SplitPoint, Statistics, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr,
    RangePartitioning,
};
use datafusion_physical_plan::execution_plan::{
    Boundedness, EmissionType, PlanProperties, ReplaceChildrenOptions,
};
use datafusion_physical_plan::expressions::Column;
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringTreemap;

use crate::table::identity_remap::IdentityRemap;
use crate::table::merge::merged;
use crate::table::moved_rows::MovedRows;

/// One range of persons, with a plan of one partition for every run that overlaps it.
#[derive(Debug, Clone)]
pub(crate) struct RangeScan {
    /// The first person of the range.
    pub(crate) from: i64,
    /// The first person after the range.
    pub(crate) to: i64,
    pub(crate) runs: Vec<Arc<dyn ExecutionPlan>>,
    /// Rows that belong to persons of the range and are stored with other persons.
    pub(crate) moved: Option<MovedRows>,
}

/// The identity remap of a scan.
#[derive(Debug, Clone)]
pub(crate) struct Moving {
    pub(crate) moves: Arc<IdentityRemap>,
    homes: Arc<RoaringTreemap>,
    /// The index of the column `identity_id` in the runs.
    pub(crate) identity: usize,
}

impl Moving {
    pub(crate) fn new(moves: Arc<IdentityRemap>, identity: usize) -> Self {
        let homes = Arc::new(moves.homes());
        Self {
            moves,
            homes,
            identity,
        }
    }

    /// The rows that are stored with the person they belong to.
    fn at_home(&self, batch: RecordBatch, person: usize) -> Result<RecordBatch, ArrowError> {
        let persons = batch.column(person).as_primitive::<Int64Type>().values();
        let identities = batch.column(self.identity).as_primitive::<Int64Type>();
        let mut last = (i64::MIN, false);
        let is_at_home = persons
            .iter()
            .zip(identities.values())
            .map(|(person, identity)| {
                if *person != last.0 {
                    let is_home =
                        u64::try_from(*person).is_ok_and(|home| self.homes.contains(home));
                    last = (*person, is_home);
                }
                let moved = last.1.then(|| self.moves.get(*identity)).flatten();
                moved.is_none_or(|moved| moved.to == *person)
            });
        let is_at_home: Vec<bool> = is_at_home.collect();
        match is_at_home.contains(&false) {
            false => Ok(batch),
            true => filter_record_batch(&batch, &is_at_home.into()),
        }
    }
}

/// The scan of a clustered table, with one partition for each range.
#[derive(Debug)]
pub(crate) struct OrderedScan {
    table: String,
    ranges: Vec<RangeScan>,
    /// Columns of the output. The runs may have further ones after them, such as `person_id`.
    schema: SchemaRef,
    /// The index of the column `person_id` in the runs.
    person: usize,
    /// The order of the output by its columns; `None` where it lacks `person_id`, or is unordered.
    order: Option<LexOrdering>,
    rows: Precision<usize>,
    /// The persons whose rows are wanted; `None` for all.
    among: Option<Arc<RoaringTreemap>>,
    moving: Option<Moving>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl OrderedScan {
    pub(crate) fn try_new(
        table: String,
        ranges: Vec<RangeScan>,
        schema: SchemaRef,
        person: usize,
        sort_columns: &[&str],
        rows: Precision<usize>,
    ) -> Result<Self> {
        let order = order_of(&schema, sort_columns);
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        if let Some(order) = &order {
            equivalence.add_ordering(order.clone());
        }
        let partitioning = match &order {
            Some(order) if ranges.len() > 1 => {
                let by_person = LexOrdering::new([order.first().clone()])
                    .expect("an order of one expression is not empty");
                let splits = ranges[1..]
                    .iter()
                    .map(|range| SplitPoint::new(vec![ScalarValue::Int64(Some(range.from))]));
                let splits = splits.collect();
                Partitioning::Range(RangePartitioning::try_new(by_person, splits)?)
            }
            _ => Partitioning::UnknownPartitioning(ranges.len().max(1)),
        };
        let properties = Arc::new(PlanProperties::new(
            equivalence,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            table,
            ranges,
            schema,
            person,
            order,
            rows,
            among: None,
            moving: None,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Restricts the scan to the rows of some persons; `None` for all.
    pub(crate) fn among(self, persons: Option<Arc<RoaringTreemap>>) -> Self {
        Self {
            among: persons,
            ..self
        }
    }

    /// Sets the identity remap: rows of remapped records are in a run of their own.
    pub(crate) fn moving(self, moving: Option<Moving>) -> Self {
        Self { moving, ..self }
    }

    /// The same scan without order: the runs of a range follow each other.
    pub(crate) fn unordered(&self) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&self.schema)),
            self.properties.partitioning.clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table: self.table.clone(),
            ranges: self.ranges.clone(),
            schema: Arc::clone(&self.schema),
            person: self.person,
            order: None,
            rows: self.rows,
            among: self.among.clone(),
            moving: self.moving.clone(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// The order by the longest prefix of the table's sort columns that the schema has.
fn order_of(schema: &SchemaRef, sort_columns: &[&str]) -> Option<LexOrdering> {
    let columns = sort_columns.iter().map_while(|name| {
        let index = schema.index_of(name).ok()?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
        Some(PhysicalSortExpr::new_default(column).asc().nulls_first())
    });
    LexOrdering::new(columns)
}

impl DisplayAs for OrderedScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<String> = self
            .ranges
            .iter()
            .map(|range| range.runs.len().to_string())
            .collect();
        write!(
            f,
            "OrderedScan: table={}, runs_by_range=[{}]",
            self.table,
            runs.join(", ")
        )?;
        if let Some(order) = &self.order {
            write!(f, ", order=[{order}]")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for OrderedScan {
    fn name(&self) -> &'static str {
        "OrderedScan"
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
        let Some(range) = self.ranges.get(partition) else {
            return internal_err!("there is no range {partition}");
        };
        let streams = range.runs.iter().map(|run| {
            let rows = run.execute(0, Arc::clone(&context))?;
            Ok(self.cut(rows, range.from, range.to))
        });
        let mut streams = streams.collect::<Result<Vec<_>>>()?;
        if let Some(moved) = &range.moved {
            let rows = moved.execute(Arc::clone(&context))?;
            streams.push(self.cut(rows, range.from, range.to));
        }
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        match (&self.order, streams.len()) {
            (_, 1) => Ok(streams.swap_remove(0)),
            (Some(order), 2..) => {
                let place = |one: &PhysicalSortExpr| {
                    let column = one.expr.downcast_ref::<Column>();
                    column.map(Column::index)
                };
                let order = order.iter().filter_map(place).collect();
                let batch_rows = context.session_config().batch_size();
                let schema = Arc::clone(&self.schema);
                Ok(merged(streams, schema, order, batch_rows, metrics))
            }
            _ => {
                let all = futures::stream::iter(streams).flatten();
                let schema = Arc::clone(&self.schema);
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all)))
            }
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        let moved = self
            .ranges
            .iter()
            .filter_map(|range| Some(&range.moved.as_ref()?.homes));
        let runs = self.ranges.iter().flat_map(|range| &range.runs);
        for run in runs.chain(moved) {
            for metric in run.metrics().iter().flat_map(MetricsSet::iter) {
                all.push(Arc::clone(metric));
            }
        }
        Some(all)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if partition.is_none() {
            statistics.num_rows = self.rows;
        }
        Ok(Arc::new(statistics))
    }
}

impl OrderedScan {
    /// The rows of one range from a stream in order of persons, with the output's columns.
    fn cut(
        &self,
        rows: SendableRecordBatchStream,
        from: i64,
        to: i64,
    ) -> SendableRecordBatchStream {
        let (person, columns) = (self.person, self.schema.fields().len());
        let schema = Arc::clone(&self.schema);
        let (among, moving) = (self.among.clone(), self.moving.clone());
        let inside = rows.try_filter_map(move |batch| {
            let cut = between(&batch, person, from, to).map(|batch| {
                let batch = match &among {
                    None => batch,
                    Some(among) => of_persons(&batch, person, among)?,
                };
                let batch = match &moving {
                    None => batch,
                    Some(moving) => moving.at_home(batch, person)?,
                };
                // Columns that the output lacks are the last ones.
                let indices: Vec<usize> = (0..columns).collect();
                batch.project(&indices)
            });
            futures::future::ready(cut.transpose().map_err(Into::into))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, inside))
    }
}

/// The rows of some persons.
fn of_persons(
    batch: &RecordBatch,
    person: usize,
    wanted: &RoaringTreemap,
) -> Result<RecordBatch, ArrowError> {
    let persons = batch.column(person).as_primitive::<Int64Type>().values();
    let mut last = (i64::MIN, false);
    let is_wanted = persons.iter().map(|person| {
        if *person != last.0 {
            let known = u64::try_from(*person).is_ok_and(|person| wanted.contains(person));
            last = (*person, known);
        }
        last.1
    });
    filter_record_batch(batch, &is_wanted.collect::<Vec<_>>().into())
}

/// The rows of an ordered batch from person `from` on and before person `to`; `None` where there are
/// none.
fn between(batch: &RecordBatch, person: usize, from: i64, to: i64) -> Option<RecordBatch> {
    let persons = batch.column(person).as_primitive::<Int64Type>().values();
    let begin = persons.partition_point(|person| *person < from);
    let end = persons.partition_point(|person| *person < to);
    (begin < end).then(|| batch.slice(begin, end - begin))
}
