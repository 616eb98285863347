//! Kept columns and what is counted from kept rows, as a table for a query.

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
use rollbook_model::Timestamp;
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::table::{MONEY_PRECISION, MONEY_SCALE};

use super::columns::Persons;
use super::run::{Places, Run};
use super::series::{Figure, Figured, Series};
use crate::counting::{Counted, What};

/// Where the values of a column come from.
#[derive(Debug)]
enum Values {
    Persons,
    Held(ArrayRef),
    /// There are no rows where there is no series.
    Figured(Option<Arc<Series>>, Figured),
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

    pub(super) fn held(name: String, values: ArrayRef) -> Self {
        Self {
            name,
            values: Values::Held(values),
        }
    }

    pub(super) fn figured(name: String, series: Option<Arc<Series>>, figured: Figured) -> Self {
        Self {
            name,
            values: Values::Figured(series, figured),
        }
    }

    pub(super) fn counted(name: String, series: Option<Arc<Series>>, counted: &Counted) -> Self {
        let figure = match counted.what {
            What::Count => Figure::Count,
            What::First => Figure::First,
            What::Last => Figure::Last,
        };
        let window = counted.window.unwrap_or([i64::MIN, i64::MAX]);
        Self::figured(name, series, Figured { window, figure })
    }

    fn field(&self) -> Field {
        let (ty, is_nullable) = match &self.values {
            Values::Persons => (DataType::Int64, false),
            Values::Held(values) => (values.data_type().clone(), true),
            Values::Figured(_, figured) => match figured.figure {
                Figure::Count => (DataType::Int64, false),
                Figure::First | Figure::Last => {
                    let utc = Some("UTC".into());
                    (DataType::Timestamp(TimeUnit::Microsecond, utc), true)
                }
                Figure::Sum => (DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE), false),
            },
        };
        Field::new(&self.name, ty, is_nullable)
    }
}

/// Some of the persons.
#[derive(Debug)]
pub(super) struct ResidentTable {
    persons: Arc<Persons>,
    columns: Arc<Vec<Column>>,
    schema: SchemaRef,
    as_of: i64,
    /// A batch for each.
    parts: Vec<Places>,
}

impl ResidentTable {
    /// The table of everybody, or of the persons at some places, in as many parts as there are
    /// threads.
    pub(super) fn provider(
        persons: Arc<Persons>,
        columns: Vec<Column>,
        as_of: Timestamp,
        among: Option<Vec<u32>>,
    ) -> Result<Arc<dyn TableProvider>> {
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = Arc::new(columns);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let count = persons.ids().len();
        let mut batches: Vec<Places> = match among {
            Some(places) => {
                let size = places.len().div_ceil(threads).clamp(1, BATCH_ROWS);
                let parts = places.chunks(size);
                parts.map(|part| Places::Some(part.to_vec())).collect()
            }
            None => {
                let begins = (0..count).step_by(BATCH_ROWS);
                let batch = |begin| Places::All(begin..(begin + BATCH_ROWS).min(count));
                begins.map(batch).collect()
            }
        };
        let share = batches.len().div_ceil(threads).max(1);
        let mut parts = Vec::new();
        loop {
            let rest = batches.split_off(share.min(batches.len()));
            parts.push(Arc::new(Self {
                persons: Arc::clone(&persons),
                columns: Arc::clone(&columns),
                schema: Arc::clone(&schema),
                as_of: as_of.micros(),
                parts: batches,
            }) as Arc<dyn PartitionStream>);
            batches = rest;
            if batches.is_empty() {
                break;
            }
        }
        let table = StreamingTable::try_new(Arc::clone(&schema), parts)?;
        Ok(Arc::new(table))
    }
}

impl PartitionStream for ResidentTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (persons, columns) = (Arc::clone(&self.persons), Arc::clone(&self.columns));
        let (schema, as_of) = (Arc::clone(&self.schema), self.as_of);
        let batches = self.parts.clone().into_iter().map(move |places| {
            let arrays = columns
                .iter()
                .map(|column| values(column, &persons, &places, as_of));
            let arrays = arrays.collect::<Result<Vec<_>>>()?;
            Ok(RecordBatch::try_new(Arc::clone(&schema), arrays)?)
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

/// The values of a column for the persons at some places.
fn values(column: &Column, persons: &Persons, places: &Places, as_of: i64) -> Result<ArrayRef> {
    let count = places.len();
    let (series, figured) = match (&column.values, places) {
        (Values::Figured(series, figured), _) => (series, figured),
        (Values::Persons, Places::All(places)) => {
            let ids = persons.ids()[places.clone()].to_vec();
            return Ok(Arc::new(Int64Array::from(ids)));
        }
        (Values::Persons, Places::Some(places)) => {
            let ids = places.iter().map(|place| persons.ids()[*place as usize]);
            return Ok(Arc::new(Int64Array::from_iter_values(ids)));
        }
        (Values::Held(values), Places::All(places)) => {
            return Ok(values.slice(places.start, count));
        }
        (Values::Held(values), Places::Some(places)) => {
            let places = UInt32Array::from(places.clone());
            return Ok(take(values.as_ref(), &places, None)?);
        }
    };
    let each = |note: &mut dyn FnMut(usize, &Run, usize)| {
        if let Some(series) = series {
            series.each(places, figured.window, as_of, note);
        }
    };
    let times = |better: fn(i64, i64) -> i64| {
        let mut times: Vec<Option<i64>> = vec![None; count];
        each(&mut |number, run, row| {
            let at = run.time(row);
            times[number] = Some(times[number].map_or(at, |known| better(known, at)));
        });
        TimestampMicrosecondArray::from(times).with_timezone("UTC")
    };
    Ok(match figured.figure {
        Figure::Count => {
            let mut counts = vec![0_i64; count];
            if let Some(series) = series {
                let note = |number: usize, _: &Run, _| counts[number] += 1;
                series.each(places, figured.window, as_of, note);
            }
            Arc::new(Int64Array::from(counts))
        }
        Figure::First => Arc::new(times(i64::min)),
        Figure::Last => Arc::new(times(i64::max)),
        Figure::Sum => {
            let mut sums = vec![0_i128; count];
            each(&mut |number, run, row| sums[number] += run.amount(row));
            let sums = Decimal128Array::from(sums);
            // One that is too large is told in the words of a query.
            sums.validate_decimal_precision(MONEY_PRECISION)
                .map_err(DataFusionError::from)?;
            Arc::new(sums.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?)
        }
    })
}
