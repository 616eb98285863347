//! Slices of several batches that are concatenated to one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, MutableArrayData, RecordBatch, make_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Slices of several batches.
#[derive(Default)]
pub(super) struct RowSlices {
    /// The number of rows of all slices.
    pub(super) rows: usize,
    /// The batches, each once, by run and number in the run.
    batches: Vec<((usize, usize), RecordBatch)>,
    /// The slices in order: index of the batch and range of its rows.
    parts: Vec<(usize, Range<usize>)>,
}

impl RowSlices {
    /// Adds a slice of a batch. `name` identifies the batch.
    pub(super) fn add(&mut self, name: (usize, usize), batch: &RecordBatch, rows: Range<usize>) {
        let known = self.batches.iter().rposition(|(known, _)| *known == name);
        let at = known.unwrap_or_else(|| {
            self.batches.push((name, batch.clone()));
            self.batches.len() - 1
        });
        self.rows += rows.len();
        self.parts.push((at, rows));
    }

    /// All rows in order, as one batch.
    pub(super) fn concat(&self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        if let [(at, rows)] = self.parts.as_slice() {
            return Ok(self.batches[*at].1.slice(rows.start, rows.len()));
        }
        let columns = (0..schema.fields().len()).map(|column| {
            // The texts of a batch are taken over once, however many slices it has.
            let sources: Vec<_> = self
                .batches
                .iter()
                .map(|(_, batch)| batch.column(column).to_data())
                .collect();
            let mut gathered = MutableArrayData::new(sources.iter().collect(), false, self.rows);
            for (at, rows) in &self.parts {
                gathered.try_extend(*at, rows.start, rows.end)?;
            }
            Ok(make_array(gathered.freeze()))
        });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}
