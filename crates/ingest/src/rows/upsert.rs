//! Comparing the staged rows of one table with those of the lake, and writing the difference.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use roaring::{RoaringBitmap, RoaringTreemap};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::vault::Vault;
use rollbook_lake::{DataFile, Lake, TableChange, TableState};
use rollbook_model::config::Limits;
use rollbook_model::{Shape, TableDef, tables};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::rows::existing::{ExistingRow, Lookup};
use crate::rows::file_counts::FileCounts;
use crate::rows::fingerprint::Encoder;
use crate::rows::identities::Identities;
use crate::rows::order_references::{ORDERS, OrderKeys, OrderReferences};
use crate::rows::stage::{Stage, StagedBatch, file_of};
use crate::rows::table_order::SortedWriter;

/// Rows of a table that refer to something that is neither in the lake nor in the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfound {
    /// The table.
    pub table: String,
    /// The kind of thing that they refer to, such as `person`.
    pub names: String,
    /// The number of rows that refer to a missing one.
    pub rows: u64,
    /// The number of rows that refer to any.
    pub of: u64,
}

/// The result for one table.
#[derive(Debug, Default)]
pub(crate) struct UpsertOutcome {
    pub(crate) file_counts: FileCounts,
    pub(crate) change: TableChange,
    /// Persons who have or had one of the changed rows.
    pub(crate) touched: RoaringTreemap,
    /// Keys of personal values to forget.
    pub(crate) forgotten: Vec<RecordBatch>,
    /// The time at which the source last changed each changed record of a person.
    pub(crate) seen: HashMap<i64, i64>,
    /// The staged orders, if this is their table.
    pub(crate) orders: OrderKeys,
    /// Facts of the run that name a person.
    pub(crate) named: u64,
    /// Those of them whose person has no record.
    pub(crate) unfound: u64,
}

impl UpsertOutcome {
    /// Counts of facts whose person has no record; `None` if there are no such facts.
    pub(crate) fn unfound(&self, def: &TableDef) -> Option<Unfound> {
        (self.unfound > 0).then(|| Unfound {
            table: def.name.to_owned(),
            names: "person".to_owned(),
            rows: self.unfound,
            of: self.named,
        })
    }
}

/// One table of one run.
pub(crate) struct Upsert<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) def: &'static TableDef,
    pub(crate) table: TableState,
    /// The run's rows; `None` where only links change.
    pub(crate) stage: Option<&'a Stage>,
    pub(crate) identities: &'a Identities,
    /// The orders that rows may refer to.
    pub(crate) orders: &'a OrderKeys,
    /// Rows of the lake to delete, by file; empty where there are none.
    pub(crate) settled: &'a [RoaringBitmap],
    pub(crate) limits: Limits,
    /// For temporary files.
    pub(crate) folder: &'a Path,
    /// Only count, and write nothing.
    pub(crate) dry_run: bool,
}

