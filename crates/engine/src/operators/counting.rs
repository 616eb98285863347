//! Counts the activities of each person for many windows at once, in one pass over rows sorted by
//! person.
//!
//! A hundred aggregates with one filter each would compare each row a hundred times. Here each row
//! is compared once: its type selects the counts that it belongs to, and its time falls between two
//! bounds of their windows, where it is counted. At the end of a person the count of a window is
//! the sum between its bounds.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortExpr, RangePartitioning,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements,
};
use futures::{StreamExt, TryStreamExt};

mod source;
mod tally;

pub(crate) use source::CountedActivities;
pub(crate) use tally::{CountKind, Counted};
use tally::{NO_TIME, Tally};

/// The columns of the input, in this order.
const INPUT_COLUMNS: [&str; 3] = ["person_id", "type", "occurred_at"];

/// The number of types that a batch remembers by their string views.
const CACHED_TYPES: usize = 32;

/// From rows `person_id`, `type` and `occurred_at`, sorted by person, to one row for each person
/// with a counted activity: the person, and one column for each count.
#[derive(Debug)]
pub(crate) struct CountingExec {
    input: Arc<dyn ExecutionPlan>,
    specs: Arc<Vec<Counted>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The schema of the output; `time` is the type of `occurred_at`.
fn output_schema(person: &str, specs: &[Counted], time: &DataType) -> SchemaRef {
    let mut fields = vec![Field::new(person, DataType::Int64, false)];
    fields.extend(specs.iter().enumerate().map(|(at, spec)| {
        let name = format!("_c{at}");
        match spec.measure {
            CountKind::Count => Field::new(name, DataType::Int64, false),
            CountKind::First | CountKind::Last => Field::new(name, time.clone(), true),
        }
    }));
    Arc::new(Schema::new(fields))
}

impl CountingExec {
    fn try_new(
        input: Arc<dyn ExecutionPlan>,
        specs: Arc<Vec<Counted>>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let person: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(0).name(), 0));
        let by_person = PhysicalSortExpr::new_default(Arc::clone(&person))
            .asc()
            .nulls_first();
        let order = LexOrdering::new([by_person]).expect("one expression");
        let partitioning = match &input.properties().partitioning {
            Partitioning::Range(ranges) => {
                let splits = ranges.split_points().to_vec();
                Partitioning::Range(RangePartitioning::try_new(order.clone(), splits)?)
            }
            Partitioning::Hash(_, count) => Partitioning::Hash(vec![person], *count),
            other => Partitioning::UnknownPartitioning(other.partition_count()),
        };
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        equivalence.add_ordering(order);
        let properties = PlanProperties::new(
            equivalence,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            specs,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The column of the person in the input.
    fn person() -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(INPUT_COLUMNS[0], 0))
    }
}

impl DisplayAs for CountingExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountingExec: counts={}", self.specs.len())
    }
}

