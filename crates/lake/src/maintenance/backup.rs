//! A plain copy of a tenant's lake at a snapshot, while others go on writing: the backup and its
//! restoring, which is the same the other way round.
//!
//! What a snapshot names never changes, so it can be copied at leisure. Personal values are latest
//! only: the vault's manifest is read again when a run that it names has gone meanwhile. The
//! snapshots' records go last, so that a copy that was broken off is no lake.

use rollbook_model::{SnapshotNumber, Timestamp, tables};
use serde::Serialize;

use crate::LakeError;
use crate::json::to_json;
use crate::lake::Lake;
use crate::state::State;
use crate::state::delta_log;
use crate::state::record::{self, SnapshotRecord};
use crate::storage::Store;
use crate::table::key_index;
use crate::vault;
use crate::wal::{self, Entry};

const FORMAT: &str = "_format.json";
/// Attempts to copy a vault that others write to.
const ATTEMPTS: u32 = 10;
/// Which ids have been given: none must be given again.
const IDS: &str = "_ids";

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The newest snapshot of the copy.
    pub snapshot: SnapshotNumber,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Copies the tenant's lake at a snapshot, the newest without one, to an empty place.
    pub async fn copy_to(
        &self,
        to: &Store,
        number: Option<SnapshotNumber>,
    ) -> Result<BackupReport, LakeError> {
        // What was acknowledged by now is in the journal, or in the snapshot that is read next.
        let waiting = match number {
            Some(_) => Vec::new(),
            None => self.waiting_entries().await?,
        };
        let state = match number {
            Some(number) => self.state(number).await?,
            None => self.head().await?,
        };
        // What lies there may belong to a program that is newer than this one.
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
        // Before anything is written it is known whether all of it may be.
        for object in state.objects() {
            let path = self.path(&object);
            self.store().must_hold(&path)?;
            to.must_hold(&path)?;
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
                copy.put_checkpoint_of_copy(def, table, at).await?;
            }
        }
        for object in state.objects() {
            self.copy(&self.path(&object), to, &mut copied).await?;
        }
        for object in self.store().walk(&self.path(IDS)).await? {
            self.copy(&object.path, to, &mut copied).await?;
        }
        self.copy_vaults(to, &mut copied).await?;
        if number.is_none() {
            self.copy_journal(waiting, &copy, &mut copied).await?;
        }
        self.copy_record(state, to, &mut copied).await?;
        Ok(copied)
    }

    async fn waiting_entries(&self) -> Result<Vec<Entry>, LakeError> {
        let mut waiting = Vec::new();
        for appended in self.wal_objects().await? {
            waiting.extend(self.entries(&appended).await?);
        }
        Ok(waiting)
    }

    /// Copies entries that the copied snapshot does not have, and those that were put aside.
    async fn copy_journal(
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
        // A vault that was written to meanwhile lacks a run or the manifest that was read.
        for object in vault::live(self).await? {
            self.copy(&self.path(&object), to, copied).await?;
        }
        Ok(())
    }

    /// The record of the snapshot, with the whole state in it: what the copy is opened from.
    async fn copy_record(
        &self,
        state: State,
        to: &Store,
        copied: &mut BackupReport,
    ) -> Result<(), LakeError> {
        let number = state.number;
        let path = record::path(self.tenant().as_str(), number);
        // A snapshot that was kept by name may have outlived its record.
        let record = self.find_record(number).await?;
        let mut record = record.unwrap_or_else(|| SnapshotRecord::nameless(number));
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
