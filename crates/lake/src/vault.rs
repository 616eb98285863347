//! Vaults: the personal values, separate from the tables, encrypted ("sealed"), and in their latest
//! state only. No snapshot keeps old values.
//!
//! A table's vault is a set of Parquet files ("runs") in which every key occurs once, listed by a
//! manifest. Manifests are numbered and put only if absent; the highest number is the current one. A
//! writer makes a run of the new values, copies the older runs that hold one of their keys without
//! those keys, and puts the next manifest. Replaced runs stay for some minutes, since queries may be
//! reading them; a later writer deletes them. A crash before the manifest leaves unreferenced runs.

use std::collections::{BTreeSet, HashMap, HashSet};

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
use crate::storage::retry::retry;
use crate::table::provider::{LakeTable, read_path};

mod decryptor;
pub(crate) mod keys;
mod manifest;
mod rotate;
mod run;
mod runs;
mod tenant_keys;

use crate::encryption::key_pages::DataKeys;
pub use crate::encryption::master::Master;
pub use decryptor::Decryptor;
pub use keys::KeyStatus;
use keys::{ATTEMPTS, BUSY, Keyring};
use manifest::ManifestVersion;
pub use run::NewValues;
use run::Run;
use runs::{Manifest, Replaced};
pub use tenant_keys::fresh_token_key;

/// What happens to runs that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplacedRuns {
    /// They stay for some minutes, since queries may be reading them.
    Keep,
    /// They are deleted at once, with all runs that were replaced earlier.
    Delete,
}

/// The copy of a run without some keys.
enum CopiedRun {
    /// The run holds none of the keys: no copy is needed.
    Unaffected,
    /// The copy; `None` where no row is left.
    Rewritten(Option<DataFile>),
    /// Another writer replaced the run: the newest manifest does not list it.
    Replaced,
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

    /// Whether the vault holds no value.
    ///
    /// # Errors
    /// The errors of [`Vault::table`].
    pub async fn is_empty(&self) -> Result<bool, LakeError> {
        let (_, manifest) = self.manifest().await?;
        Ok(manifest.runs.is_empty())
    }

    /// The personal values as a table in `def.sealed_schema()`, each key once.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the manifest cannot be parsed.
    /// - [`LakeError::Store`]: the store cannot be read.
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

    /// A decryptor of the table's sealed values, with the current data keys.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: a page of keys is missing or cannot be decrypted.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store or the master key's file cannot be read.
    pub async fn decryptor(&self) -> Result<Decryptor, LakeError> {
        Ok(Decryptor::new(
            self.def,
            Keyring::of(self.lake).all().await?,
        ))
    }

    /// Seals rows in `def.vault_schema()` as the vault stores them: equal values are equal when sealed.
    ///
    /// # Errors
    /// - [`LakeError::Schema`]: the rows lack a column.
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: a page of keys is missing or cannot be decrypted.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn seal(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let keys = self.keys_of(rows, DataKeys::default()).await?;
        crate::encryption::seal::seal_rows(self.def, rows, &keys)
            .map_err(|source| self.schema_error(source))
    }

    /// The data keys of the identities of rows. Missing keys are created.
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

