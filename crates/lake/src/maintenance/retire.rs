//! The end of all snapshots that are older than a retention run: they hold what the run removed.
//!
//! Objects are deleted first, the names and records of the snapshots last. So a process that dies in
//! between leaves records from which the next one finds the rest of the objects. Nobody reads the snapshots
//! meanwhile, since the newest one says that they are gone.

use std::collections::{BTreeMap, HashSet};

use rollbook_model::{SnapshotNumber, tables};
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::lake::Lake;
use crate::maintenance::vacuum::FOLDER;
use crate::state::State;
use crate::state::record;
use crate::table::{key_index, time_index};
use crate::vault;

/// The snapshots before another one that exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderSnapshots {
    /// How many there are.
    pub count: u64,
    /// Those with a name.
    pub named: BTreeMap<String, SnapshotNumber>,
}

impl Lake {
    /// The snapshots before `first`.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the stored snapshot of a name cannot be read.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn snapshots_before(
        &self,
        first: SnapshotNumber,
    ) -> Result<OlderSnapshots, LakeError> {
        let (oldest, newest) = self.span().await?;
        let mut named = self.named_snapshots().await?;
        named.retain(|_, number| *number < first);
        let end = first.0.min(newest.0 + 1);
        Ok(OlderSnapshots {
            count: end.saturating_sub(oldest.0.max(1)),
            named,
        })
    }

    /// Deletes the snapshots before `first`, also named ones, and the objects that only they refer to.
    /// `first` is the snapshot of a retention run, so that the newest one says that they are gone.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: a record or a manifest of personal values cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in one of these leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read, or an object cannot be
    ///   deleted.
    pub async fn retire_before(&self, first: SnapshotNumber) -> Result<(), LakeError> {
        if self.snapshots_before(first).await? == OlderSnapshots::default() {
            return Ok(());
        }
        // Whoever names a snapshot waits for this lease, and then finds that the snapshot is gone.
        let lease = self.vacuum_lease().await;
        let (oldest, _) = self.span().await?;
        let mut named = self.named_documents().await?;
        named.retain(|(_, named)| named.number < first);
        let mut objects: HashSet<String> = HashSet::new();
        let mut add = |state: &State| {
            objects.extend(state.all_objects().into_iter().map(|(below, _)| below));
        };
        named.iter().for_each(|(_, named)| add(&named.state));
        let last = SnapshotNumber(first.0.saturating_sub(1));
        let mut state = self.first_state(oldest, last).await?;
        while let Some(known) = state {
            add(&known);
            let next = known.number.next();
            state = match next > last {
                true => None,
                false => match self.find_record(next).await? {
                    Some(record) => Some(known.apply(&record)?),
                    None => self.first_state(next, last).await?,
                },
            };
        }
        self.each_retained(first, |state| {
            for (below, _) in state.all_objects() {
                objects.remove(&below);
            }
            Ok(())
        })
        .await?;
        for below in vault::readable_objects(self).await? {
            objects.remove(&below);
        }
        let paths = objects.iter().flat_map(|below| self.with_indexes(below));
        self.store().delete_all(&paths.collect::<Vec<_>>()).await?;
        for (name, _) in named {
            let path = self.path(&format!("{FOLDER}/{name}.json"));
            self.store().delete(&path).await?;
        }
        // In order, since numbers must have no gaps.
        for number in oldest.0.max(1)..first.0 {
            let path = record::path(self.tenant().as_str(), SnapshotNumber(number));
            self.store().delete(&path).await?;
        }
        drop(lease);
        Ok(())
    }

    /// The path of an object, and those of its indexes if it is a data file.
    fn with_indexes(&self, below: &str) -> Vec<String> {
        let path = self.path(below);
        let folder = below.split('/').next().unwrap_or_default();
        match tables::table(folder) {
            None => vec![path],
            Some(_) => vec![
                key_index::run_path(&path),
                time_index::times_path(&path),
                path,
            ],
        }
    }
}
