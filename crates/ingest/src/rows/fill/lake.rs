//! Values of the lake and its vault for rows that lack columns.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::Int64Type;
use roaring::RoaringTreemap;
use rollbook_lake::table::provider::{columns_with_values, read_file, read_rows};
use rollbook_lake::vault::Vault;
use rollbook_lake::{DataFile, Lake, State};
use rollbook_model::tables::IDENTITIES;

use crate::IngestError;
use crate::error::staging;
use crate::rows::canonical::{PERSON, staged_schema};
use crate::rows::existing::{LOOKED_UP, Lookup};
use crate::rows::fill::known_values::{FillValue, FillValues, LAKE, OWNER, VAULT};
use crate::rows::fingerprint::Encoder;
use crate::rows::missing_columns::{ColumnSet, bit};
use crate::rows::sort::Sorter;
use crate::rows::stage::{KeyEntry, Stage, UNKNOWN, keys_of, updated_of};

/// Looks up the missing values of a stage.
pub(super) struct LakeLookup<'a> {
    pub(super) lake: &'a Lake,
    pub(super) base: &'a State,
    pub(super) stage: &'a Stage,
    pub(super) folder: &'a Path,
}

/// A run with more than one row per so many rows of the lake counts as large.
const MANY: u64 = 64;

/// Rows of one file with the keys of staged rows that lack columns: row, staged row, those columns.
type Matches = Vec<(u32, u32, ColumnSet)>;

/// Lookups that wait until all files are read.
#[derive(Default)]
struct Deferred {
    /// Staged rows by the keys of their personal values.
    personal: HashMap<u64, (u32, ColumnSet)>,
    /// Records whose external ids are wanted.
    owner: RoaringTreemap,
}

