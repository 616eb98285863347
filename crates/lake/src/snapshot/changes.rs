//! What changed between two snapshots.

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

/// What commits changed, but for those that only wrote rows anew in better order.
#[derive(Debug, Default)]
pub struct Changes {
    /// The persons whose rows changed.
    pub persons: RoaringTreemap,
    /// Of them those whose records somebody brought together.
    pub merged: RoaringTreemap,
    /// Of them those whose records somebody took apart.
    pub unmerged: RoaringTreemap,
    /// Of them those who were forgotten.
    pub erased: RoaringTreemap,
    /// The tables that changed, and of each the files that came or went.
    pub tables: BTreeMap<String, Vec<DataFile>>,
    /// The tables of which files went: rows in them were changed or taken away.
    pub rewritten: BTreeSet<String>,
    /// The named values that changed.
    pub named: BTreeSet<String>,
}

impl Changes {
    /// Adds what a commit changed; the files that went, by their table, to `gone`.
    fn note(
        &mut self,
        number: u64,
        record: SnapshotRecord,
        gone: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(), LakeError> {
        let damaged = |detail: String| LakeError::Damaged {
            path: format!("snapshot {number}"),
            detail,
        };
        let persons = decode_persons(&record.touched);
        let persons = persons.ok_or_else(|| damaged("the persons touched".to_owned()))?;
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
                        gone.entry(name.clone()).or_default().insert(file.path);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Lake {
    /// What the commits after `before` up to that of `after` changed; `None` where that is no
    /// longer known, since snapshots in between have expired.
    ///
    /// # Errors
    /// Those of the store, and damaged records.
    pub async fn changes(
        &self,
        before: SnapshotNumber,
        after: &State,
    ) -> Result<Option<Changes>, LakeError> {
        let mut changes = Changes::default();
        let mut gone: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // What compaction wrote holds rows from before, and may go again with what changes them.
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
                    _ => changes.note(*number, record, &mut gone)?,
                }
            }
        }
        changes.rewritten = gone.keys().cloned().collect();
        let known = match before.0 == 0 || gone.is_empty() {
            true => State::default(),
            false => match self.state(before).await {
                Ok(state) => state,
                Err(LakeError::Expired { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        for (name, gone) in gone {
            let compacted = gone.iter().filter_map(|path| compacted.remove(path));
            let files = known.table(&name).files.into_iter();
            let went = files.filter(|file| gone.contains(&file.path));
            let went: Vec<DataFile> = compacted.chain(went).collect();
            changes.tables.entry(name).or_default().extend(went);
        }
        Ok(Some(changes))
    }
}

/// The files that a commit added, by their names, which no two tables share.
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
