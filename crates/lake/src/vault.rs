//! Personal values: apart from the tables, sealed, latest state only, never pinned by a snapshot.
//!
//! A table's vault is a set of Parquet runs in which every key stands once, named by a manifest.
//! Manifests are numbered and put if absent: the highest number holds. Writing makes a run of the
//! new values, copies the older runs that hold one of their keys without those, and puts the next
//! manifest. What it replaced stays for a while, for those who are reading it, and the next writer
//! deletes it. A crash before the manifest leaves garbage.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, TimeDelta, Utc};
use rollbook_model::{TableDef, tables};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::LakeError;
use crate::lake::Lake;
use crate::scan::{LakeTable, read_path};
use crate::state::{DataFile, State};

pub(crate) mod keys;
mod manifest;
mod master;
mod opener;
mod rotate;
mod run;
pub(crate) mod seal;

pub use keys::KeysShown;
pub(crate) use keys::Pages;
use keys::{DataKeys, Keyring};
pub use master::Master;
pub use opener::Opener;
pub use run::NewValues;
use run::Run;

/// Attempts until a writer gives way to faster ones.
const ATTEMPTS: u32 = 20;
const TOKEN_KEY: &str = "token";
/// The key of those who were erased.
const ERASURE_KEY: &str = "erased";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Manifest {
    /// No two attempts have the same, so that none takes another's for its own.
    #[serde(default)]
    writer: Uuid,
    runs: Vec<DataFile>,
    /// Runs that were replaced not long ago: somebody may be reading them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
}

/// A run that no longer counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Replaced {
    path: String,
    size: u64,
    at: DateTime<Utc>,
}

impl Manifest {
    /// The replaced runs that nobody has to be able to read any more; the others stay.
    fn take_unread(&mut self, now: DateTime<Utc>) -> Vec<Replaced> {
        let live: u64 = self.runs.iter().map(|run| run.size).sum();
        let all: u64 = self.replaced.iter().map(|run| run.size).sum();
        // Where values are written fast, their old runs shall not fill the disk.
        let time = match all > REPLACED_BYTES + 2 * live {
            true => READ_AT_LEAST,
            false => READ_AT_MOST,
        };
        let (unread, read) = std::mem::take(&mut self.replaced)
            .into_iter()
            .partition(|run| now - run.at > time);
        self.replaced = read;
        unread
    }
}

/// How long runs that were replaced are read at most, and at least: longer than queries take.
const READ_AT_MOST: TimeDelta = TimeDelta::minutes(10);
const READ_AT_LEAST: TimeDelta = TimeDelta::minutes(2);
/// Bytes of replaced runs that are left alone.
const REPLACED_BYTES: u64 = 256 << 20;

/// The vault of one table.
#[derive(Debug, Clone, Copy)]
pub struct Vault<'a> {
    lake: &'a Lake,
    def: &'static TableDef,
}

impl<'a> Vault<'a> {
    /// The vault of a table that has personal columns.
    pub fn new(lake: &'a Lake, def: &'static TableDef) -> Self {
        Self { lake, def }
    }

    /// The personal values as a table, each key once, sealed: `def.sealed_schema()`.
    pub async fn table(&self) -> Result<LakeTable, LakeError> {
        let (_, manifest) = self.manifest().await?;
        let schema = self.def.sealed_schema();
        Ok(LakeTable::over(
            self.lake,
            schema,
            &self.folder(),
            &manifest.runs,
        ))
    }

    /// Opens what is sealed, with the keys as they are now.
    pub async fn opener(&self) -> Result<Opener, LakeError> {
        Ok(Opener::new(self.def, Keyring::of(self.lake).all().await?))
    }

    /// Rows in `def.vault_schema()` as they would lie in the vault: equal where they are equal.
    pub async fn seal(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let keys = self.keys_of(rows, DataKeys::default()).await?;
        seal::seal_rows(self.def, rows, &keys).map_err(|source| self.misfit(source))
    }

    /// The data keys of some rows, among those that are known or made now.
    async fn keys_of(&self, rows: &RecordBatch, known: DataKeys) -> Result<DataKeys, LakeError> {
        let owners: BTreeSet<i64> = match rows.column_by_name("identity_id") {
            Some(owners) => {
                let owners = owners.as_primitive::<Int64Type>();
                owners.values().iter().copied().collect()
            }
            None => BTreeSet::from([0]),
        };
        if owners.iter().all(|owner| known.get(*owner).is_some()) {
            return Ok(known);
        }
        Keyring::of(self.lake).ensure(&owners).await
    }

