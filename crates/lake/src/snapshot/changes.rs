//! The changes between two snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join_all;
use roaring::RoaringTreemap;
use rollbook_model::SnapshotNumber;

use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::bitmaps::decode_persons;
use crate::state::actions::Action;
use crate::state::delta_log::data_file;
use crate::state::record::{Cause, IdentityChange, SnapshotRecord};
use crate::state::{DataFile, State};

/// The changes of a sequence of commits. Compactions are left out, since they change no rows.
#[derive(Debug, Default)]
pub struct Changes {
    /// The persons whose rows changed.
    pub persons: RoaringTreemap,
    /// Those of `persons` whose records a decision merged.
    pub merged: RoaringTreemap,
    /// Those of `persons` whose records a decision split.
    pub unmerged: RoaringTreemap,
    /// Those of `persons` who were erased.
    pub erased: RoaringTreemap,
    /// The files that were added or removed, by table.
    pub tables: BTreeMap<String, Vec<DataFile>>,
    /// The tables of which files were removed: rows were changed or deleted.
    pub rewritten: BTreeSet<String>,
    /// The names of the values that changed.
    pub named: BTreeSet<String>,
}

impl Changes {
    /// Adds the changes of a commit. Files that the commit removed are added to `removed`, by table.
    fn add(
        &mut self,
        number: u64,
        record: SnapshotRecord,
        removed: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(), LakeError> {
        let damaged = |detail: String| LakeError::Damaged {
            path: format!("snapshot {number}"),
            detail,
        };
        let persons = decode_persons(&record.touched);
        let persons =
            persons.ok_or_else(|| damaged("its bitmap of persons cannot be parsed".to_owned()))?;
        if let Cause::Identity { change, .. } = record.cause {
            match change {
                IdentityChange::Merge => self.merged |= &persons,
                IdentityChange::Unmerge => self.unmerged |= &persons,
                IdentityChange::Erasure => self.erased |= &persons,
            }
        }
        self.persons |= persons;
        self.named.extend(record.named.into_keys());
        for (name, commit) in &record.tables {
            let files = self.tables.entry(name.clone()).or_default();
            for line in commit.log.lines() {
                let action = serde_json::from_str(line);
                match action.map_err(|error| damaged(error.to_string()))? {
                    Action::Add(add) => files.push(data_file(&add)?),
                    Action::Remove(file) => {
                        removed.entry(name.clone()).or_default().insert(file.path);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Lake {
    /// The changes of the commits after `before` up to that of `after`; `None` where snapshots in
    /// between have expired.
    ///
    /// # Errors
    /// - [`LakeError::NoSnapshot`]: the lake has no snapshot `before`.
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in a record leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn changes(
        &self,
        before: SnapshotNumber,
        after: &State,
    ) -> Result<Option<Changes>, LakeError> {
        let mut changes = Changes::default();
        let mut removed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // Files that compaction wrote hold older rows. A later commit may remove these files.
        let mut compacted: HashMap<String, DataFile> = HashMap::new();
        let numbers: Vec<u64> = (before.0 + 1..=after.number.0).collect();
        for some in numbers.chunks(self.store().read_at_once()) {
            let read = some
                .iter()
                .map(|number| self.find_record(SnapshotNumber(*number)));
            let records = try_join_all(read).await?;
            for (number, record) in some.iter().zip(records) {
                let Some(record) = record else {
                    return Ok(None);
                };
                match record.cause {
                    Cause::Compact { .. } => compacted.extend(added(*number, &record)?),
                    _ => changes.add(*number, record, &mut removed)?,
                }
            }
        }
        changes.rewritten = removed.keys().cloned().collect();
        let known = match before.0 == 0 || removed.is_empty() {
            true => State::default(),
            false => match self.state(before).await {
                Ok(state) => state,
                Err(LakeError::Expired { .. } | LakeError::Removed { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        for (name, removed) in removed {
            let compacted = removed.iter().filter_map(|path| compacted.remove(path));
            let files = known.table(&name).files.into_iter();
            let older = files.filter(|file| removed.contains(&file.path));
            let all: Vec<DataFile> = compacted.chain(older).collect();
            changes.tables.entry(name).or_default().extend(all);
        }
        Ok(Some(changes))
    }
}

/// The files that a commit added, by name. No two tables have files of one name.
fn added(number: u64, record: &SnapshotRecord) -> Result<Vec<(String, DataFile)>, LakeError> {
    let mut files = Vec::new();
    for commit in record.tables.values() {
        for line in commit.log.lines() {
            let action = serde_json::from_str(line).map_err(|error| LakeError::Damaged {
                path: format!("snapshot {number}"),
                detail: error.to_string(),
            })?;
            if let Action::Add(add) = action {
                let file = data_file(&add)?;
                files.push((file.path.clone(), file));
            }
        }
    }
    Ok(files)
}
