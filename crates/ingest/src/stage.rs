//! Rows put aside in a temporary file while a run goes on, folded by their keys.
//!
//! Only the keys stay in memory: of each, which row of the file is the latest so far.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use rollbook_model::TableDef;
use tempfile::NamedTempFile;

use crate::IngestError;
use crate::canonical::{DELETED, staged_schema};
use crate::error::staging;
use crate::identify::KeyMap;
use crate::tally::Tally;

/// The latest row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its row in the file, from 0.
    pub(crate) row: u32,
    /// Whether it gives way to a row that exists.
    pub(crate) keep: bool,
    /// Whether it retires the key.
    pub(crate) deleted: bool,
    /// `updated_at` of the row; the smallest number where it has none.
    pub(crate) updated: i64,
    /// Mapping, file and line as one number.
    pub(crate) order: u64,
}

/// The rows of one table in one run.
pub(crate) struct Stage {
    pub(crate) def: &'static TableDef,
    pub(crate) keys: KeyMap<Slot>,
    pub(crate) tally: Tally,
    /// How often each currency occurs, for a tenant that has not chosen one.
    pub(crate) currencies: BTreeMap<String, u64>,
    writer: Option<StreamWriter<BufWriter<File>>>,
    file: NamedTempFile,
    rows: u32,
}

/// The keys of a batch's rows.
pub(crate) fn keys_of(def: &TableDef, batch: &RecordBatch) -> Result<Vec<u128>, IngestError> {
    rollbook_lake::keys::keys_of(def, batch).ok_or_else(|| IngestError::Rows {
        table: def.name,
        doing: "told apart",
        detail: format!("`{}` is missing", def.key_columns().join("` or `")),
    })
}

/// When a row was changed that does not say so.
pub(crate) const UNKNOWN: i64 = i64::MIN;

/// When the source last changed each row of a batch.
pub(crate) fn updated_of(batch: &RecordBatch) -> impl Fn(usize) -> i64 + use<> {
    let column = batch.column_by_name("updated_at");
    let times = column.map(|column| column.as_primitive::<TimestampMicrosecondType>().clone());
    move |row| match &times {
        Some(times) if times.is_valid(row) => times.value(row),
        _ => UNKNOWN,
    }
}

impl Stage {
    /// An empty stage with its file in `folder`.
    pub(crate) fn new(def: &'static TableDef, folder: &Path) -> Result<Self, IngestError> {
        let file = NamedTempFile::new_in(folder).map_err(staging)?;
        let out = BufWriter::with_capacity(1 << 20, file.reopen().map_err(staging)?);
        let writer = StreamWriter::try_new(out, &staged_schema(def))
            .map_err(IngestError::rows(def.name, "put aside"))?;
        Ok(Self {
            def,
            keys: KeyMap::default(),
            tally: Tally::default(),
            currencies: BTreeMap::new(),
            writer: Some(writer),
            file,
            rows: 0,
        })
    }

