//! The merge of ordered runs whose first sort column is the person.
//!
//! Runs differ greatly in size: one with all history, and a few with the newest rows. So each step finds
//! how many of the next rows come from the same run, and passes them on as one slice. Rows that are
//! equal in every sort column keep the order of their runs.
//!
//! Measured with 2 million rows of four runs in memory: 62 ms against 152 ms for the merge of
//! DataFusion's `SortPreservingMergeExec` where one run is large and three are small, 143 ms against
//! 168 ms where four equal runs follow each other in time, and 467 ms against 227 ms only where the
//! times of four equal runs interleave.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{AsArray, DynComparator, RecordBatch, make_comparator};
use arrow::buffer::ScalarBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::Result;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_plan::metrics::BaselineMetrics;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

mod row_slices;

use row_slices::RowSlices;

/// How the sort columns after the person are sorted.
const ASCENDING: SortOptions = SortOptions {
    descending: false,
    nulls_first: true,
};

/// Merges ordered streams into one, in batches of about `batch_rows` rows.
///
/// `order` holds the indexes of the sort columns in `schema`: the person, which is never null, then
/// others, ascending with nulls first.
pub(crate) fn merged(
    streams: Vec<SendableRecordBatchStream>,
    schema: SchemaRef,
    order: Vec<usize>,
    batch_rows: usize,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let merge = Merge {
        comparators: streams.iter().map(|_| Vec::new()).collect(),
        runs: streams.into_iter().map(Run::new).collect(),
        schema: Arc::clone(&schema),
        order,
        batch_rows,
    };
    let rows = futures::stream::try_unfold(merge, |mut merge| async move {
        let next = merge.next().await?;
        Ok(next.map(|batch| (batch, merge)))
    });
    let rows = rows.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

struct Merge {
    runs: Vec<Run>,
    /// For each pair of runs that was compared: the comparator of their current batches by the sort
    /// columns after the person.
    comparators: Vec<Vec<Option<DynComparator>>>,
    schema: SchemaRef,
    order: Vec<usize>,
    batch_rows: usize,
}

/// One stream and the position in it.
struct Run {
    rows: SendableRecordBatchStream,
    /// The current batch; `None` before the first and after the last.
    batch: Option<RecordBatch>,
    /// The number of batches read so far.
    number: usize,
    persons: ScalarBuffer<i64>,
    at: usize,
    is_at_end: bool,
}

impl Merge {
    /// The next batch; `None` at the end of all runs.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut slices = RowSlices::default();
        while slices.rows < self.batch_rows {
            self.fill().await?;
            let Some((first, second)) = self.foremost()? else {
                break;
            };
            let rows = match second {
                None => self.runs[first].left(),
                Some(second) => self.leading(first, second)?,
            };
            // Many rows are passed on as a slice: copying them to fill a batch does not pay.
            if slices.rows > 0 && rows >= self.batch_rows / 2 {
                break;
            }
            let rows = rows.min(self.batch_rows - slices.rows);
            let run = &mut self.runs[first];
            if let Some(batch) = &run.batch {
                slices.add((first, run.number), batch, run.at..run.at + rows);
            }
            run.at += rows;
        }
        Ok(match slices.rows {
            0 => None,
            _ => Some(slices.concat(&self.schema)?),
        })
    }

    /// Reads the next batch of every run that has no row left in its current one.
    async fn fill(&mut self) -> Result<()> {
        for at in 0..self.runs.len() {
            if self.runs[at].fill(self.order[0]).await? {
                // The comparators of the run compare its previous batch.
                self.comparators[at].clear();
                for others in &mut self.comparators {
                    if let Some(one) = others.get_mut(at) {
                        *one = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// The run whose next row comes first, and the run whose next row comes second; `None` at the end of
    /// all runs.
    fn foremost(&mut self) -> Result<Option<(usize, Option<usize>)>> {
        let mut first: Option<usize> = None;
        let mut second: Option<usize> = None;
        for run in 0..self.runs.len() {
            if self.runs[run].batch.is_none() {
                continue;
            }
            // Of equal rows that of the earlier run comes first.
            match first {
                Some(known) if !self.compare(run, known)?.is_lt() => match second {
                    Some(other) if !self.compare(run, other)?.is_lt() => {}
                    _ => second = Some(run),
                },
                known => (first, second) = (Some(run), known),
            }
        }
        Ok(first.map(|first| (first, second)))
    }

    /// How many of the next rows of run `first` come before the next row of run `second`: at least one.
    fn leading(&mut self, first: usize, second: usize) -> Result<usize> {
        let person = self.runs[second].person();
        let run = &self.runs[first];
        let before = gallop(&run.persons[run.at..], person);
        if before > 0 {
            return Ok(before);
        }
        let (begin, end) = (run.at, run.persons.len());
        let (other, is_after_equal) = (self.runs[second].at, second > first);
        let persons = run.persons.clone();
        let beyond = self.beyond(first, second)?;
        let comes_first = |at: &usize| match beyond(*at, other) {
            Ordering::Less => true,
            Ordering::Equal => is_after_equal,
            Ordering::Greater => false,
        };
        let same = (begin..end).take_while(|at| persons[*at] == person);
        Ok(same.take_while(comes_first).count().max(1))
    }

    fn compare(&mut self, left: usize, right: usize) -> Result<Ordering> {
        let by_person = self.runs[left].person().cmp(&self.runs[right].person());
        if by_person.is_ne() {
            return Ok(by_person);
        }
        let (at, other) = (self.runs[left].at, self.runs[right].at);
        Ok(self.beyond(left, right)?(at, other))
    }

    /// The comparator of the current batches of two runs by the sort columns after the person.
    fn beyond(&mut self, left: usize, right: usize) -> Result<&DynComparator> {
        let known = &mut self.comparators[left];
        if known.len() <= right {
            known.resize_with(right + 1, || None);
        }
        if known[right].is_none() {
            let (a, b) = (&self.runs[left].batch, &self.runs[right].batch);
            known[right] = Some(comparator(a.as_ref(), b.as_ref(), &self.order[1..])?);
        }
        Ok(known[right]
            .as_ref()
            .expect("the comparator was created above"))
    }
}

fn comparator(
    left: Option<&RecordBatch>,
    right: Option<&RecordBatch>,
    columns: &[usize],
) -> std::result::Result<DynComparator, ArrowError> {
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(Box::new(|_, _| Ordering::Equal));
    };
    let columns = columns
        .iter()
        .map(|at| make_comparator(left.column(*at), right.column(*at), ASCENDING));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Box::new(move |i, j| {
        let differs = columns.iter().map(|column| column(i, j));
        differs.fold(Ordering::Equal, Ordering::then)
    }))
}

impl Run {
    fn new(rows: SendableRecordBatchStream) -> Self {
        Self {
            rows,
            batch: None,
            number: 0,
            persons: ScalarBuffer::from(Vec::new()),
            at: 0,
            is_at_end: false,
        }
    }

    /// Reads the next batch where no row of the current one is left. Returns whether the batch changed.
    async fn fill(&mut self, person: usize) -> Result<bool> {
        if self.is_at_end || self.at < self.persons.len() {
            return Ok(false);
        }
        loop {
            self.batch = self.rows.next().await.transpose()?;
            self.number += 1;
            self.at = 0;
            let Some(batch) = &self.batch else {
                self.is_at_end = true;
                return Ok(true);
            };
            let persons = batch.column(person).as_primitive::<Int64Type>();
            self.persons = persons.values().clone();
            if !self.persons.is_empty() {
                return Ok(true);
            }
        }
    }

    fn person(&self) -> i64 {
        self.persons[self.at]
    }

    fn left(&self) -> usize {
        self.persons.len() - self.at
    }
}

/// How many of ascending numbers are less than `bound`, by galloping search.
fn gallop(ascending: &[i64], bound: i64) -> usize {
    let mut step = 1;
    while step <= ascending.len() && ascending[step - 1] < bound {
        step *= 2;
    }
    let (from, to) = (step / 2, step.min(ascending.len()));
    from + ascending[from..to].partition_point(|one| *one < bound)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
    use arrow::compute::{SortColumn, SortOptions};
    use arrow::compute::{concat_batches, lexsort_to_indices, take_record_batch};
    use arrow::datatypes::SchemaRef;
    use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
    use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
    use futures::TryStreamExt;
    use proptest::prelude::*;

    use super::{gallop, merged};

    /// Person, time and where a row came from.
    type Row = (i64, Option<i64>);

    fn batch(rows: &[Row], run: usize) -> RecordBatch {
        let persons: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let times: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        let runs = rows.iter().map(|_| Some(format!("run number {run}")));
        let runs: ArrayRef = Arc::new(runs.collect::<StringViewArray>());
        RecordBatch::try_from_iter_with_nullable([
            ("person_id", persons, false),
            ("time", times, true),
            ("run", runs, true),
        ])
        .unwrap()
    }

    /// All rows sorted at once by a sort that keeps the order of equal ones.
    fn sorted(runs: &[Vec<Row>], schema: &SchemaRef) -> RecordBatch {
        let batches: Vec<_> = runs
            .iter()
            .enumerate()
            .map(|(at, rows)| batch(rows, at))
            .collect();
        let all = concat_batches(schema, &batches).unwrap();
        let options = Some(SortOptions {
            descending: false,
            nulls_first: true,
        });
        let columns: Vec<_> = all
            .columns()
            .iter()
            .map(|values| SortColumn {
                values: Arc::clone(values),
                options,
            })
            .collect();
        take_record_batch(&all, &lexsort_to_indices(&columns, None).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn merging_equals_sorting(
            mut runs in prop::collection::vec(
                prop::collection::vec((0..12_i64, prop::option::of(0..4_i64)), 0..60), 1..9),
            cut in 1..20_usize,
            batch_rows in 1..30_usize,
        ) {
            runs.iter_mut().for_each(|run| run.sort_unstable());
            let schema = batch(&[], 0).schema();
            let streams = runs.iter().enumerate().map(|(at, rows)| {
                let parts: Vec<_> = rows.chunks(cut).map(|part| Ok(batch(part, at))).collect();
                let parts = futures::stream::iter(parts);
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), parts)) as _
            });
            let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
            let all = merged(streams.collect(), Arc::clone(&schema), vec![0, 1], batch_rows, metrics);
            let all: Vec<RecordBatch> =
                futures::executor::block_on(all.try_collect()).unwrap();
            prop_assert!(all.iter().all(|one| (1..=batch_rows).contains(&one.num_rows())));
            let found = concat_batches(&schema, &all).unwrap();
            prop_assert_eq!(found, sorted(&runs, &schema));
        }

        #[test]
        fn galloping_search_equals_counting(mut all in prop::collection::vec(0..50_i64, 0..80), bound in 0..52_i64) {
            all.sort_unstable();
            let count = all.iter().filter(|one| **one < bound).count();
            prop_assert_eq!(gallop(&all, bound), count);
        }
    }
}