impl Upsert<'_> {
    pub(crate) async fn run(self) -> Result<UpsertOutcome, IngestError> {
        let mut outcome = UpsertOutcome::default();
        let sorter = (!self.dry_run).then(|| SortedWriter::start(self.lake, self.def, self.limits));
        let mut gone = self.settled.to_vec();
        gone.resize_with(self.table.files.len(), RoaringBitmap::new);
        if let Some(stage) = self.stage {
            outcome.file_counts = stage.file_counts.clone();
            let compared = self.compare(stage, sorter.as_ref(), &mut gone, &mut outcome);
            compared.await?;
        }
        let Some(sorter) = sorter else {
            return Ok(outcome);
        };
        let moved = self.moved().await?;
        self.rewrite(&gone, &moved, &sorter, &mut outcome).await?;
        outcome.change.adds.extend(sorter.finish().await?);
        Ok(outcome)
    }

    /// The rows without a person whose identity has one now, by file.
    async fn moved(&self) -> Result<Vec<RoaringBitmap>, IngestError> {
        let mut moved = vec![RoaringBitmap::new(); self.table.files.len()];
        if self.identities.linked.is_empty() || self.def.column("identity_id").is_none() {
            return Ok(moved);
        }
        for (file, moved) in self.table.files.iter().zip(&mut moved) {
            if file.min_person == Some(0) {
                self.mark_moved(file, moved).await?;
            }
        }
        Ok(moved)
    }

    /// Marks rows without a person whose identity has one now. They come before all others.
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
                if self.identities.linked.contains_key(identity) {
                    moved.insert(row);
                }
                row += 1;
            }
        }
        Ok(())
    }

    /// Hashes of the personal values of rows that have any, by the low half of the hash of their keys.
    async fn personal(&self) -> Result<HashMap<u64, u64>, IngestError> {
        let mut held = HashMap::new();
        if !self.def.has_personal() {
            return Ok(held);
        }
        let (personal, vault_key) = (Encoder::personal(self.def)?, Encoder::vault_key(self.def)?);
        for batch in Vault::new(self.lake, self.def).sealed().await? {
            let batch = batch?;
            let keys = vault_key.keys(&batch)?.into_iter().map(|key| key as u64);
            let values = keys.zip(personal.hashes(&batch)?);
            let values = values.zip(self.have_personal(&batch));
            held.extend(values.filter_map(|(value, has_any)| has_any.then_some(value)));
        }
        Ok(held)
    }

    /// Whether each row has a personal value; a row without one has no entry in the vault.
    fn have_personal(&self, rows: &RecordBatch) -> Vec<bool> {
        let columns: Vec<_> = self.def.personal_columns().collect();
        let columns: Vec<&ArrayRef> = columns.iter().map(|column| &rows[column.name]).collect();
        (0..rows.num_rows())
            .map(|row| columns.iter().any(|values| values.is_valid(row)))
            .collect()
    }

    /// Hashes of the personal values of the rows at `places` that have any, by their place.
    async fn secrets(
        &self,
        full: &RecordBatch,
        places: &HashMap<usize, ExistingRow>,
        vault: Vault<'_>,
        encoder: &Encoder,
    ) -> Result<HashMap<usize, u64>, IngestError> {
        if !self.def.has_personal() {
            return Ok(HashMap::new());
        }
        // Other rows may have no data key yet, and a dry run creates none.
        let has_any = self.have_personal(full).into_iter().enumerate();
        let wanted: Vec<bool> = has_any
            .map(|(row, has_any)| has_any && places.contains_key(&row))
            .collect();
        let rows = filter(full, &wanted, self.def)?;
        if rows.num_rows() == 0 {
            return Ok(HashMap::new());
        }
        let rows = self.project(&rows, self.def.vault_schema())?;
        let hashes = encoder.hashes(&vault.seal(&rows).await?)?;
        let places = wanted.iter().enumerate();
        let places = places.filter_map(|(row, wanted)| wanted.then_some(row));
        Ok(places.zip(hashes).collect())
    }

    /// Compares staged rows with those of the lake; new and changed ones are sent to the writer.
    async fn compare(
        &self,
        stage: &Stage,
        sorter: Option<&SortedWriter>,
        gone: &mut [RoaringBitmap],
        outcome: &mut UpsertOutcome,
    ) -> Result<(), IngestError> {
        let stored = Encoder::stored(self.def)?;
        let personal = Encoder::personal(self.def)?;
        let lookup = Lookup {
            lake: self.lake,
            def: self.def,
            files: &self.table.files,
            folder: self.folder,
        };
        let mut known = lookup.known(stage).await?;
        let held = match known.is_empty() {
            true => HashMap::new(),
            false => self.personal().await?,
        };
        let vault = Vault::new(self.lake, self.def);
        let mut secret = vault.put();
        let mut named = OrderReferences::by(self.def.name);
        for piece in stage.batches()? {
            let piece = piece?;
            if let Some(named) = &mut named {
                named.note(&piece);
            }
            if self.def.name == ORDERS {
                outcome.orders.note(&piece)?;
            }
            let full = self.full(stage, &piece.rows)?;
            let existing = known.of(&piece)?;
            let any_known = !existing.is_empty();
            let hashes = any_known.then(|| stored.hashes(&full)).transpose()?;
            let secrets = match any_known {
                true => self.secrets(&full, &existing, vault, &personal).await?,
                false => HashMap::new(),
            };
            self.count_unfound(&piece, &full, outcome);
            let mut wanted = Vec::with_capacity(full.num_rows());
            let mut retired = Vec::with_capacity(full.num_rows());
            let mut losing_personal = Vec::with_capacity(full.num_rows());
            for (row, version) in piece.versions().enumerate() {
                let before = existing.get(&row);
                let secret_before = before.and_then(|before| held.get(&before.vault_key));
                let same = |before: &ExistingRow| {
                    let stored = hashes.as_ref().map(|hashes| hashes[row]);
                    stored == Some(before.stored) && secrets.get(&row) == secret_before
                };
                let (write, retire) = match (&version, before) {
                    (None, _) => (false, false),
                    (Some(version), Some(before)) if before.is_newer_than(version) => {
                        (false, false)
                    }
                    (Some(version), before) if version.deleted => (false, before.is_some()),
                    (Some(_), None) => (true, false),
                    (Some(version), Some(before)) => {
                        (!version.keep_existing && !same(before), false)
                    }
                };
                if let Some(before) = before.filter(|_| write || retire) {
                    gone[before.file].insert(before.row);
                }
                if let Some(version) = version {
                    let counts = outcome.file_counts.at(file_of(version.order));
                    match write || retire {
                        true => counts.accepted += 1,
                        false => counts.unchanged += 1,
                    }
                }
                wanted.push(write);
                retired.push(retire);
                losing_personal
                    .push(write && secret_before.is_some() && !secrets.contains_key(&row));
            }
            let Some(sorter) = sorter else {
                continue;
            };
            let rows = filter(&full, &wanted, self.def)?;
            if self.def.has_personal() {
                let secrets = filter(&rows, &self.have_personal(&rows), self.def)?;
                let secrets = self.project(&secrets, self.def.vault_schema())?;
                secret.write(&secrets).await?;
                if losing_personal.contains(&true) {
                    let rows = filter(&full, &losing_personal, self.def)?;
                    secret.forget(&self.project(&rows, self.def.vault_schema())?)?;
                }
                if retired.contains(&true) {
                    let rows = filter(&full, &retired, self.def)?;
                    let keys = self.project(&rows, self.def.vault_schema())?;
                    outcome.forgotten.push(keys);
                }
            }
            self.note_seen(&rows, &mut outcome.seen);
            self.touch(&rows, &mut outcome.touched);
            sorter.send(self.stored(&rows)?).await;
        }
        secret.commit().await?;
        if let (Some(named), Some(def)) = (named, tables::table(ORDERS)) {
            let orders = Lookup {
                lake: self.lake,
                def,
                files: &self.orders.files,
                folder: self.folder,
            };
            let counted = named.count(self.orders, &orders, &mut outcome.file_counts);
            counted.await?;
        }
        Ok(())
    }

    /// Counts facts that refer to a person, and those whose person has no record.
    fn count_unfound(
        &self,
        piece: &StagedBatch<'_>,
        full: &RecordBatch,
        outcome: &mut UpsertOutcome,
    ) {
        if self.def.shape != Shape::Fact {
            return;
        }
        let persons = full["person_id"].as_primitive::<Int64Type>().values();
        let identities = full["identity_id"].as_primitive::<Int64Type>().values();
        let ids = identities.iter().zip(persons.iter());
        for ((identity, person), version) in ids.zip(piece.versions()) {
            if *identity != 0 && version.is_some_and(|version| !version.deleted) {
                outcome.named += 1;
                outcome.unfound += u64::from(*person == 0);
            }
        }
    }

    /// Rewrites files without deleted and replaced rows; rows that get their person are sent to the writer.
    async fn rewrite(
        &self,
        gone: &[RoaringBitmap],
        moved: &[RoaringBitmap],
        sorter: &SortedWriter,
        outcome: &mut UpsertOutcome,
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
        let person = |identity: &i64| self.identities.linked.get(identity).copied().unwrap_or(0);
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
            .then(|| self.identities.of_rows(stage, staged));
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
        RecordBatch::try_new(schema, columns).map_err(IngestError::rows(self.def.name, "assembled"))
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
        RecordBatch::try_new(schema, columns).map_err(IngestError::rows(self.def.name, "assembled"))
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
