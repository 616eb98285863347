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
use chrono::{DateTime, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use rollbook_model::{TableDef, tables};
use xxhash_rust::xxh3::xxh3_128;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::{DataFile, State};
use crate::table::provider::{LakeTable, read_path};

mod decryptor;
pub(crate) mod keys;
mod manifest;
mod rotate;
mod run;
mod runs;

use crate::encryption::key_pages::DataKeys;
pub use crate::encryption::master::Master;
pub use decryptor::Decryptor;
pub use keys::KeyStatus;
use keys::Keyring;
use manifest::Standing;
pub use run::NewValues;
use run::Run;
use runs::{Manifest, Replaced};

/// Attempts until a writer gives way to faster ones.
const ATTEMPTS: u32 = 20;
const TOKEN_KEY: &str = "token";
/// The key of those who were erased.
const ERASURE_KEY: &str = "erased";

/// What becomes of runs that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldRuns {
    /// They stay for a while, for those who are reading them.
    Stay,
    /// They and all that were replaced before are deleted at once.
    Go,
}

/// A run without some keys.
enum CopiedRun {
    /// It holds none of them.
    NotNeeded,
    /// What is left of it, if anything is.
    As(Option<DataFile>),
    /// The run is gone: the newest manifest does not name it.
    Vanished,
}

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

    /// Whether nobody has a personal value.
    pub async fn is_empty(&self) -> Result<bool, LakeError> {
        let (_, manifest) = self.manifest().await?;
        Ok(manifest.runs.is_empty())
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
    pub async fn decryptor(&self) -> Result<Decryptor, LakeError> {
        Ok(Decryptor::new(
            self.def,
            Keyring::of(self.lake).all().await?,
        ))
    }

    /// Rows in `def.vault_schema()` as they would lie in the vault: equal where they are equal.
    pub async fn seal(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let keys = self.keys_of(rows, DataKeys::default()).await?;
        crate::encryption::seal::seal_rows(self.def, rows, &keys)
            .map_err(|source| self.misfit(source))
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
        let decryptor = self.decryptor().await?;
        let sealed = self.sealed().await?;
        Ok(sealed.map(move |batch| decryptor.open(&batch?)))
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
        let readers = self.open_runs(columns).await?.into_iter();
        let table = self.def.name.to_owned();
        Ok(readers.flat_map(|(_, reader)| reader).map(move |batch| {
            batch.map_err(|source| LakeError::Schema {
                table: table.clone(),
                source,
            })
        }))
    }

    /// All runs, opened: what is open can be read even if somebody deletes it.
    async fn open_runs(
        &self,
        columns: Option<&[&str]>,
    ) -> Result<Vec<(DataFile, ParquetRecordBatchReader)>, LakeError> {
        for _ in 0..ATTEMPTS {
            let (_, manifest) = self.manifest().await?;
            let mut opened = Vec::with_capacity(manifest.runs.len());
            let mut is_whole = true;
            for run in manifest.runs {
                match self.open_run(&run, columns).await? {
                    Some(reader) => opened.push((run, reader)),
                    None => {
                        is_whole = false;
                        break;
                    }
                }
            }
            if is_whole {
                return Ok(opened);
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// A run of a manifest that was read; `None` where somebody forgot values of it meanwhile, and
    /// a newer manifest says what holds.
    async fn open_run(
        &self,
        run: &DataFile,
        columns: Option<&[&str]>,
    ) -> Result<Option<ParquetRecordBatchReader>, LakeError> {
        let below = format!("{}/{}", self.folder(), run.path);
        match read_path(self.lake, &below, columns).await {
            Ok(reader) => Ok(Some(reader)),
            Err(error) if error.is_absence() && !self.names(run).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the newest manifest names a run.
    async fn names(&self, run: &DataFile) -> Result<bool, LakeError> {
        let (_, manifest) = self.manifest().await?;
        Ok(manifest.runs.iter().any(|named| named.path == run.path))
    }

    /// Takes new values; they hold from [`NewValues::commit`] on.
    pub fn put(&self) -> NewValues<'a> {
        NewValues::of(*self)
    }

    /// Takes the values of the keys in `keys` (columns `def.vault_keys()`) out. The runs that had
    /// them stay for those who are reading them, as where newer values replace older ones.
    pub async fn remove(&self, keys: &[RecordBatch]) -> Result<(), LakeError> {
        self.without_keys(keys, OldRuns::Stay).await
    }

    /// The same for what has to be gone from the store at once, whoever is reading it.
    pub async fn erase(&self, keys: &[RecordBatch]) -> Result<(), LakeError> {
        self.without_keys(keys, OldRuns::Go).await
    }

    async fn without_keys(&self, keys: &[RecordBatch], runs: OldRuns) -> Result<(), LakeError> {
        if keys.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(());
        }
        let mut gone = HashSet::new();
        for batch in keys {
            gone.extend(self.encode(batch)?);
        }
        self.replace(None, &gone, runs).await
    }

    /// The keys of values that have been there since before `until` and that no row of the table
    /// at `state` has: what a run put whose commit never came.
    pub(crate) async fn orphaned_keys(
        &self,
        state: &State,
        until: DateTime<Utc>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let opened = self.open_runs(Some(self.def.vault_keys())).await?;
        if opened.is_empty() {
            return Ok(Vec::new());
        }
        let folder = self.lake.path(&self.folder());
        let written = self.lake.store().walk(&folder).await?;
        let written: HashMap<String, DateTime<Utc>> = written
            .into_iter()
            .map(|object| (object.path, object.modified))
            .collect();
        let is_old = |run: &DataFile| {
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
        let mut orphaned_keys = Vec::new();
        for (_, reader) in opened.into_iter().filter(|(run, _)| is_old(run)) {
            for batch in reader {
                let batch = batch.map_err(|source| self.misfit(source))?;
                let mask = self.mask(&batch, &known)?;
                if mask.true_count() > 0 {
                    let found = filter_record_batch(&batch, &mask);
                    orphaned_keys.push(found.map_err(|source| self.misfit(source))?);
                }
            }
        }
        Ok(orphaned_keys)
    }

    async fn replace(
        &self,
        new: Option<DataFile>,
        keys: &HashSet<u128>,
        runs: OldRuns,
    ) -> Result<(), LakeError> {
        'attempts: for _ in 0..ATTEMPTS {
            let (standing, manifest) = self.manifest().await?;
            let now = Utc::now();
            let mut written: Vec<DataFile> = new.iter().cloned().collect();
            let mut next = Manifest {
                runs: Vec::new(),
                replaced: manifest.replaced,
            };
            for run in manifest.runs {
                match self.without(&run, keys).await? {
                    CopiedRun::Vanished => continue 'attempts,
                    CopiedRun::NotNeeded => next.runs.push(run),
                    CopiedRun::As(copy) => {
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
            let unread = match runs {
                OldRuns::Go => std::mem::take(&mut next.replaced),
                OldRuns::Stay => next.take_unread(now),
            };
            if manifest::follow(self.lake, &self.folder(), &standing, &next).await? {
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

    /// A copy of a run without some keys.
    async fn without(&self, run: &DataFile, keys: &HashSet<u128>) -> Result<CopiedRun, LakeError> {
        let Some(rows) = self.open_run(run, Some(self.def.vault_keys())).await? else {
            return Ok(CopiedRun::Vanished);
        };
        let mut found = false;
        for batch in rows {
            let batch = batch.map_err(|source| self.misfit(source))?;
            found |= self.mask(&batch, keys)?.true_count() < batch.num_rows();
            if found {
                break;
            }
        }
        if !found {
            return Ok(CopiedRun::NotNeeded);
        }
        let Some(rows) = self.open_run(run, None).await? else {
            return Ok(CopiedRun::Vanished);
        };
        let kept = rows.map(|batch| {
            let batch = batch.map_err(|source| self.misfit(source))?;
            let mask = self.mask(&batch, keys)?;
            filter_record_batch(&batch, &mask).map_err(|source| self.misfit(source))
        });
        self.write_run(kept).await.map(CopiedRun::As)
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

    async fn manifest(&self) -> Result<(Standing, Manifest), LakeError> {
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
    pub async fn store_token_key(&self, key: &[u8]) -> Result<bool, LakeError> {
        if Keyring::of(self).store_named(TOKEN_KEY, key).await? {
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
    pub async fn forget_erased_keys_in(&self, copy: &Lake) -> Result<u64, LakeError> {
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
    pub async fn rotate_keys(&self) -> Result<Option<KeyStatus>, LakeError> {
        Keyring::of(self).rotate().await
    }

    /// What the tenant's values are sealed with. `None` where nothing was ever sealed.
    pub async fn key_status(&self) -> Result<Option<KeyStatus>, LakeError> {
        Keyring::of(self).show().await
    }
}

/// What the vaults consist of, relative to the tenant's folder: of each the runs that its manifest
/// names, then that manifest. A copy of all is whole if each was still there.
pub(crate) async fn live(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut live = Keyring::of(lake).live().await?;
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let vault = Vault::new(lake, def);
        let (standing, manifest) = vault.manifest().await?;
        let runs = manifest.runs.iter();
        live.extend(runs.map(|run| format!("{}/{}", vault.folder(), run.path)));
        if standing.number > 0 {
            live.push(manifest::below(&vault.folder(), standing.number));
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
    Arc::from(crate::encryption::seal::random::<32>())
}