impl ExecutionPlan for CountingExec {
    fn name(&self) -> &'static str {
        "CountingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by_person = Distribution::KeyPartitioned(vec![Self::person()]);
        InputDistributionRequirements::new(vec![by_person])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let by_person = PhysicalSortExpr::new_default(Self::person())
            .asc()
            .nulls_first();
        let order = LexOrdering::new([by_person]).expect("one expression");
        vec![Some(OrderingRequirements::from(order))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children
            .pop()
            .ok_or_else(|| DataFusionError::Internal("CountingExec has one input".to_owned()))?;
        let (specs, schema) = (Arc::clone(&self.specs), Arc::clone(&self.schema));
        Ok(Arc::new(Self::try_new(input, specs, schema)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let consumer = MemoryConsumer::new(format!("CountingExec[{partition}]"));
        let counting = CountingStream {
            memory: consumer.register(context.memory_pool()),
            rows: self.input.execute(partition, Arc::clone(&context))?,
            tally: Tally::new(&self.specs),
            person: None,
            schema: Arc::clone(&self.schema),
            batch_rows: context.session_config().batch_size(),
            finished: FinishedPersons::new(self.specs.len()),
            is_at_end: false,
            metrics: metrics.clone(),
        };
        let counted = futures::stream::try_unfold(counting, |mut counting| async move {
            Ok(counting.next().await?.map(|batch| (batch, counting)))
        });
        let counted = counted.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The state of one partition.
struct CountingStream {
    rows: SendableRecordBatchStream,
    tally: Tally,
    /// The person of the current rows.
    person: Option<i64>,
    schema: SchemaRef,
    batch_rows: usize,
    finished: FinishedPersons,
    is_at_end: bool,
    /// Accounts for the memory of finished persons until they are put out.
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

/// Persons without further rows, and their counts.
struct FinishedPersons {
    persons: Vec<i64>,
    /// For each count one value for each person.
    columns: Vec<Vec<i64>>,
}

impl FinishedPersons {
    fn new(counts: usize) -> Self {
        Self {
            persons: Vec::new(),
            columns: vec![Vec::new(); counts],
        }
    }

    fn bytes(&self) -> usize {
        (self.columns.len() + 1) * self.persons.capacity() * size_of::<i64>()
    }
}

impl CountingStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while !self.is_at_end && self.finished.persons.len() < self.batch_rows {
            match self.rows.next().await.transpose()? {
                Some(batch) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.elapsed_compute().timer();
                    self.count(&batch)?;
                    self.memory.try_resize(self.finished.bytes())?;
                }
                None => {
                    self.end_person();
                    self.is_at_end = true;
                }
            }
        }
        if self.finished.persons.is_empty() {
            return Ok(None);
        }
        let finished = std::mem::replace(
            &mut self.finished,
            FinishedPersons::new(self.schema.fields().len() - 1),
        );
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(finished.persons))];
        for (values, field) in finished
            .columns
            .into_iter()
            .zip(self.schema.fields().iter().skip(1))
        {
            columns.push(match field.data_type() {
                DataType::Int64 => Arc::new(Int64Array::from(values)),
                time => {
                    let known = values.into_iter().map(|at| (at != NO_TIME).then_some(at));
                    let times: TimestampMicrosecondArray = known.collect();
                    Arc::new(times.with_data_type(time.clone()))
                }
            });
        }
        Ok(Some(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns,
        )?))
    }

    fn count(&mut self, batch: &RecordBatch) -> Result<()> {
        let persons = batch.column(0).as_primitive::<Int64Type>().values();
        let types = cast(batch.column(1), &DataType::Utf8View)?;
        let types = types.as_string_view();
        let times = batch
            .column(2)
            .as_primitive::<TimestampMicrosecondType>()
            .values();
        let mut indexes = TypeIndexes::default();
        for row in 0..batch.num_rows() {
            if self.person != Some(persons[row]) {
                self.end_person();
                self.person = Some(persons[row]);
            }
            if let Some(kind) = indexes.of(types, row, &self.tally) {
                self.tally.add(kind, times[row]);
            }
        }
        Ok(())
    }

    fn end_person(&mut self) {
        if let Some(person) = self.person.take()
            && self.tally.end(&mut self.finished.columns)
        {
            self.finished.persons.push(person);
        }
    }
}

/// The index of each counted type in a batch, looked up by its string view: within a batch equal
/// views are equal texts.
#[derive(Default)]
struct TypeIndexes {
    known: Vec<(u128, Option<usize>)>,
    last: usize,
}

impl TypeIndexes {
    fn of(&mut self, types: &StringViewArray, row: usize, tally: &Tally) -> Option<usize> {
        let view = types.views()[row];
        if let Some((known, kind)) = self.known.get(self.last)
            && *known == view
        {
            return *kind;
        }
        let found = self.known.iter().position(|(known, _)| *known == view);
        if let Some(at) = found {
            self.last = at;
            return self.known[at].1;
        }
        let text = types.is_valid(row).then(|| types.value(row));
        let kind = text.and_then(|text| tally.kind(text));
        // Only the first types are remembered: a longer search is no faster than a lookup of the
        // text.
        if self.known.len() < CACHED_TYPES {
            self.last = self.known.len();
            self.known.push((view, kind));
        }
        kind
    }
}
