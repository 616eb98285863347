//! Check: every object of every retained snapshot exists, is intact and in order, and each key occurs
//! once.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::row::{OwnedRow, RowConverter, SortField};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use rollbook_model::{SnapshotNumber, TableDef, tables};
use serde::Serialize;

use crate::LakeError;
use crate::lake::Lake;
use crate::secrets;
use crate::state::delta_log;
use crate::state::{DataFile, State};
use crate::table::key_index;
use crate::table::writer::{measure, times_of};
use crate::vault;

/// A defect of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The snapshot that has the defect, where it is one of a snapshot.
    pub snapshot: Option<SnapshotNumber>,
    /// The object, relative to the tenant's folder.
    pub object: String,
    /// What is wrong.
    pub problem: String,
}

/// What a check read, and the problems that it found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Snapshots.
    pub snapshots: u64,
    /// Data files and other objects.
    pub objects: u64,
    /// Rows of the data files.
    pub rows: u64,
    /// Bytes of the data files.
    pub bytes: u64,
    /// The problems; empty for an intact lake.
    pub problems: Vec<Problem>,
}

/// The change of a table's files from one retained snapshot to the next.
struct Step {
    number: SnapshotNumber,
    def: &'static TableDef,
    adds: Vec<DataFile>,
    removes: Vec<String>,
}

/// The keys of one table at the snapshot that is being checked.
#[derive(Default)]
struct Keys {
    by_file: HashMap<String, Vec<u128>>,
    count: HashMap<u128, u32>,
    /// Keys that occur more than once.
    duplicates: u64,
}

impl Lake {
    /// Checks every retained snapshot: its data files exist and have the recorded size, checksum and
    /// number of rows; rows are in order; no key occurs twice; the Delta logs equal the commits; the
    /// objects of the vaults and all other referenced objects exist; secrets can be decrypted, if the
    /// master key is there.
    ///
    /// Defects of files are reported, not returned as errors.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: a snapshot's record, a named snapshot or a manifest of personal values
    ///   cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in one of these leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be listed or read.
    pub async fn check(&self) -> Result<CheckReport, LakeError> {
        let mut checked = CheckReport::default();
        let (mut steps, mut before) = (Vec::new(), State::default());
        let mut objects = HashSet::new();
        self.each_retained(SnapshotNumber(0), |state| {
            checked.snapshots += 1;
            steps.extend(steps_between(&before, state));
            objects.extend(state.objects());
            before = state.clone();
            Ok(())
        })
        .await?;
        let mut keys: BTreeMap<&str, Keys> = BTreeMap::new();
        for step in steps {
            let keys = keys.entry(step.def.name).or_default();
            self.check_step(step, keys, &mut checked).await?;
        }
        for object in objects {
            self.check_object(&object, &mut checked).await?;
        }
        for object in vault::current_objects(self).await? {
            self.check_object(&object, &mut checked).await?;
        }
        for name in self.secret_names().await? {
            checked.objects += 1;
            if let Some(problem) = self.defect_of_secret(&name).await? {
                checked.note(None, secrets::below(&name), problem);
            }
        }
        for record in self.records().await? {
            for (table, entry) in &record.tables {
                let object = delta_log::log_path(table, entry.version);
                let found = self.store().get(&self.path(&object)).await?;
                let problem = match found {
                    Some(bytes) if bytes == entry.log.as_bytes() => continue,
                    Some(_) => "differs from the snapshot: another program wrote it",
                    None => "is missing: opening the lake writes it again",
                };
                checked.note(Some(record.number), object, problem.to_owned());
            }
        }
        Ok(checked)
    }

    async fn check_object(&self, object: &str, checked: &mut CheckReport) -> Result<(), LakeError> {
        checked.objects += 1;
        if self.store().get_size(&self.path(object)).await?.is_none() {
            checked.note(None, object.to_owned(), "is missing".to_owned());
        }
        Ok(())
    }

    /// Checks the files that a step adds, and the keys of its table after it.
    async fn check_step(
        &self,
        step: Step,
        keys: &mut Keys,
        checked: &mut CheckReport,
    ) -> Result<(), LakeError> {
        for path in &step.removes {
            keys.remove(path);
        }
        for file in step.adds {
            if !keys.by_file.contains_key(&file.path) {
                let object = format!("{}/{}", step.def.name, file.path);
                let found = match self.store().open(&self.path(&object)).await {
                    Ok(opened) => inspect(step.def, &file, opened, checked),
                    Err(error) => Err(format!("cannot be opened: {error}")),
                };
                if let Ok(keys) = &found
                    && !key_index::matches(self, step.def, &file, keys).await?
                {
                    let problem = "its key index differs from its rows: remove the `.keys` file";
                    checked.note(Some(step.number), object.clone(), problem.to_owned());
                }
                match found {
                    Ok(found) => drop(keys.by_file.insert(file.path.clone(), found)),
                    Err(problem) => checked.note(Some(step.number), object, problem),
                }
            }
            keys.add(&file.path);
        }
        if keys.duplicates > 0 {
            let problem = format!("has {} duplicate keys", keys.duplicates);
            checked.note(Some(step.number), step.def.name.to_owned(), problem);
        }
        Ok(())
    }
}

