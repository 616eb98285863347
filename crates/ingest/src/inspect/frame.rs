//! The rows of a file as a Polars frame. Its columns are called by position, since Polars takes
//! a name such as `*` or `^a.*$` for a pattern.

use arrow::array::{AsArray, RecordBatch};
use polars::error::PolarsResult;
use polars::prelude::{ChunkedBuilder, Column, DataFrame, IntoSeries, StringChunkedBuilder};

/// Rows on their way into a frame.
pub(super) struct Frame {
    columns: Vec<StringChunkedBuilder>,
    rows: usize,
}

/// The name of a column in the frame.
pub(super) fn name(position: usize) -> String {
    format!("c{position}")
}

impl Frame {
    pub(super) fn new(width: usize) -> Self {
        let builder = |position| StringChunkedBuilder::new(name(position).into(), 0);
        Self { columns: (0..width).map(builder).collect(), rows: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the text columns of a batch that a reader gave.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        for (column, texts) in self.columns.iter_mut().zip(batch.columns()) {
            texts.as_string::<i32>().iter().for_each(|text| column.append_option(text));
        }
        self.rows += batch.num_rows();
    }

    pub(super) fn finish(self) -> PolarsResult<DataFrame> {
        let column = |builder: StringChunkedBuilder| Column::from(builder.finish().into_series());
        DataFrame::new(self.rows, self.columns.into_iter().map(column).collect())
    }
}