/// The columns that staged rows lack, by where their values are stored.
struct MissingValues {
    stored: Vec<(&'static str, ColumnSet)>,
    personal: Vec<(&'static str, ColumnSet)>,
    owner: ColumnSet,
}

impl LakeLookup<'_> {
    /// Adds the values that the lake has; returns the external ids of the persons of those rows.
    pub(super) async fn give(
        &self,
        found: &mut FillValues,
    ) -> Result<HashMap<i64, Box<str>>, IngestError> {
        let (mut wanted, table) = (self.wanted(), self.base.table(self.stage.def.name));
        if table.files.is_empty() {
            return Ok(HashMap::new());
        }
        let has_personal = !wanted.personal.is_empty();
        if has_personal && Vault::new(self.lake, self.stage.def).is_empty().await? {
            wanted.personal.clear();
        }
        let mut with_values = Vec::with_capacity(table.files.len());
        for file in &table.files {
            let names: Vec<&str> = wanted.stored.iter().map(|(name, _)| *name).collect();
            with_values.push(match names.is_empty() {
                true => Vec::new(),
                false => columns_with_values(self.lake, self.stage.def, file, &names).await?,
            });
        }
        let is_stored = with_values.iter().any(|columns| !columns.is_empty());
        if !is_stored && wanted.personal.is_empty() && wanted.owner == 0 {
            return Ok(HashMap::new());
        }
        // Looking up many keys takes longer than finding that no row has such values.
        let mut holders = None;
        if !is_stored && wanted.owner == 0 && self.stage.rows() > table.rows() / MANY {
            let found = self.holders(&wanted).await?;
            if found.is_empty() {
                return Ok(HashMap::new());
            }
            holders = Some(found);
        }
        let mut matches = self
            .matches(&table.files)
            .await?
            .sorted()
            .map_err(staging)?
            .peekable();
        if matches.peek().is_none() {
            return Ok(HashMap::new());
        }
        let holders = match holders {
            Some(found) => found,
            None => self.holders(&wanted).await?,
        };
        let mut later = Deferred::default();
        while let Some(next) = matches.peek() {
            let at = next.as_ref().map_or(0, |[file, ..]| *file);
            let mut of_file = Matches::new();
            while let Some(found) =
                matches.next_if(|next| next.as_ref().map_or(true, |[file, ..]| *file == at))
            {
                let [_, row, staged, absent] = found.map_err(staging)?;
                let absent = self.stage.absent(absent as u32);
                of_file.push((row as u32, staged as u32, absent));
            }
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let stored: Vec<_> = wanted
                .stored
                .iter()
                .filter(|(name, _)| with_values[at].contains(name))
                .copied()
                .collect();
            if stored.is_empty() && holders.is_empty() && wanted.owner == 0 {
                continue;
            }
            let file = &table.files[at];
            let looked = FileLookup {
                wanted: &wanted,
                stored: &stored,
                holders: &holders,
            };
            self.give_rows(file, &of_file, &looked, &mut later, found)
                .await?;
        }
        self.give_personal(&wanted, &later.personal, found).await?;
        self.names(&later.owner).await
    }

    fn wanted(&self) -> MissingValues {
        let def = self.stage.def;
        let all = self.stage.absent_anywhere();
        let schema = staged_schema(def);
        let mut wanted = MissingValues {
            stored: Vec::new(),
            personal: Vec::new(),
            owner: schema.index_of(PERSON).map_or(0, bit) & all,
        };
        for (place, field) in schema.fields().iter().enumerate() {
            let Some(column) = def.column(field.name()).filter(|_| all & bit(place) != 0) else {
                continue;
            };
            match column.personal {
                true => wanted.personal.push((column.name, bit(place))),
                false => wanted.stored.push((column.name, bit(place))),
            }
        }
        wanted
    }

    /// The rows of the lake that may have the keys of incomplete rows.
    async fn matches(&self, files: &[DataFile]) -> Result<Sorter<4>, IngestError> {
        let lookup = Lookup {
            lake: self.lake,
            def: self.stage.def,
            files,
            folder: self.folder,
        };
        let mut matches = Sorter::new(self.folder);
        let is_wanted = |entry: &KeyEntry| {
            self.stage.absent(entry.absent) != 0
                && !self.stage.is_recreated(entry.row)
                && !self.stage.keeps_existing(entry.row)
        };
        for entries in self.stage.keys(LOOKED_UP)? {
            let mut entries = entries?;
            entries.retain(is_wanted);
            if !entries.is_empty() {
                lookup.look_up(&entries, &mut matches).await?;
            }
        }
        Ok(matches)
    }

    /// The vault keys of rows that have one of the missing personal values.
    async fn holders(&self, wanted: &MissingValues) -> Result<HashSet<u64>, IngestError> {
        let def = self.stage.def;
        let mut holders = HashSet::new();
        if wanted.personal.is_empty() {
            return Ok(holders);
        }
        let vault_key = Encoder::vault_key(def)?;
        let names = wanted.personal.iter().map(|(name, _)| *name);
        let columns: Vec<&str> = def.vault_keys().iter().copied().chain(names).collect();
        for batch in Vault::new(self.lake, def).sealed_columns(&columns).await? {
            let batch = batch?;
            let values: Vec<&ArrayRef> = wanted
                .personal
                .iter()
                .map(|(name, _)| &batch[*name])
                .filter(|values| values.null_count() < values.len())
                .collect();
            if values.is_empty() {
                continue;
            }
            for (row, key) in vault_key.keys(&batch)?.into_iter().enumerate() {
                if values.iter().any(|values| values.is_valid(row)) {
                    holders.insert(key as u64);
                }
            }
        }
        Ok(holders)
    }

    /// Adds the values of rows of a file.
    async fn give_rows(
        &self,
        file: &DataFile,
        matches: &Matches,
        looked: &FileLookup<'_>,
        later: &mut Deferred,
        found: &mut FillValues,
    ) -> Result<(), IngestError> {
        let def = self.stage.def;
        let mut rows: Vec<u32> = matches.iter().map(|(row, ..)| *row).collect();
        rows.dedup();
        let mut columns = def.key_columns();
        columns.extend(looked.stored.iter().map(|(name, _)| *name));
        let own = ["updated_at", "identity_id"].into_iter();
        columns.extend(own.filter(|name| def.column(name).is_some()));
        let vault_key = match looked.holders.is_empty() {
            true => None,
            false => Some(Encoder::vault_key(def)?),
        };
        let (mut numbers, mut matches) = (rows.iter(), matches.iter().peekable());
        for batch in read_rows(self.lake, def, file, &rows, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(def.name, "read"))?;
            let (keys, updated) = (keys_of(def, &batch)?, updated_of(&batch));
            let vault_keys = vault_key.as_ref().map(|encoder| encoder.keys(&batch));
            let vault_keys = vault_keys.transpose()?;
            let identities = batch.column_by_name("identity_id");
            let identities = identities.map(|column| column.as_primitive::<Int64Type>());
            let (mut places, mut given) = (Vec::new(), Vec::new());
            for (place, (key, number)) in keys.iter().zip(&mut numbers).enumerate() {
                let held = values_of(&batch, place, looked.stored);
                while let Some((_, winner, absent)) = matches.next_if(|(row, ..)| row == number) {
                    let value = FillValue {
                        winner: *winner,
                        rank: LAKE,
                        gives: held & absent,
                        updated: updated(place),
                        key: (key >> 64) as u64,
                    };
                    let personal = looked.wanted.personal.iter();
                    let personal = personal.fold(0, |all, (_, column)| all | column) & absent;
                    let vault_key = vault_keys.as_ref().map_or(0, |keys| keys[place] as u64);
                    let is_holder = personal != 0 && looked.holders.contains(&vault_key);
                    let owner = identities.map_or(0, |identities| identities.value(place));
                    let is_owner = looked.wanted.owner & absent != 0 && owner != 0;
                    if value.gives == 0 && !is_holder && !is_owner {
                        continue;
                    }
                    places.push(u32::try_from(place).unwrap_or(u32::MAX));
                    given.push(value);
                    if is_holder {
                        later.personal.insert(vault_key, (*winner, personal));
                    }
                    if is_owner {
                        later.owner.insert(owner.unsigned_abs());
                        let gives = looked.wanted.owner;
                        let rank = OWNER;
                        found.give_number(
                            owner,
                            &FillValue {
                                rank,
                                gives,
                                ..value
                            },
                        )?;
                    }
                }
            }
            self.give_from(&batch, &places, &given, found)?;
        }
        Ok(())
    }

