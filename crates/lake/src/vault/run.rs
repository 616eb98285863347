//! Runs: the Parquet files of a vault, and the write of a new one.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::{ReplacedRuns, Vault};
use crate::LakeError;
use crate::encryption::key_pages::DataKeys;
use crate::encryption::seal::seal_rows;
use crate::state::DataFile;

/// The largest number of rows of a row group.
const GROUP_ROWS: usize = 128 * 1024;

/// New values that are being written to a vault.
#[derive(Debug)]
pub struct NewValues<'a> {
    vault: Vault<'a>,
    run: Option<Run<'a>>,
    keys: HashSet<u128>,
    data_keys: DataKeys,
}

impl<'a> NewValues<'a> {
    pub(super) fn of(vault: Vault<'a>) -> Self {
        Self {
            vault,
            run: None,
            keys: HashSet::new(),
            data_keys: DataKeys::default(),
        }
    }

    /// Writes rows in `def.vault_schema()`. Over all batches each key may occur once.
    ///
    /// # Errors
    /// - The errors of [`Vault::seal`].
    /// - [`LakeError::Parquet`]: the rows cannot be written.
    /// - [`LakeError::PathOutsideLake`]: the vault's folder leads out of the lake.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let known = std::mem::take(&mut self.data_keys);
        self.data_keys = self.vault.keys_of(rows, known).await?;
        let sealed = seal_rows(self.vault.def, rows, &self.data_keys);
        let sealed = sealed.map_err(|source| self.vault.schema_error(source))?;
        self.keys.extend(self.vault.key_hashes(&sealed)?);
        let run = match self.run.take() {
            Some(run) => run,
            None => Run::begin(&self.vault)?,
        };
        self.run.insert(run).write(&sealed)
    }

    /// Removes the values of keys (columns `def.vault_keys()`) with the same commit.
    ///
    /// # Errors
    /// [`LakeError::Damaged`], [`LakeError::Schema`]: the rows lack a key column, or it has the wrong
    /// type.
    pub fn forget(&mut self, keys: &RecordBatch) -> Result<(), LakeError> {
        self.keys.extend(self.vault.key_hashes(keys)?);
        Ok(())
    }

    /// Commits the written values: they replace earlier values of their keys.
    ///
    /// # Errors
    /// The errors of [`Vault::remove`].
    pub async fn commit(self) -> Result<(), LakeError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let new = match self.run {
            Some(run) => run.finish().await?,
            None => None,
        };
        self.vault
            .replace(new, &self.keys, ReplacedRuns::Keep)
            .await
    }
}

/// A run that is being written.
#[derive(Debug)]
pub(super) struct Run<'a> {
    vault: Vault<'a>,
    writer: ArrowWriter<NamedTempFile>,
    rows: u64,
}

impl<'a> Run<'a> {
    pub(super) fn begin(vault: &Vault<'a>) -> Result<Self, LakeError> {
        let folder = vault.lake.path(&vault.folder());
        let staged = vault.lake.store().staging_file(&folder)?;
        // Statistics would reveal equal values, and sealed values cannot be compressed.
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_max_row_group_row_count(Some(GROUP_ROWS));
        for column in vault.def.personal_columns() {
            let path = ColumnPath::from(column.name);
            properties = properties
                .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(path, false);
        }
        let (schema, properties) = (vault.def.sealed_schema(), properties.build());
        let writer = ArrowWriter::try_new(staged, schema, Some(properties))
            .map_err(|source| vault.write_error(source))?;
        Ok(Self {
            vault: *vault,
            writer,
            rows: 0,
        })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        self.rows += rows.num_rows() as u64;
        let written = self.writer.write(rows);
        written.map_err(|source| self.vault.write_error(source))
    }

    /// Moves the run into the store; `None` where it has no rows.
    pub(super) async fn finish(self) -> Result<Option<DataFile>, LakeError> {
        let staged = self.writer.into_inner();
        let staged = staged.map_err(|source| self.vault.write_error(source))?;
        if self.rows == 0 {
            return Ok(None);
        }
        let metadata = staged.as_file().metadata();
        let lease = self.vault.lake.lease().await;
        let run = DataFile {
            path: format!("run-{lease}-{}.parquet", Uuid::new_v4()),
            size: metadata.map(|meta| meta.len()).unwrap_or_default(),
            rows: self.rows,
            ..DataFile::default()
        };
        let path = self.vault.run_path(&run);
        self.vault.lake.store().put_file(&path, staged).await?;
        Ok(Some(run))
    }
}
