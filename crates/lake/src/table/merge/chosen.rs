//! Rows picked from several batches, made into one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, MutableArrayData, RecordBatch, make_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Rows of several batches that will be one.
#[derive(Default)]
pub(super) struct Chosen {
    /// How many there are.
    pub(super) rows: usize,
    /// The batches, each once, by run and its number there.
    batches: Vec<((usize, usize), RecordBatch)>,
    /// Which rows of which of them, in order.
    parts: Vec<(usize, Range<usize>)>,
}

impl Chosen {
    /// Adds rows of a batch, which has a name of its own.
    pub(super) fn add(&mut self, name: (usize, usize), batch: &RecordBatch, rows: Range<usize>) {
        let known = self.batches.iter().rposition(|(known, _)| *known == name);
        let at = known.unwrap_or_else(|| {
            self.batches.push((name, batch.clone()));
            self.batches.len() - 1
        });
        self.rows += rows.len();
        self.parts.push((at, rows));
    }

    /// All of them, in order.
    pub(super) fn together(&self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        if let [(at, rows)] = self.parts.as_slice() {
            return Ok(self.batches[*at].1.slice(rows.start, rows.len()));
        }
        let columns = (0..schema.fields().len()).map(|column| {
            // Each batch brings its texts once, however many of its parts are taken.
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
