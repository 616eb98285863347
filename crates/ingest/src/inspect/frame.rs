//! The rows of a file as a Polars frame, and what is counted in it. Its columns are called by
//! position, since Polars takes a name such as `*` or `^a.*$` for a pattern.

use std::panic::resume_unwind;
use std::thread;

use arrow::array::{AsArray, RecordBatch};
use polars::error::PolarsResult;
use polars::prelude::{
    Column, DataFrame, IntoLazy, IntoSeries, LazyFrame, NULL, StringChunkedBuilder, col, len, lit,
};

/// Rows on their way into a frame.
pub(super) struct Frame {
    columns: Vec<StringChunkedBuilder>,
    rows: usize,
}

/// What was counted in a column.
pub(super) struct ColumnCounts {
    /// The distinct values without blanks around them, in the order in which they first occur,
    /// with the number of their rows.
    pub(super) values: Vec<(String, usize)>,
    pub(super) blank: usize,
    /// Characters of the shortest and the longest value.
    pub(super) shortest: Option<u32>,
    pub(super) longest: Option<u32>,
}

impl Frame {
    pub(super) fn new(width: usize) -> Self {
        let builder = |position| StringChunkedBuilder::new(name(position).into(), 0);
        Self {
            columns: (0..width).map(builder).collect(),
            rows: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the text columns of a batch that a reader gave.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        for (column, texts) in self.columns.iter_mut().zip(batch.columns()) {
            texts
                .as_string::<i32>()
                .iter()
                .for_each(|text| column.append_option(text));
        }
        self.rows += batch.num_rows();
    }

    /// Counts each column, in their order.
    pub(super) fn count(self) -> PolarsResult<Vec<ColumnCounts>> {
        let width = self.columns.len();
        let column = |builder: StringChunkedBuilder| Column::from(builder.finish().into_series());
        let frame = DataFrame::new(self.rows, self.columns.into_iter().map(column).collect())?;
        let rows = self.rows;
        let frame = frame.lazy();
        let count = || {
            (0..width)
                .map(|position| counted(&frame, position, rows))
                .collect()
        };
        // Polars blocks on a runtime of its own, which panics inside a Tokio runtime of one
        // thread; a thread apart is in none.
        let done = thread::scope(|scope| scope.spawn(count).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn name(position: usize) -> String {
    format!("c{position}")
}

fn counted(frame: &LazyFrame, position: usize, rows: usize) -> PolarsResult<ColumnCounts> {
    let value = col(name(position))
        .str()
        .strip_chars(lit(NULL))
        .alias("value");
    let found = frame
        .clone()
        .select([value])
        .filter(col("value").is_not_null())
        .group_by_stable([col("value")])
        .agg([len().alias("rows")])
        .with_columns([col("value").str().len_chars().alias("length")])
        .collect()?;
    let texts = found.column("value")?.str()?;
    let counts = found.column("rows")?.u32()?;
    let lengths = found.column("length")?.u32()?;
    let pairs = texts.iter().zip(counts.iter());
    let values: Vec<_> = pairs
        .filter_map(|(text, count)| Some((text?.to_owned(), usize::try_from(count?).ok()?)))
        .collect();
    let filled: usize = values.iter().map(|(_, rows)| rows).sum();
    Ok(ColumnCounts {
        blank: rows - filled,
        shortest: lengths.iter().flatten().min(),
        longest: lengths.iter().flatten().max(),
        values,
    })
}
