//! Cached columns and aggregates of cached rows, as a table that a query reads.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::table::{MONEY_SCALE, SUM_PRECISION};

use super::columns::Persons;
use super::run::Run;
use super::series::Series;
use crate::criteria::behaviour::EvaluationContext;
use crate::criteria::behaviour::{AggregateKind, WindowAggregate};
use crate::operators::counting::{CountKind, Counted};

/// Where the values of a column come from.
#[derive(Debug)]
enum Values {
    Persons,
    Stored(ArrayRef),
    /// Without a series there are no rows, and counts are zero.
    WindowAggregate(Option<Arc<Series>>, WindowAggregate),
}

/// A column of the table.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    values: Values,
}

impl Column {
    pub(super) fn persons() -> Self {
        Self {
            name: "person_id".to_owned(),
            values: Values::Persons,
        }
    }

    pub(super) fn stored(name: String, values: ArrayRef) -> Self {
        Self {
            name,
            values: Values::Stored(values),
        }
    }

    pub(super) fn aggregate(
        name: String,
        series: Option<Arc<Series>>,
        aggregate: WindowAggregate,
    ) -> Self {
        Self {
            name,
            values: Values::WindowAggregate(series, aggregate),
        }
    }

    pub(super) fn activity_count(
        name: String,
        series: Option<Arc<Series>>,
        counted: &Counted,
    ) -> Self {
        let aggregate_kind = match counted.measure {
            CountKind::Count => AggregateKind::Count,
            CountKind::First => AggregateKind::First,
            CountKind::Last => AggregateKind::Last,
        };
        let window = counted.window.unwrap_or([i64::MIN, i64::MAX]);
        Self::aggregate(
            name,
            series,
            WindowAggregate {
                window,
                aggregate_kind,
            },
        )
    }

    /// The columns, reduced to the persons at `positions`.
    ///
    /// # Errors
    /// An error of Arrow where a position lies outside of a column.
    pub(super) fn select(columns: Vec<Self>, positions: &[u32]) -> Result<Vec<Self>> {
        let indices = UInt32Array::from(positions.to_vec());
        // Several columns aggregate the same rows.
        let mut known: Vec<(Arc<Series>, Arc<Series>)> = Vec::new();
        let mut pick =
            |series: Arc<Series>| match known.iter().find(|(all, _)| Arc::ptr_eq(all, &series)) {
                Some((_, selected)) => Arc::clone(selected),
                None => {
                    let selected = Arc::new(series.select(positions));
                    known.push((series, Arc::clone(&selected)));
                    selected
                }
            };
        let columns = columns.into_iter().map(|column| {
            let values = match column.values {
                Values::Persons => Values::Persons,
                Values::Stored(values) => Values::Stored(take(values.as_ref(), &indices, None)?),
                Values::WindowAggregate(series, aggregate) => {
                    Values::WindowAggregate(series.map(&mut pick), aggregate)
                }
            };
            Ok(Self { values, ..column })
        });
        columns.collect()
    }

    /// The field of the column; `time` is the type of its times.
    fn field(&self, time: &DataType) -> Field {
        let (ty, is_nullable) = match &self.values {
            Values::Persons => (DataType::Int64, false),
            Values::Stored(values) => (values.data_type().clone(), true),
            Values::WindowAggregate(_, aggregate) => match aggregate.aggregate_kind {
                AggregateKind::Count => (DataType::Int64, false),
                AggregateKind::First | AggregateKind::Last => (time.clone(), true),
                AggregateKind::Sum => (DataType::Decimal128(SUM_PRECISION, MONEY_SCALE), false),
            },
        };
        Field::new(&self.name, ty, is_nullable)
    }
}

/// One partition of the table: the persons at `positions`.
#[derive(Debug)]
pub(super) struct CacheTable {
    persons: Arc<Persons>,
    columns: Arc<Vec<Column>>,
    schema: SchemaRef,
    as_of: i64,
    positions: Range<usize>,
}