    /// All personal values, open: `def.vault_schema()`.
    pub async fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        let opener = self.opener().await?;
        let sealed = self.sealed().await?;
        Ok(sealed.map(move |batch| opener.open(&batch?)))
    }

    /// All personal values as they lie there: `def.sealed_schema()`.
    pub async fn sealed(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        self.sealed_runs(None).await
    }

    /// The same, of some columns alone.
    pub async fn sealed_columns(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        self.sealed_runs(Some(columns)).await
    }

    async fn sealed_runs(
        &self,
        columns: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        let (_, manifest) = self.manifest().await?;
        let mut readers = Vec::new();
        for run in &manifest.runs {
            let below = format!("{}/{}", self.folder(), run.path);
            let reader = read_path(self.lake, &below, columns).await?;
            let table = self.def.name.to_owned();
            readers.push(reader.map(move |batch| {
                batch.map_err(|source| LakeError::Schema {
                    table: table.clone(),
                    source,
                })
            }));
        }
        Ok(readers.into_iter().flatten())
    }

    /// Takes new values; they hold from [`NewValues::keep`] on.
    pub fn put(&self) -> NewValues<'a> {
        NewValues::of(*self)
    }

    /// Forgets the values of the keys in `keys` (columns `def.vault_keys()`).
    pub async fn remove(&self, keys: &[RecordBatch]) -> Result<(), LakeError> {
        if keys.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(());
        }
        let mut gone = HashSet::new();
        for batch in keys {
            gone.extend(self.encode(batch)?);
        }
        self.replace(None, &gone).await
    }

    /// The keys of values that have been there since before `until` and that no row of the table
    /// at `state` has: what a run put whose commit never came.
    pub(crate) async fn strangers(
        &self,
        state: &State,
        until: DateTime<Utc>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let (_, manifest) = self.manifest().await?;
        if manifest.runs.is_empty() {
            return Ok(Vec::new());
        }
        let folder = self.lake.path(&self.folder());
        let written = self.lake.store().walk(&folder).await?;
        let written: HashMap<String, DateTime<Utc>> = written
            .into_iter()
            .map(|object| (object.path, object.modified))
            .collect();
        let is_old = |run: &&DataFile| {
            let modified = written.get(&self.run_path(run));
            modified.is_some_and(|modified| *modified < until)
        };
        let mut known = HashSet::new();
        for file in &state.table(self.def.name).files {
            let below = format!("{}/{}", self.def.name, file.path);
            for batch in read_path(self.lake, &below, Some(self.def.vault_keys())).await? {
                known.extend(self.encode(&batch.map_err(|source| self.misfit(source))?)?);
            }
        }
        let mut strangers = Vec::new();
        for run in manifest.runs.iter().filter(is_old) {
            let below = format!("{}/{}", self.folder(), run.path);
            for batch in read_path(self.lake, &below, Some(self.def.vault_keys())).await? {
                let batch = batch.map_err(|source| self.misfit(source))?;
                let mask = self.mask(&batch, &known)?;
                if mask.true_count() > 0 {
                    let found = filter_record_batch(&batch, &mask);
                    strangers.push(found.map_err(|source| self.misfit(source))?);
                }
            }
        }
        Ok(strangers)
    }

    async fn replace(&self, new: Option<DataFile>, keys: &HashSet<u128>) -> Result<(), LakeError> {
        for _ in 0..ATTEMPTS {
            let (number, manifest) = self.manifest().await?;
            let (now, is_removal) = (Utc::now(), new.is_none());
            let mut written: Vec<DataFile> = new.iter().cloned().collect();
            let mut next = Manifest {
                writer: Uuid::new_v4(),
                runs: Vec::new(),
                replaced: manifest.replaced,
            };
            for run in manifest.runs {
                match self.without(&run, keys).await? {
                    None => next.runs.push(run),
                    Some(copy) => {
                        next.replaced.push(Replaced {
                            path: run.path,
                            size: run.size,
                            at: now,
                        });
                        written.extend(copy);
                    }
                }
            }
            let names = written.iter();
            let names =
                names.map(|run| (format!("{}/{}", self.folder(), run.path), Some(run.size)));
            self.lake.must_have(&names.collect::<Vec<_>>()).await?;
            next.runs.extend(written);
            // What is to be forgotten is gone at once, whoever is reading it.
            let unread = match is_removal {
                true => std::mem::take(&mut next.replaced),
                false => next.take_unread(now),
            };
            if manifest::follow(self.lake, &self.folder(), number, &next).await? {
                let unread = unread.iter().map(|run| self.path_of(&run.path));
                return self
                    .lake
                    .store()
                    .delete_all(&unread.collect::<Vec<_>>())
                    .await;
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// A copy of a run without some keys; `None` if it holds none of them, an empty option inside
    /// if nothing is left of it.
    async fn without(
        &self,
        run: &DataFile,
        keys: &HashSet<u128>,
    ) -> Result<Option<Option<DataFile>>, LakeError> {
        let below = format!("{}/{}", self.folder(), run.path);
        let mut found = false;
        for batch in read_path(self.lake, &below, Some(self.def.vault_keys())).await? {
            let batch = batch.map_err(|source| self.misfit(source))?;
            found |= self.mask(&batch, keys)?.true_count() < batch.num_rows();
            if found {
                break;
            }
        }
        if !found {
            return Ok(None);
        }
        let kept = read_path(self.lake, &below, None).await?.map(|batch| {
            let batch = batch.map_err(|source| self.misfit(source))?;
            let mask = self.mask(&batch, keys)?;
            filter_record_batch(&batch, &mask).map_err(|source| self.misfit(source))
        });
        self.write_run(kept).await.map(Some)
    }

    /// True for the rows whose key is not in `keys`.
    fn mask(&self, batch: &RecordBatch, keys: &HashSet<u128>) -> Result<BooleanArray, LakeError> {
        let found = self.encode(batch)?;
        Ok(found.iter().map(|key| Some(!keys.contains(key))).collect())
    }

    /// What tells the rows of a batch apart, as hashes of 128 bits.
    fn encode(&self, batch: &RecordBatch) -> Result<Vec<u128>, LakeError> {
        let columns = self
            .def
            .vault_keys()
            .iter()
            .map(|name| {
                batch
                    .column_by_name(name)
                    .cloned()
                    .ok_or_else(|| LakeError::Damaged {
                        path: self.folder(),
                        detail: format!("column `{name}` is missing"),
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let fields = columns
            .iter()
            .map(|c| SortField::new(c.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields).map_err(|source| self.misfit(source))?;
        let rows = converter
            .convert_columns(&columns)
            .map_err(|source| self.misfit(source))?;
        Ok(rows.iter().map(|row| xxh3_128(row.as_ref())).collect())
    }

    async fn write_run(
        &self,
        batches: impl Iterator<Item = Result<RecordBatch, LakeError>>,
    ) -> Result<Option<DataFile>, LakeError> {
        let mut run = Run::begin(self)?;
        for batch in batches {
            run.write(&batch?)?;
        }
        run.finish().await
    }

    async fn manifest(&self) -> Result<(u64, Manifest), LakeError> {
        manifest::newest(self.lake, &self.folder()).await
    }

    fn folder(&self) -> String {
        format!("_vault/{}", self.def.name)
    }

    fn run_path(&self, run: &DataFile) -> String {
        self.path_of(&run.path)
    }

    fn path_of(&self, run: &str) -> String {
        self.lake.path(&format!("{}/{run}", self.folder()))
    }

    fn unwritten(&self, source: parquet::errors::ParquetError) -> LakeError {
        LakeError::Parquet {
            doing: "write",
            path: self.folder(),
            source,
        }
    }

    fn misfit(&self, source: arrow::error::ArrowError) -> LakeError {
        LakeError::Schema {
            table: self.def.name.to_owned(),
            source,
        }
    }
}

impl Lake {
    /// The key under which it is known who was erased; `None` before somebody was.
    pub async fn erasure_key(&self) -> Result<Option<Arc<[u8]>>, LakeError> {
        Keyring::of(self).named(ERASURE_KEY).await
    }

    /// The same, made where there is none.
    pub async fn erasure_key_or_new(&self) -> Result<Arc<[u8]>, LakeError> {
        Ok(Arc::from(
            Keyring::of(self).named_or_new(ERASURE_KEY).await?,
        ))
    }

    /// The key under which a tenant's e-mail addresses become external ids: 32 bytes, `None`
    /// before the first run was committed.
    pub async fn token_key(&self) -> Result<Option<Arc<[u8]>>, LakeError> {
        Keyring::of(self).named(TOKEN_KEY).await
    }

    /// The same, made where nothing was taken in yet.
    pub async fn token_key_or_new(&self) -> Result<Arc<[u8]>, LakeError> {
        Ok(Arc::from(Keyring::of(self).named_or_new(TOKEN_KEY).await?))
    }

    /// Keeps `key` as the tenant's, for good. False where another one is kept already: ids made
    /// with this one must not be committed.
    pub async fn keep_token_key(&self, key: &[u8]) -> Result<bool, LakeError> {
        if Keyring::of(self).keep_named(TOKEN_KEY, key).await? {
            return Ok(true);
        }
        Ok(self.token_key().await?.as_deref() == Some(key))
    }

    /// Forgets the data keys of identities: no copy of their sealed values opens any more.
    pub async fn forget_keys(&self, identities: &[i64]) -> Result<(), LakeError> {
        Keyring::of(self).forget(identities).await
    }

    /// Forgets in a copy of this lake the keys of whoever was erased here since it was made, and
    /// tells of how many records those were.
    ///
    /// # Errors
    /// [`LakeError::NotACopy`]; those of reading and writing.
    pub async fn forget_in(&self, copy: &Lake) -> Result<u64, LakeError> {
        let (newest, copied) = (self.head().await?.number, copy.head().await?.number);
        let known = self.find_record(copied).await?;
        let other = copy.find_record(copied).await?;
        let is_other = known
            .zip(other)
            .is_some_and(|(known, other)| known.committed_at != other.committed_at);
        if copied > newest || is_other {
            return Err(LakeError::NotACopy);
        }
        Keyring::of(self).forget_in(Keyring::of(copy)).await
    }

    /// Wraps the tenant's keys anew under a new master key; no value is written. `None` where
    /// nothing was ever sealed.
    pub async fn rotate_keys(&self) -> Result<Option<KeysShown>, LakeError> {
        Keyring::of(self).rotate().await
    }

    /// What the tenant's values are sealed with. `None` where nothing was ever sealed.
    pub async fn keys_shown(&self) -> Result<Option<KeysShown>, LakeError> {
        Keyring::of(self).show().await
    }
}

/// What the vaults consist of, relative to the tenant's folder: of each the runs that its manifest
/// names, then that manifest. A copy of all is whole if each was still there.
pub(crate) async fn live(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut live = Keyring::of(lake).live().await?;
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let vault = Vault::new(lake, def);
        let (number, manifest) = vault.manifest().await?;
        let runs = manifest.runs.iter();
        live.extend(runs.map(|run| format!("{}/{}", vault.folder(), run.path)));
        if number > 0 {
            live.push(manifest::below(&vault.folder(), number));
        }
    }
    Ok(live)
}

/// The same, and what was replaced a short while ago, which somebody may be reading.
pub(crate) async fn read(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut read = live(lake).await?;
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let vault = Vault::new(lake, def);
        let (_, mut manifest) = vault.manifest().await?;
        manifest.take_unread(Utc::now());
        let replaced = manifest.replaced.iter();
        read.extend(replaced.map(|run| format!("{}/{}", vault.folder(), run.path)));
    }
    Ok(read)
}

/// A key for a tenant that has none yet: 32 random bytes.
pub fn fresh_token_key() -> Arc<[u8]> {
    Arc::from(seal::random::<32>())
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::{Manifest, REPLACED_BYTES, Replaced};
    use crate::state::DataFile;

    #[test]
    fn what_was_replaced_stays_as_long_as_it_may_be_read() {
        let now = Utc::now();
        let replaced = |minutes: i64, size: u64| Replaced {
            path: minutes.to_string(),
            size,
            at: now - TimeDelta::minutes(minutes),
        };
        let run = DataFile {
            size: 100,
            ..DataFile::default()
        };
        for (size, unread) in [(1, vec!["11"]), (REPLACED_BYTES, vec!["11", "3"])] {
            let mut manifest = Manifest {
                runs: vec![run.clone()],
                // A clock that was ahead keeps its runs for longer, and no other one's.
                replaced: [11, 3, 1, -5].map(|minutes| replaced(minutes, size)).into(),
                ..Manifest::default()
            };
            let gone = manifest.take_unread(now);
            let gone: Vec<_> = gone.iter().map(|run| run.path.as_str()).collect();
            assert_eq!(gone, unread);
            assert_eq!(manifest.replaced.len() + gone.len(), 4);
        }
    }
}
