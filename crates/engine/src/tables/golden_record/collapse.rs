//! The operator that combines the records of each person into one row.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements,
};
use futures::StreamExt;

/// The positions of the columns that identify and rank records.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumns {
    pub(super) person: usize,
    pub(super) identity: usize,
    pub(super) provider: usize,
    pub(super) updated: usize,
}

/// One row for each person, from records sorted by person. Records that belong to nobody stay as
/// they are.
#[derive(Debug)]
pub(super) struct CollapseExec {
    input: Arc<dyn ExecutionPlan>,
    key_columns: KeyColumns,
    authority: fn(&str) -> u8,
    properties: Arc<PlanProperties>,
}

impl CollapseExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        key_columns: KeyColumns,
        authority: fn(&str) -> u8,
    ) -> Self {
        let mut equivalence = EquivalenceProperties::new(input.schema());
        equivalence.add_ordering(order(&input, key_columns));
        let properties = PlanProperties::new(
            equivalence,
            input.properties().partitioning.clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            key_columns,
            authority,
            properties: Arc::new(properties),
        }
    }
}

fn person(input: &Arc<dyn ExecutionPlan>, key_columns: KeyColumns) -> Arc<dyn PhysicalExpr> {
    let schema = input.schema();
    Arc::new(Column::new(
        schema.field(key_columns.person).name(),
        key_columns.person,
    ))
}

fn order(input: &Arc<dyn ExecutionPlan>, key_columns: KeyColumns) -> LexOrdering {
    let by_person = PhysicalSortExpr::new_default(person(input, key_columns))
        .asc()
        .nulls_first();
    LexOrdering::new([by_person]).expect("one expression")
}

impl DisplayAs for CollapseExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollapseExec")
    }
}

impl ExecutionPlan for CollapseExec {
    fn name(&self) -> &'static str {
        "CollapseExec"
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
        let by_person = Distribution::KeyPartitioned(vec![person(&self.input, self.key_columns)]);
        InputDistributionRequirements::new(vec![by_person])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let order = order(&self.input, self.key_columns);
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
            .ok_or_else(|| DataFusionError::Internal("CollapseExec has one input".to_owned()))?;
        Ok(Arc::new(Self::new(input, self.key_columns, self.authority)))
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
        let stream = CollapseStream {
            rows: self.input.execute(partition, context)?,
            key_columns: self.key_columns,
            authority: self.authority,
            last: None,
            ready: VecDeque::new(),
            is_at_end: false,
        };
        let persons = futures::stream::try_unfold(stream, |mut stream| async move {
            Ok(stream.next().await?.map(|batch| (batch, stream)))
        });
        let schema = self.input.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, persons)))
    }
}

/// The state of one partition.
struct CollapseStream {
    rows: SendableRecordBatchStream,
    key_columns: KeyColumns,
    authority: fn(&str) -> u8,
    /// The records of the last person so far; more may follow.
    last: Option<RecordBatch>,
    ready: VecDeque<RecordBatch>,
    is_at_end: bool,
}

impl CollapseStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if self.is_at_end {
                return Ok(None);
            }
            match self.rows.next().await.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => self.add(batch)?,
                None => {
                    self.is_at_end = true;
                    if let Some(last) = self.last.take() {
                        self.ready.push_back(self.collapse(&last)?);
                    }
                }
            }
        }
    }

    fn persons<'a>(&self, batch: &'a RecordBatch) -> &'a [i64] {
        batch
            .column(self.key_columns.person)
            .as_primitive::<Int64Type>()
            .values()
    }

    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let mut batch = batch;
        if let Some(last) = self.last.take() {
            if self.persons(&last)[0] == self.persons(&batch)[0] {
                batch = concat_batches(&batch.schema(), [&last, &batch])?;
            } else {
                self.ready.push_back(self.collapse(&last)?);
            }
        }
        let persons = self.persons(&batch);
        let end = persons[persons.len() - 1];
        let begin = persons.partition_point(|person| *person < end);
        let (before, last) = (
            batch.slice(0, begin),
            batch.slice(begin, batch.num_rows() - begin),
        );
        if begin > 0 {
            self.ready.push_back(self.collapse(&before)?);
        }
        self.last = Some(last);
        Ok(())
    }

    /// One row for each person of a batch that holds all records of these persons.
    fn collapse(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let persons = self.persons(batch);
        if persons
            .windows(2)
            .all(|two| two[0] != two[1] || two[0] == 0)
        {
            return Ok(batch.clone());
        }
        let groups: Vec<Range<usize>> = groups(persons);
        let precedence = Precedence::of(batch, self.key_columns, self.authority)?;
        let ranked: Vec<Vec<usize>> = groups
            .iter()
            .map(|rows| precedence.ranked(rows.clone()))
            .collect();
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                let rule = Survivorship::by_name(field.name(), field.data_type());
                let chosen = ranked.iter().map(|rows| rule.of(column, rows) as u64);
                Ok(take(column, &chosen.collect::<UInt64Array>(), None)?)
            });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    }
}

