//! Taking a batch back: its files go, the files that it replaced come back.

use std::collections::BTreeMap;

use deltalake_core::kernel::Action;
use rollbook_model::{BatchId, SnapshotNumber, Timestamp, tables};

use crate::lake::{Commit, Lake, TableChange};
use crate::snapshot::{Cause, SnapshotRecord};
use crate::state::{DataFile, State, TableState};
use crate::{LakeError, objects};

impl Lake {
    /// The commit that takes `batch` back from the state `base`.
    ///
    /// It is refused when a later batch has rewritten a file of this one: then the later one has
    /// to be taken back first.
    pub async fn undo(
        &self,
        base: &State,
        batch: &BatchId,
        at: Timestamp,
    ) -> Result<Commit, LakeError> {
        let records = self.records().await?;
        let record = find(&records, batch)?;
        let before = match record.number.0 {
            1 => State::default(),
            number => self.state(SnapshotNumber(number - 1)).await?,
        };
        let mut changes = BTreeMap::new();
        for (name, entry) in &record.tables {
            let overwritten = || LakeError::Overwritten {
                batch: batch.clone(),
                table: name.clone(),
            };
            let mut change = TableChange::default();
            for line in entry.log.lines() {
                let action = serde_json::from_str(line).map_err(|error| LakeError::Damaged {
                    path: format!("snapshot {}", record.number),
                    detail: error.to_string(),
                })?;
                match action {
                    Action::Add(add) => change
                        .removes
                        .push(file(&base.table(name), &add.path).ok_or_else(overwritten)?),
                    Action::Remove(gone) => change
                        .adds
                        .push(file(&before.table(name), &gone.path).ok_or_else(overwritten)?),
                    _ => {}
                }
            }
            let def = tables::table(name).ok_or_else(overwritten)?;
            changes.insert(def.name, change);
        }
        let touched =
            objects::decode_persons(&record.touched).ok_or_else(|| LakeError::Damaged {
                path: format!("snapshot {}", record.number),
                detail: "its set of persons cannot be read".to_owned(),
            })?;
        Ok(Commit {
            cause: Cause::Undo {
                batch: batch.clone(),
            },
            at,
            tables: changes,
            touched,
            named: BTreeMap::new(),
            idempotency_keys: Vec::new(),
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
