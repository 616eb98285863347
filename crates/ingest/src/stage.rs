//! Rows put aside in a temporary file while a run goes on, folded by their keys.
//!
//! The keys lie on disk too, in order of their hashes, as the index of keys wants them. In memory
//! stays which rows are not the latest of their key.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt64Type};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use roaring::RoaringBitmap;
use rollbook_lake::keys::{hash_of, key_of};
use rollbook_model::TableDef;
use tempfile::NamedTempFile;

use crate::IngestError;
use crate::canonical::{DELETED, staged_schema, words};
use crate::error::staging;
use crate::identify::KeyMap;
use crate::odd::Oddities;
use crate::people::records;
use crate::sorter::{Records, Sorter};
use crate::tally::Tally;

/// The column of a staged row's place among all rows of the run.
const ORDER: &str = "_order";

/// What a row that stands says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
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
    pub(crate) tally: Tally,
    /// The records of persons that the rows refer to.
    pub(crate) referred: KeyMap<()>,
    /// How often each currency occurs, for a tenant that has not chosen one.
    pub(crate) currencies: BTreeMap<String, u64>,
    /// How often each file, by its place, has a status that no query of ours knows.
    pub(crate) unknown: BTreeMap<(u64, String), u64>,
    /// What was read otherwise than it is written.
    pub(crate) odd: Oddities,
    folder: PathBuf,
    schema: SchemaRef,
    file: NamedTempFile,
    rows: u32,
    /// Rows that give way to rows that exist.
    keeping: RoaringBitmap,
    writing: Option<Writing>,
    /// Rows that are not the latest of their key, or were withdrawn.
    given_up: RoaringBitmap,
    /// Hash of the key and row of all others, in order.
    keys: Option<File>,
}

/// What a stage had counted when it was marked.
pub(crate) struct Mark {
    rows: u32,
    tally: Tally,
    currencies: BTreeMap<String, u64>,
    unknown: BTreeMap<(u64, String), u64>,
    odd: Oddities,
}

/// What is open until all rows have come.
struct Writing {
    rows: StreamWriter<BufWriter<File>>,
    /// The two halves of the key, row, `updated_at`, order.
    keys: Sorter<5>,
}

/// Some rows as they were put aside.
pub(crate) struct Piece<'a> {
    stage: &'a Stage,
    /// The number of the first row.
    pub(crate) first: u32,
    pub(crate) rows: RecordBatch,
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
    /// An empty stage with its files in `folder`.
    pub(crate) fn new(def: &'static TableDef, folder: &Path) -> Result<Self, IngestError> {
        let file = NamedTempFile::new_in(folder).map_err(staging)?;
        let out = BufWriter::with_capacity(1 << 20, file.reopen().map_err(staging)?);
        let mut fields = staged_schema(def).fields().to_vec();
        fields.push(Arc::new(Field::new(ORDER, DataType::UInt64, false)));
        let schema = Arc::new(Schema::new(fields));
        let failed = IngestError::rows(def.name, "put aside");
        let compressed = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .map_err(&failed)?;
        let rows = StreamWriter::try_new_with_options(out, &schema, compressed).map_err(failed)?;
        let keys = Sorter::new(folder);
        Ok(Self {
            def,
            tally: Tally::default(),
            referred: KeyMap::default(),
            currencies: BTreeMap::new(),
            unknown: BTreeMap::new(),
            odd: Oddities::default(),
            folder: folder.to_owned(),
            schema,
            file,
            rows: 0,
            keeping: RoaringBitmap::new(),
            writing: Some(Writing { rows, keys }),
            given_up: RoaringBitmap::new(),
            keys: None,
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
        let failed = IngestError::rows(self.def.name, "put aside");
        let keys = keys_of(self.def, batch)?;
        let updated = updated_of(batch);
        let orders: UInt64Array = (0..batch.num_rows()).map(&order).collect();
        self.count_currencies(batch);
        self.count_unknown(batch, &orders);
        self.note_referred(batch);
        let writing = self.writing.as_mut();
        let writing = writing.expect("rows are added before they are read");
        let first = self.rows;
        for (row, key) in keys.into_iter().enumerate() {
            let record = [
                hash_of(key),
                (key >> 64) as u64,
                u64::from(self.rows),
                updated(row).cast_unsigned(),
                orders.value(row),
            ];
            writing.keys.push(record).map_err(staging)?;
            let too_many = IngestError::TooManyRows {
                table: self.def.name,
                limit: u32::MAX,
            };
            self.rows = self.rows.checked_add(1).ok_or(too_many)?;
        }
        if keep {
            self.keeping.insert_range(first..self.rows);
        }
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(orders));
        let staged = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(&failed)?;
        writing.rows.write(&staged).map_err(&failed)
    }

    fn note_referred(&mut self, batch: &RecordBatch) {
        if !self.def.is_personal_fact() {
            return;
        }
        let mut buffer = Vec::new();
        let providers = batch["provider"].as_string::<i32>();
        for (provider, record) in providers.iter().zip(records(self.def, batch)) {
            if let (Some(provider), Some(record)) = (provider, record) {
                let key = key_of([provider, record], &mut buffer);
                self.referred.insert(key, ());
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

    fn count_unknown(&mut self, batch: &RecordBatch, orders: &UInt64Array) {
        let Some((column, words)) = words::counted(self.def.name) else {
            return;
        };
        let column = batch[column].as_string::<i32>();
        for (word, order) in column.iter().zip(orders.values()) {
            if let Some(word) = word.filter(|word| !words.knows(word)) {
                let place = (file_of(*order), word.to_owned());
                *self.unknown.entry(place).or_default() += 1;
            }
        }
    }

    /// Where the stage stands, to come back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            rows: self.rows,
            tally: self.tally.clone(),
            currencies: self.currencies.clone(),
            unknown: self.unknown.clone(),
            odd: self.odd.clone(),
        }
    }

    /// Withdraws what came since the mark.
    pub(crate) fn withdraw(&mut self, mark: Mark) {
        self.given_up.insert_range(mark.rows..self.rows);
        self.tally = mark.tally;
        self.currencies = mark.currencies;
        self.unknown = mark.unknown;
        self.odd = mark.odd;
    }

    /// Ends the writing, and finds the latest row of each key; rows can be read from now on.
    pub(crate) fn finish(&mut self) -> Result<(), IngestError> {
        let Some(Writing { mut rows, keys }) = self.writing.take() else {
            return Ok(());
        };
        rows.finish()
            .map_err(IngestError::rows(self.def.name, "put aside"))?;
        let mut index = Records::create(&self.folder).map_err(staging)?;
        let mut standing: Option<Candidate> = None;
        let withdrawn = self.given_up.clone();
        for record in keys.sorted().map_err(staging)? {
            let next = Candidate::of(record.map_err(staging)?, &self.keeping);
            if withdrawn.contains(next.row) {
                continue;
            }
            let Some(before) = standing.filter(|before| before.key == next.key) else {
                if let Some(ended) = standing.replace(next) {
                    index.push(ended.entry()).map_err(staging)?;
                }
                continue;
            };
            let given_up = match wins(&next, &before) {
                true => standing.replace(next).unwrap_or(before),
                false => next,
            };
            self.given_up.insert(given_up.row);
            self.tally.at(file_of(given_up.order)).unchanged += 1;
        }
        if let Some(ended) = standing {
            index.push(ended.entry()).map_err(staging)?;
        }
        self.keys = Some(index.finish().map_err(staging)?);
        Ok(())
    }

    /// Hash of the key and row of all rows that stand, in order, `most` at a time.
    pub(crate) fn keys(
        &self,
        most: usize,
    ) -> Result<impl Iterator<Item = Result<Vec<[u64; 2]>, IngestError>> + use<>, IngestError> {
        let mut records = None;
        if let Some(file) = &self.keys {
            let mut file = file.try_clone().map_err(staging)?;
            file.seek(SeekFrom::Start(0)).map_err(staging)?;
            records = Some(Records::<BufReader<File>>::new(file));
        }
        Ok(std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            while chunk.len() < most {
                match records.as_mut()?.read().map_err(staging) {
                    Ok(Some(entry)) => chunk.push(entry),
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            (!chunk.is_empty()).then_some(Ok(chunk))
        }))
    }

    /// The rows in the order in which they were added.
    pub(crate) fn pieces(
        &self,
    ) -> Result<impl Iterator<Item = Result<Piece<'_>, IngestError>>, IngestError> {
        let failed = IngestError::rows(self.def.name, "read back");
        let opened = self.file.reopen().map_err(staging)?;
        let reader = StreamReader::try_new_buffered(opened, None).map_err(&failed)?;
        let mut next = 0;
        Ok(reader.map(move |batch| {
            let rows = batch.map_err(&failed)?;
            let first = next;
            next += u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
            Ok(Piece {
                stage: self,
                first,
                rows,
            })
        }))
    }
}

