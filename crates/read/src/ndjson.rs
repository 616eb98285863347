//! JSON objects, one per line or in one array, as rows with a column per key.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::ReadError;
use crate::rows::BatchBuilder;
use crate::source::SourceFile;
use crate::window::Window;
use crate::{Refused, names, text};

mod documents;
mod object;

use documents::{Document, Documents};
use object::JsonFault;

/// A file of JSON objects with known keys.
pub(super) struct Ndjson {
    file: SourceFile,
    documents: Documents,
    columns: Vec<String>,
    places: HashMap<String, usize>,
    rows: BatchBuilder,
    ended: bool,
    /// The key sets of its objects, if they differ.
    key_sets: Option<KeySets>,
}

/// The keys of each object of a file.
#[derive(Default)]
struct KeySets {
    /// The columns of each set.
    known: HashMap<Vec<bool>, Arc<[String]>>,
    /// The sets of the rows of the batch that is being filled.
    waiting: Vec<Arc<[String]>>,
    /// The sets of the rows of the last batch.
    last: Vec<Arc<[String]>>,
}

impl KeySets {
    fn push(&mut self, has: Vec<bool>, columns: &[String]) {
        let set = self.known.entry(has).or_insert_with_key(|has| {
            let had = columns.iter().zip(has).filter(|(_, has)| **has);
            had.map(|(column, _)| column.clone()).collect()
        });
        self.waiting.push(Arc::clone(set));
    }
}

impl Ndjson {
    pub(super) fn open(
        file: &SourceFile,
        batch_rows: usize,
        chunk: usize,
    ) -> Result<Self, ReadError> {
        let charset = text::charset(file)?;
        let open = || -> Result<Documents, ReadError> {
            Documents::open(Window::new(text::open(file, charset)?, chunk), file)
        };
        let keys = keys(&mut open()?, file)?;
        let columns = names::unique(keys.names.iter().map(String::as_str));
        let rows = BatchBuilder::new(&columns, &file.label, batch_rows);
        Ok(Self {
            file: file.clone(),
            documents: open()?,
            columns,
            places: keys.places,
            rows,
            ended: false,
            key_sets: (!keys.are_even).then(KeySets::default),
        })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    pub(super) fn is_uneven(&self) -> bool {
        self.key_sets.is_some()
    }

    pub(super) fn key_sets(&self) -> &[Arc<[String]>] {
        self.key_sets.as_ref().map_or(&[], |sets| &sets.last)
    }

    /// Reads until a batch is full, as many rows are refused, or the file ends.
    pub(super) fn next_batch(
        &mut self,
        refused: &mut Vec<Refused>,
    ) -> Result<Option<RecordBatch>, ReadError> {
        let most_refused = refused.len() + self.rows.capacity();
        while !self.ended && !self.rows.is_full() && refused.len() < most_refused {
            let next = self
                .documents
                .next()
                .map_err(|error| self.file.io_error(error))?;
            let Some(document) = next else {
                self.ended = true;
                break;
            };
            let taken = take(
                &mut self.rows,
                &self.places,
                &document,
                self.file.decimal_comma,
            );
            match taken {
                Err(fault) => refused.push(refusal(&self.file, &document, fault)),
                Ok(has) => {
                    if let Some(sets) = &mut self.key_sets {
                        sets.push(has, &self.columns);
                    }
                }
            }
        }
        if let Some(sets) = &mut self.key_sets {
            sets.last = std::mem::take(&mut sets.waiting);
        }
        let left = !self.ended || !self.rows.is_empty();
        Ok(left.then(|| self.rows.take()))
    }
}

/// The keys of the objects of a file.
struct Keys {
    /// In order of first appearance.
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// Whether every object has all of them.
    are_even: bool,
}

fn keys(documents: &mut Documents, file: &SourceFile) -> Result<Keys, ReadError> {
    let mut keys = Vec::new();
    let mut places = HashMap::new();
    let (mut objects, mut entries_seen) = (0, 0);
    while let Some(document) = documents.next().map_err(|error| file.io_error(error))? {
        let Ok(entries) = document.text().and_then(object::entries) else {
            continue;
        };
        objects += 1;
        entries_seen += entries.len();
        for (key, _) in entries {
            if !places.contains_key(key.as_ref()) {
                places.insert(key.clone().into_owned(), keys.len());
                keys.push(key.into_owned());
            }
        }
        names::not_too_many(keys.len(), file)?;
    }
    Ok(Keys {
        are_even: entries_seen == objects * keys.len(),
        names: keys,
        places,
    })
}

/// Takes an object as a row; returns which columns it has.
fn take(
    rows: &mut BatchBuilder,
    places: &HashMap<String, usize>,
    document: &Document<'_>,
    decimal_comma: bool,
) -> Result<Vec<bool>, JsonFault> {
    let mut values = vec![None; rows.width()];
    let mut has = vec![false; rows.width()];
    for (key, value) in object::entries(document.text()?)? {
        let Some(place) = places.get(key.as_ref()) else {
            let reason = "it has a key that the file did not have when it was scanned first";
            return Err(JsonFault::Json(reason.to_owned()));
        };
        values[*place] =
            match decimal_comma && value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                true => Some(value.replace('.', ",").into()),
                false => object::text_of(value)?,
            };
        has[*place] = true;
    }
    rows.push(document.line, values.iter().map(Option::as_deref));
    Ok(has)
}

fn refusal(file: &SourceFile, document: &Document<'_>, fault: JsonFault) -> Refused {
    let (code, reason) = match fault {
        JsonFault::Encoding(at) => (
            "bad_encoding",
            format!("byte {} of the record cannot be decoded", at + 1),
        ),
        JsonFault::TooLong => ("too_long", "the record is longer than 16 MiB".to_owned()),
        JsonFault::Json(reason) => ("bad_json", reason),
    };
    Refused {
        file: file.label.clone(),
        line: document.line,
        column: None,
        code,
        reason,
        value: None,
        record: document.shown(),
    }
}

#[cfg(test)]
mod tests;