    /// All personal values, decrypted, in `def.vault_schema()`.
    ///
    /// # Errors
    /// The errors of [`Vault::decryptor`] and [`Vault::sealed`]. Each batch may fail with
    /// [`LakeError::Schema`]: it cannot be read or decrypted.
    pub async fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        let decryptor = self.decryptor().await?;
        let sealed = self.sealed().await?;
        Ok(sealed.map(move |batch| decryptor.open(&batch?)))
    }

    /// All personal values, sealed, in `def.sealed_schema()`.
    ///
    /// # Errors
    /// - [`LakeError::Busy`]: other writers replaced runs in every attempt to open them.
    /// - [`LakeError::Damaged`]: the manifest cannot be parsed.
    /// - [`LakeError::Parquet`]: a run is no Parquet file.
    /// - [`LakeError::Store`], [`LakeError::File`]: a run is missing or cannot be read.
    ///
    /// Each batch may fail with [`LakeError::Schema`]: it cannot be read.
    pub async fn sealed(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        self.sealed_runs(None).await
    }

    /// Some columns of all personal values, sealed.
    ///
    /// # Errors
    /// The errors of [`Vault::sealed`].
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

    /// Opens all runs. An open run can be read even after it is deleted.
    async fn open_runs(
        &self,
        columns: Option<&[&str]>,
    ) -> Result<Vec<(DataFile, ParquetRecordBatchReader)>, LakeError> {
        let opened = retry(ATTEMPTS, || async move {
            let (_, manifest) = self.manifest().await?;
            let mut opened = Vec::with_capacity(manifest.runs.len());
            for run in manifest.runs {
                let Some(reader) = self.open_run(&run, columns).await? else {
                    return Ok(None);
                };
                opened.push((run, reader));
            }
            Ok(Some(opened))
        });
        opened.await?.ok_or(BUSY)
    }

    /// Opens a run of a manifest; `None` where another writer replaced and deleted the run meanwhile.
    async fn open_run(
        &self,
        run: &DataFile,
        columns: Option<&[&str]>,
    ) -> Result<Option<ParquetRecordBatchReader>, LakeError> {
        let below = format!("{}/{}", self.folder(), run.path);
        match read_path(self.lake, &below, columns).await {
            Ok(reader) => Ok(Some(reader)),
            Err(error) if error.is_absence() && !self.is_current(run).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the newest manifest lists a run.
    async fn is_current(&self, run: &DataFile) -> Result<bool, LakeError> {
        let (_, manifest) = self.manifest().await?;
        Ok(manifest.runs.iter().any(|named| named.path == run.path))
    }

    /// Begins a write of new values, which [`NewValues::commit`] ends.
    pub fn put(&self) -> NewValues<'a> {
        NewValues::of(*self)
    }

    /// Removes the values of the keys in `keys` (columns `def.vault_keys()`). The replaced runs stay for
    /// some minutes, since queries may be reading them.
    ///
    /// # Errors
    /// - [`LakeError::Busy`]: other writers changed the vault in every attempt.
    /// - [`LakeError::MissingObject`]: a new run was deleted before it was committed.
    /// - [`LakeError::Damaged`]: the manifest cannot be parsed, or the rows lack a key column.
    /// - [`LakeError::Schema`], [`LakeError::Parquet`]: a run cannot be read or written.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn remove(&self, keys: &[RecordBatch]) -> Result<(), LakeError> {
        self.remove_keys(keys, ReplacedRuns::Keep).await
    }

    /// Like [`Vault::remove`], and deletes all replaced runs at once. A query that reads them may fail.
    ///
    /// # Errors
    /// The errors of [`Vault::remove`].
    pub async fn erase(&self, keys: &[RecordBatch]) -> Result<(), LakeError> {
        self.remove_keys(keys, ReplacedRuns::Delete).await
    }

    /// The hashes of the keys in `keys` (columns `def.vault_keys()`), for [`Vault::erase_hashed`].
    ///
    /// # Errors
    /// [`LakeError::Damaged`], [`LakeError::Schema`]: the rows lack a key column.
    pub fn hashes(&self, keys: &[RecordBatch]) -> Result<HashSet<u128>, LakeError> {
        let mut hashes = HashSet::new();
        for batch in keys {
            hashes.extend(self.key_hashes(batch)?);
        }
        Ok(hashes)
    }

    /// Like [`Vault::erase`], for keys of which only the hashes are known.
    ///
    /// # Errors
    /// The errors of [`Vault::remove`].
    pub async fn erase_hashed(&self, keys: &HashSet<u128>) -> Result<(), LakeError> {
        match keys.is_empty() {
            true => Ok(()),
            false => self.replace(None, keys, ReplacedRuns::Delete).await,
        }
    }

    async fn remove_keys(&self, keys: &[RecordBatch], runs: ReplacedRuns) -> Result<(), LakeError> {
        if keys.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(());
        }
        self.replace(None, &self.hashes(keys)?, runs).await
    }

    /// The keys of values that were written before `until` and that no row of the table at `state` has:
    /// their ingest run was never committed.
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
                known.extend(self.key_hashes(&batch.map_err(|source| self.schema_error(source))?)?);
            }
        }
        let mut orphaned_keys = Vec::new();
        for (_, reader) in opened.into_iter().filter(|(run, _)| is_old(run)) {
            for batch in reader {
                let batch = batch.map_err(|source| self.schema_error(source))?;
                let mask = self.rows_to_keep(&batch, &known)?;
                if mask.true_count() > 0 {
                    let found = filter_record_batch(&batch, &mask);
                    orphaned_keys.push(found.map_err(|source| self.schema_error(source))?);
                }
            }
        }
        Ok(orphaned_keys)
    }

    /// Adds the run `new`, and removes the values of `keys` from the other runs.
    async fn replace(
        &self,
        new: Option<DataFile>,
        keys: &HashSet<u128>,
        runs: ReplacedRuns,
    ) -> Result<(), LakeError> {
        let new = &new;
        let replaced = retry(ATTEMPTS, || async move {
            let (version, manifest) = self.manifest().await?;
            let now = Utc::now();
            let mut written: Vec<DataFile> = new.iter().cloned().collect();
            let mut next = Manifest {
                runs: Vec::new(),
                replaced: manifest.replaced,
            };
            for run in manifest.runs {
                match self.copy_without(&run, keys).await? {
                    CopiedRun::Replaced => return Ok(None),
                    CopiedRun::Unaffected => next.runs.push(run),
                    CopiedRun::Rewritten(copy) => {
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
            self.lake.check_exist(&names.collect::<Vec<_>>()).await?;
            next.runs.extend(written);
            let expired = match runs {
                ReplacedRuns::Delete => std::mem::take(&mut next.replaced),
                ReplacedRuns::Keep => next.take_expired(now),
            };
            if !manifest::put_next(self.lake, &self.folder(), &version, &next).await? {
                return Ok(None);
            }
            let expired = expired.iter().map(|run| self.path_of(&run.path));
            let expired = expired.collect::<Vec<_>>();
            self.lake.store().delete_all(&expired).await.map(Some)
        });
        replaced.await?.ok_or(BUSY)
    }

    /// Copies a run without some keys.
    async fn copy_without(
        &self,
        run: &DataFile,
        keys: &HashSet<u128>,
    ) -> Result<CopiedRun, LakeError> {
        let Some(rows) = self.open_run(run, Some(self.def.vault_keys())).await? else {
            return Ok(CopiedRun::Replaced);
        };
        let mut found = false;
        for batch in rows {
            let batch = batch.map_err(|source| self.schema_error(source))?;
            found |= self.rows_to_keep(&batch, keys)?.true_count() < batch.num_rows();
            if found {
                break;
            }
        }
        if !found {
            return Ok(CopiedRun::Unaffected);
        }
        let Some(rows) = self.open_run(run, None).await? else {
            return Ok(CopiedRun::Replaced);
        };
        let remaining = rows.map(|batch| {
            let batch = batch.map_err(|source| self.schema_error(source))?;
            let mask = self.rows_to_keep(&batch, keys)?;
            filter_record_batch(&batch, &mask).map_err(|source| self.schema_error(source))
        });
        self.write_run(remaining).await.map(CopiedRun::Rewritten)
    }

    /// True for the rows whose key is not in `keys`.
    fn rows_to_keep(
        &self,
        batch: &RecordBatch,
        keys: &HashSet<u128>,
    ) -> Result<BooleanArray, LakeError> {
        let found = self.key_hashes(batch)?;
        Ok(found.iter().map(|key| Some(!keys.contains(key))).collect())
    }

    /// Hashes of 128 bits of the keys of rows.
    fn key_hashes(&self, batch: &RecordBatch) -> Result<Vec<u128>, LakeError> {
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
        let converter = RowConverter::new(fields).map_err(|source| self.schema_error(source))?;
        let rows = converter
            .convert_columns(&columns)
            .map_err(|source| self.schema_error(source))?;
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

    async fn manifest(&self) -> Result<(ManifestVersion, Manifest), LakeError> {
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

    fn write_error(&self, source: parquet::errors::ParquetError) -> LakeError {
        LakeError::Parquet {
            doing: "write",
            path: self.folder(),
            source,
        }
    }

    fn schema_error(&self, source: arrow::error::ArrowError) -> LakeError {
        LakeError::Schema {
            table: self.def.name.to_owned(),
            source,
        }
    }
}

/// The current objects of the vaults, relative to the tenant's folder: the key pages, the runs of each
/// vault, and each manifest after the objects that it lists. A copy is complete if every object still
/// existed when it was copied.
pub(crate) async fn current_objects(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut live = Keyring::of(lake).objects().await?;
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let vault = Vault::new(lake, def);
        let (version, manifest) = vault.manifest().await?;
        let runs = manifest.runs.iter();
        live.extend(runs.map(|run| format!("{}/{}", vault.folder(), run.path)));
        if version.number > 0 {
            live.push(manifest::manifest_path(&vault.folder(), version.number));
        }
    }
    Ok(live)
}

/// The current objects of the vaults, and the runs that were replaced so recently that queries may be
/// reading them.
pub(crate) async fn readable_objects(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let mut read = current_objects(lake).await?;
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let vault = Vault::new(lake, def);
        let (_, mut manifest) = vault.manifest().await?;
        manifest.take_expired(Utc::now());
        let replaced = manifest.replaced.iter();
        read.extend(replaced.map(|run| format!("{}/{}", vault.folder(), run.path)));
    }
    Ok(read)
}