    /// Adds rows of a batch, whose columns are named as those of the table.
    fn give_from(
        &self,
        batch: &RecordBatch,
        places: &[u32],
        given: &[FillValue],
        found: &mut FillValues,
    ) -> Result<(), IngestError> {
        if given.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(places.to_vec());
        let schema = staged_schema(self.stage.def);
        let columns = found.places().iter().map(|place| {
            let field = schema.field(*place);
            match batch.column_by_name(field.name()) {
                Some(column) => take(column, &rows, None),
                None => Ok(new_null_array(field.data_type(), rows.len())),
            }
        });
        let columns: Result<Vec<ArrayRef>, _> = columns.collect();
        let failed = IngestError::rows(self.stage.def.name, "read");
        found.give(&columns.map_err(failed)?, given)
    }

    /// Adds the personal values of the rows that have some.
    async fn give_personal(
        &self,
        wanted: &MissingValues,
        rows: &HashMap<u64, (u32, ColumnSet)>,
        found: &mut FillValues,
    ) -> Result<(), IngestError> {
        if rows.is_empty() {
            return Ok(());
        }
        let def = self.stage.def;
        let vault = Vault::new(self.lake, def);
        let (decryptor, vault_key) = (vault.decryptor().await?, Encoder::vault_key(def)?);
        for batch in vault.sealed().await? {
            let batch = batch?;
            let (mut places, mut owner) = (Vec::new(), Vec::new());
            for (place, key) in (0_u32..).zip(vault_key.keys(&batch)?) {
                if let Some(row) = rows.get(&(key as u64)) {
                    places.push(place);
                    owner.push(*row);
                }
            }
            if places.is_empty() {
                continue;
            }
            let sealed = take_record_batch(&batch, &UInt32Array::from(places))
                .map_err(IngestError::rows(def.name, "read"))?;
            let open = decryptor.open(&sealed)?;
            let given = owner
                .iter()
                .enumerate()
                .map(|(place, (winner, absent))| FillValue {
                    winner: *winner,
                    rank: VAULT,
                    gives: values_of(&open, place, &wanted.personal) & absent,
                    updated: UNKNOWN,
                    key: 0,
                });
            let given: Vec<FillValue> = given.collect();
            let places: Vec<u32> = (0..u32::try_from(given.len()).unwrap_or(u32::MAX)).collect();
            self.give_from(&open, &places, &given, found)?;
        }
        Ok(())
    }

    /// The external ids of some records.
    async fn names(&self, wanted: &RoaringTreemap) -> Result<HashMap<i64, Box<str>>, IngestError> {
        let mut names = HashMap::new();
        if wanted.is_empty() {
            return Ok(names);
        }
        let columns = ["identity_id", "external_id"];
        for file in &self.base.table(IDENTITIES.name).files {
            for batch in read_file(self.lake, IDENTITIES, file, Some(&columns)).await? {
                let batch = batch.map_err(IngestError::rows(IDENTITIES.name, "read"))?;
                let identities = batch["identity_id"].as_primitive::<Int64Type>();
                let records = batch["external_id"].as_string::<i32>();
                for (identity, record) in identities.values().iter().zip(records) {
                    if wanted.contains(identity.unsigned_abs()) {
                        names.extend(record.map(|record| (*identity, Box::from(record))));
                    }
                }
            }
        }
        Ok(names)
    }
}

/// What is looked up in a file.
struct FileLookup<'a> {
    wanted: &'a MissingValues,
    /// The columns that have a value in it.
    stored: &'a [(&'static str, ColumnSet)],
    holders: &'a HashSet<u64>,
}

/// The columns that a row has a value in.
fn values_of(batch: &RecordBatch, row: usize, columns: &[(&'static str, ColumnSet)]) -> ColumnSet {
    let held = columns
        .iter()
        .filter(|(name, _)| batch[*name].is_valid(row));
    held.fold(0, |all, (_, column)| all | column)
}
