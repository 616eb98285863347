//! What a run of ingest changed, for those who take it back.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_model::{BatchId, SnapshotNumber, tables};

use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::bitmaps;
use crate::state::actions::Action;
use crate::state::record::{Cause, SnapshotRecord};
use crate::state::{DataFile, State, TableChange, TableState};

/// What one run changed.
#[derive(Debug, Clone)]
pub struct BatchChange {
    /// The files that it wrote and those that it replaced, by table.
    pub tables: BTreeMap<&'static str, TableChange>,
    /// The persons whose rows it changed.
    pub touched: RoaringTreemap,
}

impl Lake {
    /// The change that `batch` was, if it has not been taken back and its snapshot has not expired.
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
            let unknown = |path: &str| damaged(format!("it names `{path}`, which is nowhere"));
            let mut change = TableChange::default();
            for line in entry.log.lines() {
                let action = serde_json::from_str(line).map_err(|e| damaged(e.to_string()))?;
                match action {
                    Action::Add(add) => {
                        let added = file(&after.table(name), &add.path);
                        change.adds.push(added.ok_or_else(|| unknown(&add.path))?);
                    }
                    Action::Remove(gone) => {
                        let removed = file(&before.table(name), &gone.path);
                        change
                            .removes
                            .push(removed.ok_or_else(|| unknown(&gone.path))?);
                    }
                    _ => {}
                }
            }
            let def = tables::table(name).ok_or_else(|| damaged(format!("no table `{name}`")))?;
            changes.insert(def.name, change);
        }
        let touched = bitmaps::decode_persons(&record.touched)
            .ok_or_else(|| damaged("its set of persons cannot be read".to_owned()))?;
        Ok(BatchChange {
            tables: changes,
            touched,
        })
    }
}

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