    /// Puts rows aside. `order` gives each row's place among all rows of the run; of rows with one
    /// key the later `updated_at` wins, then the later place; the others count as unchanged.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        keep: bool,
        order: impl Fn(usize) -> u64,
    ) -> Result<(), IngestError> {
        let keys = keys_of(self.def, batch)?;
        let updated = updated_of(batch);
        let deleted = batch
            .column_by_name(DELETED)
            .map(|column| column.as_boolean());
        for (row, key) in keys.into_iter().enumerate() {
            let slot = Slot {
                row: self.rows,
                keep,
                deleted: deleted.is_some_and(|d| d.is_valid(row) && d.value(row)),
                updated: updated(row),
                order: order(row),
            };
            self.fold(key, slot);
            let limit = u32::MAX;
            let too_many = IngestError::TooManyRows {
                table: self.def.name,
                limit,
            };
            self.rows = self.rows.checked_add(1).ok_or(too_many)?;
        }
        self.count_currencies(batch);
        let writer = self
            .writer
            .as_mut()
            .expect("rows are added before they are read");
        writer
            .write(batch)
            .map_err(IngestError::rows(self.def.name, "put aside"))
    }

    fn fold(&mut self, key: u128, slot: Slot) {
        match self.keys.entry(key) {
            std::collections::hash_map::Entry::Vacant(vacant) => drop(vacant.insert(slot)),
            std::collections::hash_map::Entry::Occupied(mut standing) => {
                let given_up = match wins(&slot, standing.get()) {
                    true => standing.insert(slot),
                    false => slot,
                };
                self.tally.at(file_of(given_up.order)).unchanged += 1;
            }
        }
    }

    fn count_currencies(&mut self, batch: &RecordBatch) {
        if !matches!(self.def.name, "orders" | "deals") {
            return;
        }
        if let Some(column) = batch.column_by_name("currency") {
            for currency in column.as_string::<i32>().iter().flatten() {
                match self.currencies.get_mut(currency) {
                    Some(count) => *count += 1,
                    None => drop(self.currencies.insert(currency.to_owned(), 1)),
                }
            }
        }
    }

    /// Ends the writing; rows can be read from now on.
    pub(crate) fn finish(&mut self) -> Result<(), IngestError> {
        if let Some(mut writer) = self.writer.take() {
            writer
                .finish()
                .map_err(IngestError::rows(self.def.name, "put aside"))?;
        }
        Ok(())
    }

    /// The rows in the order in which they were added, each batch with the number of its first.
    pub(crate) fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<(u32, RecordBatch), IngestError>> + use<>, IngestError>
    {
        let failed = IngestError::rows(self.def.name, "read back");
        let opened = self.file.reopen().map_err(staging)?;
        let reader = StreamReader::try_new_buffered(opened, None).map_err(&failed)?;
        let mut first = 0;
        Ok(reader.map(move |batch| {
            let batch = batch.map_err(&failed)?;
            let begin = first;
            first += u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
            Ok((begin, batch))
        }))
    }
}

/// Mapping, file and line as one number that sorts like the three: 8, 20 and 36 bits.
pub(crate) fn place_of(mapping: u64, file: u64, line: i64) -> u64 {
    let line = line.unsigned_abs().min((1 << 36) - 1);
    (mapping.min(255) << 56) | (file.min(MOST_FILES) << 36) | line
}

/// The file in a number that [`place_of`] made.
pub(crate) fn file_of(order: u64) -> u64 {
    (order >> 36) & MOST_FILES
}

/// Files of a run that are told apart by their places.
const MOST_FILES: u64 = (1 << 20) - 1;

/// Whether a new row of a key takes the place of the standing one.
fn wins(new: &Slot, standing: &Slot) -> bool {
    match (new.keep, standing.keep) {
        (true, false) => false,
        (false, true) => true,
        (true, true) => new.order < standing.order,
        (false, false) => (new.updated, new.order) > (standing.updated, standing.order),
    }
}

#[cfg(test)]
mod tests {
    use super::{Slot, wins};

    fn slot(keep: bool, updated: i64, order: u64) -> Slot {
        Slot {
            row: 0,
            keep,
            deleted: false,
            updated,
            order,
        }
    }

    #[test]
    fn which_row_of_a_key_stands_does_not_depend_on_arrival() {
        let slots = [
            slot(false, 5, 1),
            slot(false, 3, 9),
            slot(false, 5, 2),
            slot(true, 9, 0),
            slot(true, 9, 7),
        ];
        for a in &slots {
            for b in slots.iter().filter(|b| *b != a) {
                assert_ne!(wins(a, b), wins(b, a), "{a:?} and {b:?}");
            }
        }
        assert!(wins(&slots[2], &slots[0]) && wins(&slots[0], &slots[1]));
        assert!(wins(&slots[1], &slots[3]));
    }
}