impl CacheTable {
    /// The table of all persons, with one partition for each thread.
    pub(super) fn provider(
        persons: Arc<Persons>,
        columns: Vec<Column>,
        EvaluationContext { as_of, zone }: EvaluationContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.name().into()));
        let fields: Vec<Field> = columns.iter().map(|column| column.field(&time)).collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = Arc::new(columns);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let count = persons.ids().len();
        let share = count.div_ceil(threads).max(1);
        let parts = (0..count.div_ceil(share).max(1)).map(|part| {
            let positions = (part * share).min(count)..((part + 1) * share).min(count);
            Arc::new(Self {
                persons: Arc::clone(&persons),
                columns: Arc::clone(&columns),
                schema: Arc::clone(&schema),
                as_of: as_of.micros(),
                positions,
            }) as Arc<dyn PartitionStream>
        });
        let table = StreamingTable::try_new(Arc::clone(&schema), parts.collect())?;
        Ok(Arc::new(table))
    }
}

impl PartitionStream for CacheTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (persons, columns) = (Arc::clone(&self.persons), Arc::clone(&self.columns));
        let (schema, as_of, end) = (Arc::clone(&self.schema), self.as_of, self.positions.end);
        let batches = self
            .positions
            .clone()
            .step_by(BATCH_ROWS)
            .map(move |begin| {
                let positions = begin..(begin + BATCH_ROWS).min(end);
                let arrays = columns.iter().zip(schema.fields()).map(|(column, field)| {
                    values(column, field.data_type(), &persons, &positions, as_of)
                });
                let arrays = arrays.collect::<Result<Vec<_>>>()?;
                Ok(RecordBatch::try_new(Arc::clone(&schema), arrays)?)
            });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

/// The values of a column for the persons at `positions`.
fn values(
    column: &Column,
    ty: &DataType,
    persons: &Persons,
    positions: &Range<usize>,
    as_of: i64,
) -> Result<ArrayRef> {
    let count = positions.len();
    let (series, aggregate) = match &column.values {
        Values::Persons => {
            let ids = persons.ids()[positions.clone()].to_vec();
            return Ok(Arc::new(Int64Array::from(ids)));
        }
        Values::Stored(values) => return Ok(values.slice(positions.start, count)),
        Values::WindowAggregate(series, aggregate) => (series, aggregate),
    };
    let each = |note: &mut dyn FnMut(usize, &Run, usize)| {
        if let Some(series) = series {
            series.for_each_row(positions, aggregate.window, as_of, note);
        }
    };
    let times = |choose: fn(i64, i64) -> i64| {
        let mut times: Vec<Option<i64>> = vec![None; count];
        each(&mut |number, run, row| {
            let at = run.time(row);
            times[number] = Some(times[number].map_or(at, |known| choose(known, at)));
        });
        TimestampMicrosecondArray::from(times).with_data_type(ty.clone())
    };
    Ok(match aggregate.aggregate_kind {
        AggregateKind::Count => {
            let counts = series.as_ref();
            let counts = counts.map(|all| all.counts(positions, aggregate.window, as_of));
            Arc::new(Int64Array::from(counts.unwrap_or_else(|| vec![0; count])))
        }
        AggregateKind::First => Arc::new(times(i64::min)),
        AggregateKind::Last => Arc::new(times(i64::max)),
        AggregateKind::Sum => {
            let mut sums = vec![0_i128; count];
            each(&mut |number, run, row| sums[number] += run.amount(row));
            let sums = Decimal128Array::from(sums);
            // A sum that is too large is reported with the same message as in a query.
            sums.validate_decimal_precision(SUM_PRECISION)
                .map_err(DataFusionError::from)?;
            Arc::new(sums.with_precision_and_scale(SUM_PRECISION, MONEY_SCALE)?)
        }
    })
}