impl CheckReport {
    fn note(&mut self, snapshot: Option<SnapshotNumber>, object: String, problem: String) {
        let found = Problem {
            snapshot,
            object,
            problem,
        };
        self.problems.push(found);
    }
}

impl Keys {
    fn add(&mut self, path: &str) {
        for key in self.by_file.get(path).into_iter().flatten() {
            let count = self.count.entry(*key).or_default();
            *count += 1;
            self.duplicates += u64::from(*count == 2);
        }
    }

    fn remove(&mut self, path: &str) {
        for key in self.by_file.get(path).into_iter().flatten() {
            if let Some(count) = self.count.get_mut(key) {
                *count -= 1;
                self.duplicates -= u64::from(*count == 1);
                if *count == 0 {
                    self.count.remove(key);
                }
            }
        }
    }
}

fn steps_between(before: &State, after: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    for def in tables::TABLES {
        let (old, new) = (before.table(def.name), after.table(def.name));
        let known: HashSet<&str> = old.files.iter().map(|file| file.path.as_str()).collect();
        let remaining: HashSet<&str> = new.files.iter().map(|file| file.path.as_str()).collect();
        let adds: Vec<DataFile> = new
            .files
            .iter()
            .filter(|file| !known.contains(file.path.as_str()))
            .cloned()
            .collect();
        let removed = old
            .files
            .iter()
            .filter(|f| !remaining.contains(f.path.as_str()));
        let removes: Vec<String> = removed.map(|file| file.path.clone()).collect();
        if !adds.is_empty() || !removes.is_empty() {
            let number = after.number;
            steps.push(Step {
                number,
                def,
                adds,
                removes,
            });
        }
    }
    steps
}

/// The keys of a file's rows, or the problem of the file.
fn inspect(
    def: &'static TableDef,
    file: &DataFile,
    opened: std::fs::File,
    checked: &mut CheckReport,
) -> Result<Vec<u128>, String> {
    let text = |error: &dyn std::fmt::Display| format!("cannot be read: {error}");
    let (size, checksum) = measure(&opened).map_err(|error| text(&error))?;
    if size != file.size {
        return Err(format!("has {size} bytes, {} were recorded", file.size));
    }
    if !file.checksum.is_empty() && checksum != file.checksum {
        return Err(format!(
            "has the checksum {checksum}, {} was recorded: its bytes have changed",
            file.checksum
        ));
    }
    checked.objects += 1;
    checked.rows += file.rows;
    checked.bytes += size;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|e| text(&e))?;
    let rows = builder.metadata().file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        return Err(format!("has {rows} rows, {} were recorded", file.rows));
    }
    let mut columns = def.sort_columns();
    columns.extend(def.time);
    columns.extend(key_index::indexed_columns(def));
    let indices = columns
        .iter()
        .filter_map(|name| builder.schema().index_of(name).ok());
    let mask = parquet::arrow::ProjectionMask::roots(builder.parquet_schema(), indices);
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|error| text(&error))?;
    ordered_keys(def, file, reader)
}

fn ordered_keys(
    def: &'static TableDef,
    file: &DataFile,
    reader: ParquetRecordBatchReader,
) -> Result<Vec<u128>, String> {
    let sort = def.sort_columns();
    let fields = sort.iter().filter_map(|name| def.column(name));
    let fields = fields.map(|column| SortField::new(column.ty.arrow()));
    let converter = RowConverter::new(fields.collect()).map_err(|error| error.to_string())?;
    let mut keys = Vec::new();
    let mut last: Option<OwnedRow> = None;
    for batch in reader {
        let batch = batch.map_err(|error| format!("cannot be read: {error}"))?;
        let columns: Vec<_> = sort.iter().map(|name| batch[*name].clone()).collect();
        let rows = converter
            .convert_columns(&columns)
            .map_err(|e| e.to_string())?;
        for row in &rows {
            if last.as_ref().is_some_and(|last| last.row() > row) {
                return Err(format!("is not in order of {}", sort.join(", ")));
            }
            last = Some(row.owned());
        }
        keys.extend(key_index::keys_of(def, &batch).ok_or("has rows without a key")?);
        if let (Some([first, last]), Some([from, to])) = (file.times, times_of(def, &batch))
            && (from < first || to > last)
        {
            return Err("holds rows outside of the times recorded for it".to_owned());
        }
        if let (Some(persons), Some(first), Some(end)) = (
            batch
                .column_by_name("person_id")
                .filter(|_| def.is_personal_fact()),
            file.min_person,
            file.max_person,
        ) {
            let mut persons = persons.as_primitive::<Int64Type>().values().iter();
            if !persons.all(|person| (first..=end).contains(person)) {
                return Err(format!("holds persons outside of {first} to {end}"));
            }
        }
    }
    Ok(keys)
}
