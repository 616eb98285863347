//! Backup: a plain copy of a tenant's lake at a snapshot, while other programs write to the lake.
//! Restoring is the same copy in the other direction.
//!
//! The objects of a snapshot never change, so they can be copied one after the other. Personal values
//! exist in their latest state only: the vault's manifest is read again when a run that it lists has
//! been deleted meanwhile. Secrets exist in their latest state only, too. The snapshot's record is copied
//! last, so that an interrupted copy is not a lake.

use rollbook_model::{SnapshotNumber, Timestamp, tables};
use serde::Serialize;

use crate::LakeError;
use crate::json::to_json;
use crate::lake::Lake;
use crate::secrets;
use crate::state::State;
use crate::state::delta_log;
use crate::state::record::{self, SnapshotRecord};
use crate::storage::Store;
use crate::table::key_index;
use crate::vault;
use crate::wal::{self, Entry};

const FORMAT: &str = "_format.json";
/// Attempts to copy a vault while other programs write to it.
const ATTEMPTS: u32 = 10;
/// The folder of the reserved ranges of ids: no id may be given twice.
const IDS: &str = "_ids";

/// What a backup copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The newest snapshot of the copy.
    pub snapshot: SnapshotNumber,
    /// Objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
}

impl Lake {
    /// Copies the tenant's lake to a store that holds nothing of the tenant: at the snapshot `number`,
    /// or at the newest one together with the write-ahead log.
    ///
    /// # Errors
    /// - [`LakeError::Occupied`]: the target holds data of the tenant.
    /// - [`LakeError::NewerFormat`], [`LakeError::OlderFormat`]: a program of another version wrote to
    ///   the target.
    /// - [`LakeError::NoSnapshot`], [`LakeError::Expired`]: the snapshot does not exist, or not any
    ///   more.
    /// - [`LakeError::Damaged`]: a record, a manifest of personal values or an object of the
    ///   write-ahead log cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in the lake leads out of it.
    /// - [`LakeError::Store`], [`LakeError::File`]: an object is missing, or cannot be read or written.
    pub async fn copy_to(
        &self,
        to: &Store,
        number: Option<SnapshotNumber>,
    ) -> Result<BackupReport, LakeError> {
        // Rows acknowledged so far are in the write-ahead log, or in the snapshot that is read next.
        let waiting = match number {
            Some(_) => Vec::new(),
            None => self.waiting_entries().await?,
        };
        let state = match number {
            Some(number) => self.state(number).await?,
            None => self.head().await?,
        };
        // A newer program may have written to the target: opening it checks the format.
        let copy = Lake::on(to.clone(), self.tenant().clone()).await?;
        let tenant = self.tenant().as_str();
        if !to
            .list(&format!("{tenant}/{}", record::FOLDER))
            .await?
            .is_empty()
        {
            return Err(LakeError::Occupied {
                location: to.location().to_owned(),
                tenant: tenant.to_owned(),
            });
        }
        // All paths are checked before the first object is copied.
        for object in state.objects() {
            let path = self.path(&object);
            self.store().check_path(&path)?;
            to.check_path(&path)?;
        }
        let mut copied = BackupReport {
            snapshot: state.number,
            ..BackupReport::default()
        };
        self.copy(FORMAT, to, &mut copied).await?;
        let record = self.find_record(state.number).await?;
        let at = record.map_or(Timestamp::from_micros(0), |record| record.committed_at);
        for (name, table) in &state.tables {
            for file in &table.files {
                let path = self.path(&format!("{name}/{}", file.path));
                self.copy(&path, to, &mut copied).await?;
                let keys = key_index::run_path(&path);
                if self.store().get_size(&keys).await?.is_some() {
                    self.copy(&keys, to, &mut copied).await?;
                }
            }
            for version in 0..=table.version.unwrap_or_default() {
                let path = self.path(&delta_log::log_path(name, version));
                self.copy(&path, to, &mut copied).await?;
            }
            if let Some(def) = tables::table(name) {
                copy.put_checkpoint_of_backup(def, table, at).await?;
            }
        }
        for object in state.objects() {
            self.copy(&self.path(&object), to, &mut copied).await?;
        }
        for object in self.store().walk(&self.path(IDS)).await? {
            self.copy(&object.path, to, &mut copied).await?;
        }
        self.copy_secrets(to, &mut copied).await?;
        self.copy_vaults(to, &mut copied).await?;
        if number.is_none() {
            self.copy_wal(waiting, &copy, &mut copied).await?;
        }
        self.copy_record(state, to, &mut copied).await?;
        Ok(copied)
    }

