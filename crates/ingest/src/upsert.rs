//! Comparing the staged rows of one table with those of the lake, and writing the difference.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use roaring::{RoaringBitmap, RoaringTreemap};
use rollbook_lake::keys::{hash_of, look_up};
use rollbook_lake::scan::{read_file, read_rows};
use rollbook_lake::vault::Vault;
use rollbook_lake::write::TableWriter;
use rollbook_lake::{DataFile, Lake, TableChange, TableState};
use rollbook_model::config::Limits;
use rollbook_model::{Shape, TableDef};

use crate::IngestError;
use crate::fingerprint::Encoder;
use crate::identify::KeyMap;
use crate::people::People;
use crate::sorted::SortedWriter;
use crate::stage::{Slot, Stage, UNKNOWN, file_of, keys_of, updated_of};
use crate::tally::Tally;

/// What became of one table's rows.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) change: TableChange,
    /// Persons whose rows changed, before or after.
    pub(crate) touched: RoaringTreemap,
    /// Personal values to keep, in the vault's schema.
    pub(crate) personal: Vec<RecordBatch>,
    /// Keys of personal values to forget.
    pub(crate) forgotten: Vec<RecordBatch>,
    /// Of records of persons that changed, when the source last changed them.
    pub(crate) seen: HashMap<i64, i64>,
}

/// One table of one run.
pub(crate) struct Upsert<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) def: &'static TableDef,
    pub(crate) table: TableState,
    /// The run's rows; `None` where only links change.
    pub(crate) stage: Option<&'a Stage>,
    pub(crate) people: &'a People,
    /// Keys of rows that are to go, staged or not.
    pub(crate) settled: &'a KeyMap<()>,
    pub(crate) limits: Limits,
    /// Count, and write nothing.
    pub(crate) rehearsal: bool,
}

/// Where a row of the lake stands, and what it says.
#[derive(Debug, Clone, Copy)]
struct Existing {
    file: usize,
    row: u32,
    stored: u64,
    personal: u64,
    /// When the source last changed it; the smallest number where that is not known.
    updated: i64,
}

impl Existing {
    /// Whether a staged row is an older version than this one. Where one of the two does not say
    /// when it was changed, the later to arrive holds.
    fn is_newer_than(&self, slot: &Slot) -> bool {
        slot.updated != UNKNOWN && slot.updated < self.updated
    }
}

