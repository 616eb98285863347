//! One Parquet file of a vault, and new values on their way into one.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::{OldRuns, Vault};
use crate::LakeError;
use crate::encryption::key_pages::DataKeys;
use crate::encryption::seal::seal_rows;
use crate::state::DataFile;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 128 * 1024;

/// Values on their way into a vault.
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

    /// Takes rows in `def.vault_schema()`; over all batches each key comes once.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let known = std::mem::take(&mut self.data_keys);
        self.data_keys = self.vault.keys_of(rows, known).await?;
        let sealed = seal_rows(self.vault.def, rows, &self.data_keys);
        let sealed = sealed.map_err(|source| self.vault.misfit(source))?;
        self.keys.extend(self.vault.encode(&sealed)?);
        let run = match self.run.take() {
            Some(run) => run,
            None => Run::begin(&self.vault)?,
        };
        self.run.insert(run).write(&sealed)
    }

    /// Takes keys (columns `def.vault_keys()`) that have no value any more.
    pub fn forget(&mut self, keys: &RecordBatch) -> Result<(), LakeError> {
        self.keys.extend(self.vault.encode(keys)?);
        Ok(())
    }

    /// Makes the rows the latest values of their keys.
    pub async fn commit(self) -> Result<(), LakeError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let new = match self.run {
            Some(run) => run.finish().await?,
            None => None,
        };
        self.vault.replace(new, &self.keys, OldRuns::Stay).await
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
        // No statistics: they would tell which values are the same. What is sealed is noise, which
        // nothing makes smaller.
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
            .map_err(|source| vault.unwritten(source))?;
        Ok(Self {
            vault: *vault,
            writer,
            rows: 0,
        })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        self.rows += rows.num_rows() as u64;
        let written = self.writer.write(rows);
        written.map_err(|source| self.vault.unwritten(source))
    }

    /// Puts the run into its place; `None` where it has no rows.
    pub(super) async fn finish(self) -> Result<Option<DataFile>, LakeError> {
        let staged = self.writer.into_inner();
        let staged = staged.map_err(|source| self.vault.unwritten(source))?;
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