impl Piece<'_> {
    /// What the rows say of themselves that stand; `None` for those that a later one replaces.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Option<Slot>> {
        let updated = updated_of(&self.rows);
        let orders = self.rows[ORDER].as_primitive::<UInt64Type>();
        let deleted = self.rows.column_by_name(DELETED);
        let deleted = deleted.map(|column| column.as_boolean());
        (0..self.rows.num_rows())
            .zip(self.first..)
            .map(move |(row, number)| {
                (!self.stage.given_up.contains(number)).then(|| Slot {
                    keep: self.stage.keeping.contains(number),
                    deleted: deleted.is_some_and(|d| d.is_valid(row) && d.value(row)),
                    updated: updated(row),
                    order: orders.value(row),
                })
            })
    }
}

/// A row that may be the latest of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    key: [u64; 2],
    row: u32,
    keep: bool,
    updated: i64,
    order: u64,
}

impl Candidate {
    fn of([low, high, row, updated, order]: [u64; 5], keeping: &RoaringBitmap) -> Self {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        Self {
            key: [low, high],
            row,
            keep: keeping.contains(row),
            updated: updated.cast_signed(),
            order,
        }
    }

    /// As the index of keys has it.
    fn entry(&self) -> [u64; 2] {
        [self.key[0], u64::from(self.row)]
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
fn wins(new: &Candidate, standing: &Candidate) -> bool {
    match (new.keep, standing.keep) {
        (true, false) => false,
        (false, true) => true,
        (true, true) => new.order < standing.order,
        (false, false) => (new.updated, new.order) > (standing.updated, standing.order),
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, wins};

    fn row(keep: bool, updated: i64, order: u64) -> Candidate {
        Candidate {
            key: [0; 2],
            row: 0,
            keep,
            updated,
            order,
        }
    }

    #[test]
    fn which_row_of_a_key_stands_does_not_depend_on_arrival() {
        let rows = [
            row(false, 5, 1),
            row(false, 3, 9),
            row(false, 5, 2),
            row(true, 9, 0),
            row(true, 9, 7),
        ];
        for a in &rows {
            for b in rows.iter().filter(|b| *b != a) {
                assert_ne!(wins(a, b), wins(b, a), "{a:?} and {b:?}");
            }
        }
        assert!(wins(&rows[2], &rows[0]) && wins(&rows[0], &rows[1]));
        assert!(wins(&rows[1], &rows[3]));
    }
}
