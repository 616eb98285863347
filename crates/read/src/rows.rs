//! Builds record batches from rows of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::names;

/// Maximum bytes of text in a batch, so that long values do not fill the memory.
const MOST_TEXT: usize = 64 << 20;

/// The schema of a file with these columns: text, then `_file` and `_line`.
pub(super) fn schema(columns: &[String]) -> SchemaRef {
    let texts = columns
        .iter()
        .map(|name| Field::new(name, DataType::Utf8, true));
    let [file, line] = names::ADDED;
    let added = [
        Field::new(file, DataType::Utf8, false),
        Field::new(line, DataType::Int64, false),
    ];
    Arc::new(Schema::new(texts.chain(added).collect::<Vec<_>>()))
}

/// Whether a cell is blank.
pub(super) fn is_blank(value: &str) -> bool {
    // Most cells begin with a visible ASCII character: no need to look further.
    !value
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_graphic())
        && value.trim().is_empty()
}

/// The rows of the batch that is being filled.
pub(super) struct BatchBuilder {
    schema: SchemaRef,
    texts: Vec<StringBuilder>,
    lines: Vec<i64>,
    /// `_file` for a full batch: every batch takes a slice of it.
    files: StringArray,
    capacity: usize,
    text_bytes: usize,
}

impl BatchBuilder {
    /// A builder of batches of at most `capacity` rows of a file called `label`.
    pub(super) fn new(columns: &[String], label: &str, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            schema: schema(columns),
            texts: columns.iter().map(|_| StringBuilder::new()).collect(),
            lines: Vec::with_capacity(capacity),
            files: StringArray::from_iter_values(std::iter::repeat_n(label, capacity)),
            capacity,
            text_bytes: 0,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of columns of the file.
    pub(super) fn width(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= self.capacity || self.text_bytes >= MOST_TEXT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a row that began on `line`. There must be as many values as columns.
    pub(super) fn push<'a>(&mut self, line: i64, values: impl Iterator<Item = Option<&'a str>>) {
        for (text, value) in self.texts.iter_mut().zip(values) {
            match value {
                Some(value) if !is_blank(value) => {
                    self.text_bytes += value.len();
                    text.append_value(value);
                }
                _ => text.append_null(),
            }
        }
        self.lines.push(line);
    }

    /// The rows added so far, as a batch; then the builder is empty.
    pub(super) fn take(&mut self) -> RecordBatch {
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(self.capacity));
        let rows = lines.len();
        self.text_bytes = 0;
        let mut columns: Vec<ArrayRef> = self
            .texts
            .iter_mut()
            .map(|text| Arc::new(text.finish()) as ArrayRef)
            .collect();
        columns.push(Arc::new(self.files.slice(0, rows)));
        columns.push(Arc::new(Int64Array::from(lines)));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("every column got one value per row, of the schema's type")
    }
}