impl Upsert<'_> {
    pub(crate) async fn run(self) -> Result<Outcome, IngestError> {
        let mut outcome = Outcome::default();
        if let Some(stage) = self.stage {
            outcome.tally = stage.tally.clone();
        }
        let mut gone = vec![RoaringBitmap::new(); self.table.files.len()];
        let mut moved = gone.clone();
        let existing = self.existing(&mut gone, &mut moved).await?;
        let sorter =
            (!self.rehearsal).then(|| SortedWriter::start(self.lake, self.def, self.limits));
        if let Some(stage) = self.stage {
            self.compare(stage, &existing, sorter.as_ref(), &mut gone, &mut outcome)
                .await?;
        }
        let Some(sorter) = sorter else {
            return Ok(outcome);
        };
        self.rewrite(&gone, &moved, &sorter, &mut outcome).await?;
        outcome.change.adds.extend(sorter.finish().await?);
        Ok(outcome)
    }

    /// The rows of the lake that have a staged key; those that are to go, and those whose person
    /// becomes known, are marked by file and row.
    async fn existing(
        &self,
        gone: &mut [RoaringBitmap],
        moved: &mut [RoaringBitmap],
    ) -> Result<KeyMap<Existing>, IngestError> {
        let mut existing = KeyMap::default();
        let staged = self.stage.into_iter().flat_map(|stage| stage.keys.keys());
        let mut wanted: Vec<u64> = staged
            .chain(self.settled.keys())
            .map(|key| hash_of(*key))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for (at, file) in self.table.files.iter().enumerate() {
            if !wanted.is_empty() {
                let rows = self.candidates(file, &wanted).await?;
                self.fingerprint(at, &rows, gone, &mut existing).await?;
            }
            let may_move = !self.people.linked.is_empty()
                && self.def.column("identity_id").is_some()
                && file.min_person == Some(0);
            if may_move {
                self.mark_moved(file, &mut moved[at]).await?;
            }
        }
        if self.def.has_personal() && !existing.is_empty() {
            self.add_personal(&mut existing).await?;
        }
        Ok(existing)
    }

    /// The rows of a file that may have one of the wanted keys, in order.
    async fn candidates(&self, file: &DataFile, wanted: &[u64]) -> Result<Vec<u32>, IngestError> {
        if let Some(found) = look_up(self.lake, self.def, file, wanted).await? {
            let mut rows: Vec<u32> = found.into_iter().map(|(row, _)| row).collect();
            rows.dedup();
            return Ok(rows);
        }
        let (mut rows, mut row) = (Vec::new(), 0_u32);
        let columns = self.def.key_columns();
        for batch in read_file(self.lake, self.def, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
            for key in keys_of(self.def, &batch)? {
                if wanted.binary_search(&hash_of(key)).is_ok() {
                    rows.push(row);
                }
                row += 1;
            }
        }
        Ok(rows)
    }

    /// Marks rows without a person whose identity has one now. They stand before all others.
    async fn mark_moved(
        &self,
        file: &DataFile,
        moved: &mut RoaringBitmap,
    ) -> Result<(), IngestError> {
        let columns = ["person_id", "identity_id"];
        let mut row = 0_u32;
        for batch in read_file(self.lake, self.def, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
            let persons = batch["person_id"].as_primitive::<Int64Type>();
            let identities = batch["identity_id"].as_primitive::<Int64Type>();
            for (person, identity) in persons.values().iter().zip(identities.values()) {
                if *person != 0 {
                    return Ok(());
                }
                if self.people.linked.contains_key(identity) {
                    moved.insert(row);
                }
                row += 1;
            }
        }
        Ok(())
    }

    /// Reads the rows that may have a staged key, and notes what those say that have one; rows
    /// that are settled are to go.
    async fn fingerprint(
        &self,
        at: usize,
        rows: &[u32],
        gone: &mut [RoaringBitmap],
        existing: &mut KeyMap<Existing>,
    ) -> Result<(), IngestError> {
        if rows.is_empty() {
            return Ok(());
        }
        let stored = Encoder::stored(self.def)?;
        let vault_key = self
            .def
            .has_personal()
            .then(|| Encoder::vault_key(self.def))
            .transpose()?;
        let mut numbers = rows.iter();
        let file = &self.table.files[at];
        for batch in read_rows(self.lake, self.def, file, rows, None).await? {
            let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
            let hashes = stored.hashes(&batch)?;
            let updated = updated_of(&batch);
            // Until the vault has been read, `personal` holds the low half of the vault's key.
            let personal = vault_key
                .as_ref()
                .map(|encoder| encoder.keys(&batch))
                .transpose()?;
            for (place, (key, row)) in keys_of(self.def, &batch)?
                .iter()
                .zip(&mut numbers)
                .enumerate()
            {
                if self.settled.contains_key(key) {
                    gone[at].insert(*row);
                } else if self.stage.is_some_and(|stage| stage.keys.contains_key(key)) {
                    let found = Existing {
                        file: at,
                        row: *row,
                        stored: hashes[place],
                        personal: personal.as_ref().map_or(0, |keys| keys[place] as u64),
                        updated: updated(place),
                    };
                    existing.insert(*key, found);
                }
            }
        }
        Ok(())
    }

    /// Replaces each row's vault key by the hash of what the vault holds under it.
    async fn add_personal(&self, existing: &mut KeyMap<Existing>) -> Result<(), IngestError> {
        let (personal, vault_key) = (Encoder::personal(self.def)?, Encoder::vault_key(self.def)?);
        let mut held: HashMap<u64, u64> = HashMap::new();
        for batch in Vault::new(self.lake, self.def).batches().await? {
            let batch = batch?;
            let keys = vault_key.keys(&batch)?;
            held.extend(
                keys.iter()
                    .map(|key| *key as u64)
                    .zip(personal.hashes(&batch)?),
            );
        }
        for row in existing.values_mut() {
            row.personal = held.get(&row.personal).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// Sorts staged rows into new, changed and unchanged ones, and sends on what is to be written.
    async fn compare(
        &self,
        stage: &Stage,
        existing: &KeyMap<Existing>,
        sorter: Option<&SortedWriter>,
        gone: &mut [RoaringBitmap],
        outcome: &mut Outcome,
    ) -> Result<(), IngestError> {
        let stored = Encoder::stored(self.def)?;
        let personal = Encoder::personal(self.def)?;
        for batch in stage.batches()? {
            let (first, staged) = batch?;
            let keys = keys_of(self.def, &staged)?;
            let full = self.full(stage, &staged)?;
            let any_known = keys.iter().any(|key| existing.contains_key(key));
            let hashes = any_known.then(|| stored.hashes(&full)).transpose()?;
            let secrets = (any_known && self.def.has_personal())
                .then(|| personal.hashes(&full))
                .transpose()?;
            let mut wanted = Vec::with_capacity(keys.len());
            let mut retired = Vec::with_capacity(keys.len());
            for (row, key) in keys.iter().enumerate() {
                let slot = stage
                    .keys
                    .get(key)
                    .filter(|slot| slot.row as usize == first as usize + row);
                let same = |before: &Existing| {
                    hashes
                        .as_ref()
                        .is_some_and(|hashes| hashes[row] == before.stored)
                        && secrets.as_ref().is_none_or(|s| s[row] == before.personal)
                };
                let (write, retire) = match (slot, existing.get(key)) {
                    (None, _) => (false, false),
                    (Some(slot), Some(before)) if before.is_newer_than(slot) => (false, false),
                    (Some(slot), before) if slot.deleted => (false, before.is_some()),
                    (Some(_), None) => (true, false),
                    (Some(slot), Some(before)) => (!slot.keep && !same(before), false),
                };
                if let Some(before) = existing.get(key).filter(|_| write || retire) {
                    gone[before.file].insert(before.row);
                }
                if let Some(slot) = slot {
                    let counts = outcome.tally.at(file_of(slot.order));
                    match write || retire {
                        true => counts.accepted += 1,
                        false => counts.unchanged += 1,
                    }
                }
                wanted.push(write);
                retired.push(retire);
            }
            self.keep_personal(&full, &wanted, &retired, outcome)?;
            if let Some(sorter) = sorter {
                let rows = filter(&full, &wanted, self.def)?;
                self.note_seen(&rows, &mut outcome.seen);
                self.touch(&rows, &mut outcome.touched);
                sorter.send(self.stored(&rows)?).await;
            }
        }
        Ok(())
    }

    /// Copies files without the rows that go; rows that move are sent on with their person.
    async fn rewrite(
        &self,
        gone: &[RoaringBitmap],
        moved: &[RoaringBitmap],
        sorter: &SortedWriter,
        outcome: &mut Outcome,
    ) -> Result<(), IngestError> {
        for (at, file) in self.table.files.iter().enumerate() {
            let leaving = &gone[at] | &moved[at];
            if leaving.is_empty() {
                continue;
            }
            let mut writer = TableWriter::new(self.lake, self.def);
            let mut begin = 0_u32;
            for batch in read_file(self.lake, self.def, file, None).await? {
                let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
                let rows = begin..begin + u32::try_from(batch.num_rows()).unwrap_or(0);
                begin = rows.end;
                let stays: Vec<bool> = rows.clone().map(|row| !leaving.contains(row)).collect();
                let goes: Vec<bool> = stays.iter().map(|stays| !stays).collect();
                self.touch(&filter(&batch, &goes, self.def)?, &mut outcome.touched);
                writer.write(&filter(&batch, &stays, self.def)?).await?;
                let moves: Vec<bool> = rows
                    .map(|row| moved[at].contains(row) && !gone[at].contains(row))
                    .collect();
                if moves.contains(&true) {
                    let moving = self.linked(&filter(&batch, &moves, self.def)?)?;
                    self.touch(&moving, &mut outcome.touched);
                    sorter.send(moving).await;
                }
            }
            outcome.change.removes.push(file.clone());
            outcome.change.adds.extend(writer.finish().await?);
        }
        Ok(())
    }

    /// Rows with the persons that their identities have now.
    fn linked(&self, rows: &RecordBatch) -> Result<RecordBatch, IngestError> {
        let identities = rows["identity_id"].as_primitive::<Int64Type>();
        let person = |identity: &i64| self.people.linked.get(identity).copied().unwrap_or(0);
        let persons: Int64Array = identities.values().iter().map(person).collect();
        let index = rows.schema().index_of("person_id").unwrap_or(0);
        let mut columns = rows.columns().to_vec();
        columns[index] = std::sync::Arc::new(persons);
        RecordBatch::try_new(rows.schema(), columns)
            .map_err(IngestError::rows(self.def.name, "linked"))
    }

    /// Staged rows with identity and person: the table's full schema.
    fn full(&self, stage: &Stage, staged: &RecordBatch) -> Result<RecordBatch, IngestError> {
        let ids = self
            .def
            .is_personal_fact()
            .then(|| self.people.of_rows(stage, staged));
        let schema = self.def.full_schema();
        let columns = schema
            .fields()
            .iter()
            .map(|field| match (field.name().as_str(), &ids) {
                ("identity_id", Some((identities, _))) => ArrayRef::clone(identities),
                ("person_id", Some((_, persons))) => ArrayRef::clone(persons),
                (name, _) => ArrayRef::clone(&staged[name]),
            });
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns)
            .map_err(IngestError::rows(self.def.name, "put together"))
    }

    fn stored(&self, full: &RecordBatch) -> Result<RecordBatch, IngestError> {
        self.project(full, self.def.stored_schema())
    }

    fn project(
        &self,
        full: &RecordBatch,
        schema: arrow::datatypes::SchemaRef,
    ) -> Result<RecordBatch, IngestError> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| ArrayRef::clone(&full[field.name().as_str()]));
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns)
            .map_err(IngestError::rows(self.def.name, "put together"))
    }

    fn keep_personal(
        &self,
        full: &RecordBatch,
        wanted: &[bool],
        retired: &[bool],
        outcome: &mut Outcome,
    ) -> Result<(), IngestError> {
        if !self.def.has_personal() || self.rehearsal {
            return Ok(());
        }
        for (rows, kept) in [
            (wanted, &mut outcome.personal),
            (retired, &mut outcome.forgotten),
        ] {
            if rows.contains(&true) {
                let chosen = filter(full, rows, self.def)?;
                kept.push(self.project(&chosen, self.def.vault_schema())?);
            }
        }
        Ok(())
    }

    fn note_seen(&self, rows: &RecordBatch, seen: &mut HashMap<i64, i64>) {
        if self.def.shape != Shape::Person {
            return;
        }
        let identities = rows["identity_id"].as_primitive::<Int64Type>();
        let updated = rows["updated_at"].as_primitive::<TimestampMicrosecondType>();
        for (identity, updated) in identities.values().iter().zip(updated) {
            seen.extend(updated.map(|updated| (*identity, updated)));
        }
    }

    fn touch(&self, rows: &RecordBatch, touched: &mut RoaringTreemap) {
        if let Some(persons) = rows
            .column_by_name("person_id")
            .filter(|_| self.def.is_personal_fact())
        {
            let persons = persons.as_primitive::<Int64Type>().values().iter();
            touched.extend(
                persons
                    .filter(|person| **person > 0)
                    .map(|person| person.unsigned_abs()),
            );
        }
    }
}

fn filter(
    batch: &RecordBatch,
    rows: &[bool],
    def: &'static TableDef,
) -> Result<RecordBatch, IngestError> {
    let mask = BooleanArray::from(rows.to_vec());
    filter_record_batch(batch, &mask).map_err(IngestError::rows(def.name, "filtered"))
}
