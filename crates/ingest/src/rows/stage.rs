//! The staged rows of one table: in a temporary file until the run is compared with the lake, with one
//! winning row per key.
//!
//! Keys are on disk too, in order of their hashes, as lookups in the key index need them. Memory holds
//! only the numbers of the rows that another row of their key supersedes.

use std::collections::{BTreeMap, HashMap};
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
use rollbook_lake::table::key_index::{hash_of, key_of};
use rollbook_model::TableDef;
use tempfile::NamedTempFile;

use crate::IngestError;
use crate::error::staging;
use crate::rows::canonical::{DELETED, records, staged_schema, status_words};
use crate::rows::file_counts::FileCounts;
use crate::rows::identity::{Identity, KeyMap};
use crate::rows::missing_columns::ColumnSet;
use crate::rows::sort::{Records, Sorter};
use crate::rows::value_warnings::ValueWarnings;

mod versions;

pub(crate) use versions::{Donor, KeyEntry};
use versions::{RowCandidate, by_precedence, packed, unpacked};

/// The column of a staged row's position among all rows of the run.
const ORDER: &str = "_order";

/// Version metadata of the winning row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowVersion {
    /// Whether an existing row in the lake is kept instead of this one.
    pub(crate) keep_existing: bool,
    /// Whether it deletes the key.
    pub(crate) deleted: bool,
    /// `updated_at` of the row in microseconds since 1970; [`UNKNOWN`] where it has none.
    pub(crate) updated: i64,
    /// Mapping, file and line as one number ([`place_of`]).
    pub(crate) order: u64,
}

/// The rows of one table in one run.
pub(crate) struct Stage {
    pub(crate) def: &'static TableDef,
    pub(crate) file_counts: FileCounts,
    /// The records of persons that the rows refer to.
    pub(crate) referred: KeyMap<()>,
    /// The number of rows of each currency, for a tenant without a chosen one.
    pub(crate) currencies: BTreeMap<String, u64>,
    /// Rows with an unknown status, by file and status.
    pub(crate) unknown: BTreeMap<(u64, String), u64>,
    /// Warnings about values.
    pub(crate) odd: ValueWarnings,
    folder: PathBuf,
    schema: SchemaRef,
    file: NamedTempFile,
    rows: u32,
    /// Rows that do not replace rows of the lake.
    keep_existing_rows: RoaringBitmap,
    writing: Option<Writing>,
    /// Rows that another row of their key supersedes, or that were rolled back.
    superseded: RoaringBitmap,
    /// Hash of the key and row number of all other rows, in order.
    keys: Option<File>,
    /// Distinct sets of columns that rows do not have; the first is empty.
    absent: Vec<ColumnSet>,
    absent_numbers: HashMap<ColumnSet, usize>,
    /// Donors, in order of their rows.
    donors: Option<File>,
    /// Winning rows of keys that an earlier row of the run deleted.
    recreated: RoaringBitmap,
}

/// The state of a stage to roll back to.
pub(crate) struct Savepoint {
    rows: u32,
    file_counts: FileCounts,
    currencies: BTreeMap<String, u64>,
    unknown: BTreeMap<(u64, String), u64>,
    odd: ValueWarnings,
}

/// State that is open until all rows are added.
struct Writing {
    rows: StreamWriter<BufWriter<File>>,
    /// The two halves of the key, row, `updated_at`, order.
    keys: Sorter<5>,
}

/// A batch of staged rows.
pub(crate) struct StagedBatch<'a> {
    stage: &'a Stage,
    /// The number of the first row.
    pub(crate) first: u32,
    pub(crate) rows: RecordBatch,
}

/// The keys of the rows of a batch.
pub(crate) fn keys_of(def: &TableDef, batch: &RecordBatch) -> Result<Vec<u128>, IngestError> {
    rollbook_lake::table::key_index::keys_of(def, batch).ok_or_else(|| IngestError::Rows {
        table: def.name,
        doing: "matched by key",
        detail: format!("`{}` is missing", def.key_columns().join("` or `")),
    })
}

