//! Rows picked from several batches, made into one.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, SchemaRef};
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
        let places: OnceCell<Vec<(usize, usize)>> = OnceCell::new();
        let columns = schema.fields().iter().enumerate().map(|(column, field)| {
            let of = |at: usize| self.batches[at].1.column(column);
            if *field.data_type() == DataType::Utf8View {
                // Put one after the other, each part would bring the texts of its whole batch.
                let arrays: Vec<_> = (0..self.batches.len()).map(|at| of(at).as_ref()).collect();
                return interleave(&arrays, places.get_or_init(|| self.places()));
            }
            let parts = self.parts.iter();
            let parts: Vec<_> = parts
                .map(|(at, rows)| of(*at).slice(rows.start, rows.len()))
                .collect();
            concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)
    }

    /// Each row as its batch and its place in it.
    fn places(&self) -> Vec<(usize, usize)> {
        let parts = self.parts.iter();
        parts
            .flat_map(|(at, rows)| rows.clone().map(move |row| (*at, row)))
            .collect()
    }
}