    /// The entries of the write-ahead log.
    async fn waiting_entries(&self) -> Result<Vec<Entry>, LakeError> {
        let mut waiting = Vec::new();
        for appended in self.wal_objects().await? {
            waiting.extend(self.entries(&appended).await?);
        }
        Ok(waiting)
    }

    /// Copies the entries of the write-ahead log that are not in the copied snapshot, and the refused
    /// entries.
    async fn copy_wal(
        &self,
        mut waiting: Vec<Entry>,
        copy: &Lake,
        copied: &mut BackupReport,
    ) -> Result<(), LakeError> {
        if let Some(after) = waiting.iter().map(|entry| entry.header.after).min() {
            let answered = self.answered_since(after).await?;
            let is_in = |entry: &Entry| {
                let by = answered.get(&entry.header.id);
                by.is_some_and(|snapshot| *snapshot <= copied.snapshot)
            };
            waiting.retain(|entry| !is_in(entry));
        }
        if !waiting.is_empty() {
            let appended = copy.append(&waiting, 1).await?;
            copied.objects += 1;
            copied.bytes += appended.bytes;
        }
        for object in self.store().walk(&self.path(wal::REFUSED)).await? {
            self.copy(&object.path, copy.store(), copied).await?;
        }
        Ok(())
    }

    /// Copies the secrets, sealed. They come before the keys of the tenant, which then include theirs.
    async fn copy_secrets(&self, to: &Store, copied: &mut BackupReport) -> Result<(), LakeError> {
        for name in self.secret_names().await? {
            match self
                .copy(&self.path(&secrets::below(&name)), to, copied)
                .await
            {
                // Deleted since the listing.
                Err(error) if error.is_absence() => {}
                done => done?,
            }
        }
        Ok(())
    }

    async fn copy_vaults(&self, to: &Store, copied: &mut BackupReport) -> Result<(), LakeError> {
        for attempt in 1.. {
            match self.copy_vaults_once(to, copied).await {
                Err(
                    LakeError::File { .. } | LakeError::Store { .. } | LakeError::Damaged { .. },
                ) if attempt < ATTEMPTS => {}
                done => return done,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn copy_vaults_once(
        &self,
        to: &Store,
        copied: &mut BackupReport,
    ) -> Result<(), LakeError> {
        // Where another program wrote to a vault meanwhile, one of these objects is missing.
        for object in vault::current_objects(self).await? {
            self.copy(&self.path(&object), to, copied).await?;
        }
        Ok(())
    }

    /// Copies the record of the snapshot and adds the whole state to it: the copy has no earlier
    /// records to replay.
    async fn copy_record(
        &self,
        state: State,
        to: &Store,
        copied: &mut BackupReport,
    ) -> Result<(), LakeError> {
        let number = state.number;
        let path = record::path(self.tenant().as_str(), number);
        // The record of a named snapshot may have expired.
        let record = self.find_record(number).await?;
        let mut record = record.unwrap_or_else(|| SnapshotRecord::placeholder(number));
        record.state = Some(Box::new(state));
        let bytes = to_json(&record)?;
        to.put_new(&path, &bytes).await?;
        copied.objects += 1;
        copied.bytes += bytes.len() as u64;
        Ok(())
    }

    async fn copy(
        &self,
        path: &str,
        to: &Store,
        copied: &mut BackupReport,
    ) -> Result<(), LakeError> {
        let mut from = self.store().open(path).await?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut staged = to.staging_file(folder)?;
        let bytes = std::io::copy(&mut from, staged.as_file_mut());
        let bytes = bytes.map_err(|source| LakeError::File {
            doing: "copy",
            path: path.into(),
            source,
        })?;
        to.put_file(path, staged).await?;
        copied.objects += 1;
        copied.bytes += bytes;
        Ok(())
    }
}
