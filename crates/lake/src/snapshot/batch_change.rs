//! The change that a batch made, which undoing the batch reverts.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_model::{BatchId, SnapshotNumber, tables};

use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::bitmaps;
use crate::state::actions::Action;
use crate::state::record::{Cause, SnapshotRecord};
use crate::state::{DataFile, State, TableChange, TableState};

/// The change that one batch made.
#[derive(Debug, Clone)]
pub struct BatchChange {
    /// The files that the batch added and removed, by table.
    pub tables: BTreeMap<&'static str, TableChange>,
    /// The persons whose rows the batch changed.
    pub touched: RoaringTreemap,
}

impl Lake {
    /// The change that a batch made.
    ///
    /// # Errors
    /// - [`LakeError::NoBatch`]: no retained snapshot committed the batch.
    /// - [`LakeError::AlreadyUndone`]: the batch was undone.
    /// - [`LakeError::Expired`]: the snapshot before the batch has expired.
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read, or refers to unknown files.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn batch_change(&self, batch: &BatchId) -> Result<BatchChange, LakeError> {
        let records = self.records().await?;
        let record = find(&records, batch)?;
        let before = match record.number.0 {
            1 => State::default(),
            number => self.state(SnapshotNumber(number - 1)).await?,
        };
        let after = self.state(record.number).await?;
        let damaged = |detail: String| LakeError::Damaged {
            path: format!("snapshot {}", record.number),
            detail,
        };
        let mut changes = BTreeMap::new();
        for (name, entry) in &record.tables {
            let unknown = |path: &str| damaged(format!("it refers to the unknown file `{path}`"));
            let mut change = TableChange::default();
            for line in entry.log.lines() {
                let action = serde_json::from_str(line).map_err(|e| damaged(e.to_string()))?;
                match action {
                    Action::Add(add) => {
                        let added = file(&after.table(name), &add.path);
                        change.adds.push(added.ok_or_else(|| unknown(&add.path))?);
                    }
                    Action::Remove(remove) => {
                        let removed = file(&before.table(name), &remove.path);
                        change
                            .removes
                            .push(removed.ok_or_else(|| unknown(&remove.path))?);
                    }
                    _ => {}
                }
            }
            let def = tables::table(name)
                .ok_or_else(|| damaged(format!("it changes the unknown table `{name}`")))?;
            changes.insert(def.name, change);
        }
        let touched = bitmaps::decode_persons(&record.touched)
            .ok_or_else(|| damaged("its bitmap of persons cannot be parsed".to_owned()))?;
        Ok(BatchChange {
            tables: changes,
            touched,
        })
    }
}

/// The record of the commit of a batch that was not undone.
fn find<'a>(
    records: &'a [SnapshotRecord],
    batch: &BatchId,
) -> Result<&'a SnapshotRecord, LakeError> {
    let undone = records
        .iter()
        .find(|r| matches!(&r.cause, Cause::Undo { batch: b } if b == batch));
    if let Some(undone) = undone {
        return Err(LakeError::AlreadyUndone {
            batch: batch.clone(),
            by: undone.number,
        });
    }
    records
        .iter()
        .find(|r| matches!(&r.cause, Cause::Ingest { batch: b, .. } if b == batch))
        .ok_or_else(|| LakeError::NoBatch {
            batch: batch.clone(),
        })
}

fn file(table: &TableState, path: &str) -> Option<DataFile> {
    table.files.iter().find(|file| file.path == path).cloned()
}