/// `updated` of a row without `updated_at`.
pub(crate) const UNKNOWN: i64 = i64::MIN;

impl RowVersion {
    /// Whether this version replaces the stored version of a record.
    pub(crate) fn replaces(&self, record: &Identity) -> bool {
        match (record.seen, self.updated) {
            (None, _) => true,
            (Some(_), _) if self.keep_existing => false,
            (Some(None), _) | (_, UNKNOWN) => true,
            (Some(Some(seen)), updated) => updated >= seen,
        }
    }
}

/// The time at which the source last changed each row of a batch.
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
        let failed = IngestError::rows(def.name, "staged");
        let compressed = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .map_err(&failed)?;
        let rows = StreamWriter::try_new_with_options(out, &schema, compressed).map_err(failed)?;
        let keys = Sorter::new(folder);
        Ok(Self {
            def,
            file_counts: FileCounts::default(),
            referred: KeyMap::default(),
            currencies: BTreeMap::new(),
            unknown: BTreeMap::new(),
            odd: ValueWarnings::default(),
            folder: folder.to_owned(),
            schema,
            file,
            rows: 0,
            keep_existing_rows: RoaringBitmap::new(),
            writing: Some(Writing { rows, keys }),
            superseded: RoaringBitmap::new(),
            keys: None,
            absent: vec![0],
            absent_numbers: HashMap::from([(0, 0)]),
            donors: None,
            recreated: RoaringBitmap::new(),
        })
    }

    /// Stages rows. `order` gives each row's position among all rows of the run. Of rows with the same key,
    /// the one with the later `updated_at` wins, then the one with the later position; the others count as
    /// unchanged. `absent` gives the columns that the file of each row lacks.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        keep_existing: bool,
        order: impl Fn(usize) -> u64,
        absent: impl Fn(usize) -> ColumnSet,
    ) -> Result<(), IngestError> {
        let failed = IngestError::rows(self.def.name, "staged");
        let keys = keys_of(self.def, batch)?;
        let updated = updated_of(batch);
        let orders: UInt64Array = (0..batch.num_rows()).map(&order).collect();
        self.count_currencies(batch);
        self.count_unknown(batch, &orders);
        self.note_referred(batch);
        let deleted = batch
            .column_by_name(DELETED)
            .map(|column| column.as_boolean());
        let is_deleted = |row: usize| deleted.is_some_and(|d| d.is_valid(row) && d.value(row));
        let mut last = (0, 0);
        let writing = self.writing.as_mut();
        let writing = writing.expect("rows are added before they are read");
        let first = self.rows;
        for (row, key) in keys.into_iter().enumerate() {
            let columns = absent(row);
            if columns != last.0 {
                let number = *self.absent_numbers.entry(columns).or_insert_with(|| {
                    self.absent.push(columns);
                    self.absent.len() - 1
                });
                last = (columns, number);
            }
            let record = [
                hash_of(key),
                (key >> 64) as u64,
                packed(self.rows, last.1, is_deleted(row)),
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
        if keep_existing {
            self.keep_existing_rows.insert_range(first..self.rows);
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
        let Some((column, words)) = status_words::counted(self.def.name) else {
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

    /// The current state, for a later rollback.
    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint {
            rows: self.rows,
            file_counts: self.file_counts.clone(),
            currencies: self.currencies.clone(),
            unknown: self.unknown.clone(),
            odd: self.odd.clone(),
        }
    }

    /// Removes the rows and counts that were added since the savepoint.
    pub(crate) fn roll_back(&mut self, savepoint: Savepoint) {
        self.superseded.insert_range(savepoint.rows..self.rows);
        self.file_counts = savepoint.file_counts;
        self.currencies = savepoint.currencies;
        self.unknown = savepoint.unknown;
        self.odd = savepoint.odd;
    }

    /// Ends writing and determines the winning row of each key; then rows can be read.
    pub(crate) fn finish(&mut self) -> Result<(), IngestError> {
        let Some(Writing { mut rows, keys }) = self.writing.take() else {
            return Ok(());
        };
        rows.finish()
            .map_err(IngestError::rows(self.def.name, "staged"))?;
        let mut index = Records::create(&self.folder).map_err(staging)?;
        let (mut same, mut donors) = (Vec::new(), Sorter::new(&self.folder));
        let withdrawn = self.superseded.clone();
        for record in keys.sorted().map_err(staging)? {
            let next = RowCandidate::of(record.map_err(staging)?, &self.keep_existing_rows);
            if withdrawn.contains(next.row) {
                continue;
            }
            if same
                .first()
                .is_some_and(|before: &RowCandidate| before.key != next.key)
            {
                let winner = self.fold(&mut same, &mut donors)?;
                index.push(winner.entry()).map_err(staging)?;
            }
            same.push(next);
        }
        if !same.is_empty() {
            let winner = self.fold(&mut same, &mut donors)?;
            index.push(winner.entry()).map_err(staging)?;
        }
        let mut donors = donors.sorted().map_err(staging)?.peekable();
        if donors.peek().is_some() {
            let mut kept = Records::create(&self.folder).map_err(staging)?;
            for donor in donors {
                kept.push(donor.map_err(staging)?).map_err(staging)?;
            }
            self.donors = Some(kept.finish().map_err(staging)?);
        }
        self.keys = Some(index.finish().map_err(staging)?);
        Ok(())
    }

    /// The winning row of one key; the others are marked as superseded.
    fn fold(
        &mut self,
        same: &mut Vec<RowCandidate>,
        donors: &mut Sorter<4>,
    ) -> Result<RowCandidate, IngestError> {
        if same.len() > 1 {
            same.sort_unstable_by(by_precedence);
            for superseded in &same[1..] {
                self.superseded.insert(superseded.row);
                self.file_counts.at(file_of(superseded.order)).unchanged += 1;
            }
            self.note_donors(same, donors)?;
        }
        let winner = same[0];
        same.clear();
        Ok(winner)
    }

    /// Notes which superseded rows have columns that the winning row lacks, back to the last deletion of the
    /// key.
    fn note_donors(
        &mut self,
        same: &[RowCandidate],
        donors: &mut Sorter<4>,
    ) -> Result<(), IngestError> {
        let winner = same[0];
        let mut wanted = self.absent(winner.absent);
        if winner.keep_existing || winner.deleted || wanted == 0 {
            return Ok(());
        }
        for (rank, donor) in (0..).zip(same[1..].iter().filter(|donor| !donor.keep_existing)) {
            if donor.deleted {
                self.recreated.insert(winner.row);
                return Ok(());
            }
            let gives = wanted & !self.absent(donor.absent);
            if gives != 0 {
                let (row, updated) = (u64::from(donor.row), donor.updated.cast_unsigned());
                let place = u64::from(winner.row) << 32 | rank;
                donors.push([row, place, gives, updated]).map_err(staging)?;
                wanted &= !gives;
            }
        }
        Ok(())
    }

    /// The number of staged rows.
    pub(crate) fn rows(&self) -> u64 {
        u64::from(self.rows)
    }

    /// The columns that some rows lack; none if all rows have all columns.
    pub(crate) fn absent_anywhere(&self) -> ColumnSet {
        self.absent.iter().fold(0, |all, columns| all | columns)
    }

    /// The set of missing columns with this number.
    pub(crate) fn absent(&self, number: u32) -> ColumnSet {
        self.absent.get(number as usize).copied().unwrap_or(0)
    }

    /// The rows that complete others, in order.
    pub(crate) fn donors(
        &self,
    ) -> Result<impl Iterator<Item = Result<Donor, IngestError>> + use<>, IngestError> {
        let mut records = None;
        if let Some(file) = &self.donors {
            records = Some(Records::<BufReader<File>>::new(from_start(file)?));
        }
        Ok(std::iter::from_fn(move || {
            let next = records.as_mut()?.read().map_err(staging).transpose()?;
            Some(next.map(|[row, place, gives, updated]: [u64; 4]| Donor {
                row: row as u32,
                winner: (place >> 32) as u32,
                rank: place as u32,
                gives,
                updated: updated.cast_signed(),
            }))
        }))
    }

    /// Whether an earlier row of the run deleted the key of this winning row.
    pub(crate) fn is_recreated(&self, row: u32) -> bool {
        self.recreated.contains(row)
    }

    /// Whether this row does not replace the one in the lake.
    pub(crate) fn keeps_existing(&self, row: u32) -> bool {
        self.keep_existing_rows.contains(row)
    }

    /// An empty stage of the same table with the same counts, for the completed winning rows.
    pub(crate) fn emptied(&self) -> Result<Self, IngestError> {
        let mut emptied = Self::new(self.def, &self.folder)?;
        emptied.file_counts = self.file_counts.clone();
        Ok(emptied)
    }

    /// Key hash and number of all winning rows, in order, at most `most` at a time.
    pub(crate) fn keys(
        &self,
        most: usize,
    ) -> Result<impl Iterator<Item = Result<Vec<KeyEntry>, IngestError>> + use<>, IngestError> {
        let mut records = None;
        if let Some(file) = &self.keys {
            records = Some(Records::<BufReader<File>>::new(from_start(file)?));
        }
        Ok(std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            while chunk.len() < most {
                match records.as_mut()?.read().map_err(staging) {
                    Ok(Some([hash, row])) => {
                        let (row, absent, _) = unpacked(row);
                        chunk.push(KeyEntry { hash, row, absent });
                    }
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            (!chunk.is_empty()).then_some(Ok(chunk))
        }))
    }

    /// The rows in the order in which they were added.
    pub(crate) fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<StagedBatch<'_>, IngestError>>, IngestError> {
        let failed = IngestError::rows(self.def.name, "read back");
        let opened = self.file.reopen().map_err(staging)?;
        let reader = StreamReader::try_new_buffered(opened, None).map_err(&failed)?;
        let mut next = 0;
        Ok(reader.map(move |batch| {
            let rows = batch.map_err(&failed)?;
            let first = next;
            next += u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
            Ok(StagedBatch {
                stage: self,
                first,
                rows,
            })
        }))
    }
}

impl StagedBatch<'_> {
    /// The definition of the table.
    pub(crate) fn def(&self) -> &'static TableDef {
        self.stage.def
    }

    /// The version metadata of each row; `None` for superseded rows.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Option<RowVersion>> {
        let updated = updated_of(&self.rows);
        let orders = self.rows[ORDER].as_primitive::<UInt64Type>();
        let deleted = self.rows.column_by_name(DELETED);
        let deleted = deleted.map(|column| column.as_boolean());
        (0..self.rows.num_rows())
            .zip(self.first..)
            .map(move |(row, number)| {
                (!self.stage.superseded.contains(number)).then(|| RowVersion {
                    keep_existing: self.stage.keep_existing_rows.contains(number),
                    deleted: deleted.is_some_and(|d| d.is_valid(row) && d.value(row)),
                    updated: updated(row),
                    order: orders.value(row),
                })
            })
    }
}

fn from_start(file: &File) -> Result<File, IngestError> {
    let mut file = file.try_clone().map_err(staging)?;
    file.seek(SeekFrom::Start(0)).map_err(staging)?;
    Ok(file)
}

/// Mapping, file and line packed into one number that sorts like the three: 8, 20 and 36 bits.
pub(crate) fn place_of(mapping: u64, file: u64, line: i64) -> u64 {
    let line = line.unsigned_abs().min((1 << 36) - 1);
    (mapping.min(255) << 56) | (file.min(MOST_FILES) << 36) | line
}

/// The file in a number packed by [`place_of`].
pub(crate) fn file_of(order: u64) -> u64 {
    (order >> 36) & MOST_FILES
}

/// The maximum number of files of a run that have different numbers.
const MOST_FILES: u64 = (1 << 20) - 1;