/// The records of each person; a record that belongs to nobody is a group of its own.
fn groups(persons: &[i64]) -> Vec<Range<usize>> {
    let mut groups = Vec::with_capacity(persons.len());
    let mut begin = 0;
    for at in 1..=persons.len() {
        if at == persons.len() || persons[at] != persons[begin] || persons[begin] == 0 {
            groups.push(begin..at);
            begin = at;
        }
    }
    groups
}

/// The rank of each record among the records of its person: trust of the provider, then the newest
/// update, then the identity.
struct Precedence {
    by_row: Vec<(u8, Reverse<i64>, i64)>,
}

impl Precedence {
    fn of(batch: &RecordBatch, key_columns: KeyColumns, authority: fn(&str) -> u8) -> Result<Self> {
        let providers = cast(batch.column(key_columns.provider), &DataType::Utf8View)?;
        let providers = providers.as_string_view();
        let identities = batch
            .column(key_columns.identity)
            .as_primitive::<Int64Type>();
        let updated = batch
            .column(key_columns.updated)
            .as_primitive::<TimestampMicrosecondType>();
        let precedence_of = |row: usize| {
            let updated = updated.is_valid(row).then(|| updated.value(row));
            let newest = Reverse(updated.unwrap_or(i64::MIN));
            (
                authority(providers.value(row)),
                newest,
                identities.value(row),
            )
        };
        Ok(Self {
            by_row: (0..batch.num_rows()).map(precedence_of).collect(),
        })
    }

    /// Records by rank, the most trusted first.
    fn ranked(&self, rows: Range<usize>) -> Vec<usize> {
        let mut rows: Vec<usize> = rows.collect();
        rows.sort_unstable_by_key(|row| self.by_row[*row]);
        rows
    }
}

/// The survivorship rule of a column: which of a person's records gives the value.
enum Survivorship {
    /// The most trusted record with a value.
    MostTrusted,
    /// A record with `true`, if there is one.
    AnyTrue,
    /// The record with the earliest time.
    Earliest,
    /// The record with the latest time.
    Latest,
}

impl Survivorship {
    fn by_name(name: &str, ty: &DataType) -> Self {
        match (name, ty) {
            ("created_at", DataType::Timestamp(..)) => Self::Earliest,
            ("updated_at" | "last_seen_at", DataType::Timestamp(..)) => Self::Latest,
            (name, DataType::Boolean) if name.starts_with("is_") => Self::AnyTrue,
            _ => Self::MostTrusted,
        }
    }

    fn of(&self, column: &ArrayRef, ranked: &[usize]) -> usize {
        let first = ranked[0];
        if ranked.len() == 1 {
            return first;
        }
        let known = || ranked.iter().copied().filter(|row| column.is_valid(*row));
        let moment = |row: &usize| {
            column
                .as_primitive::<TimestampMicrosecondType>()
                .value(*row)
        };
        let chosen = match self {
            Self::MostTrusted => known().next(),
            Self::AnyTrue => {
                let any_true = known().find(|row| column.as_boolean().value(*row));
                any_true.or_else(|| known().next())
            }
            Self::Earliest => known().min_by_key(moment),
            Self::Latest => known().max_by_key(moment),
        };
        chosen.unwrap_or(first)
    }
}
