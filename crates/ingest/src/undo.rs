//! Taking a run back, the personal values that only it brought included.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use rollbook_lake::scan::read_file;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Committed, DataFile, Lake, LakeError, TableChange};
use rollbook_model::{BatchId, SnapshotNumber, TableDef, Timestamp, tables};

use crate::IngestError;
use crate::fingerprint::Encoder;

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// Takes a run back; the snapshot that did it.
///
/// Rows come back as they were. Personal values are kept in their latest state only: those of rows
/// that are gone now are forgotten, those of rows that come back stay as the run left them.
pub async fn undo(
    lake: &Lake,
    batch: &BatchId,
    at: Timestamp,
) -> Result<SnapshotNumber, IngestError> {
    for _ in 0..ATTEMPTS {
        let base = lake.head().await?;
        let commit = lake.undo(&base, batch, at).await?;
        let changes = commit.tables.clone();
        if let Committed::Done(state) = lake.commit(&base, commit).await? {
            forget(lake, &changes).await?;
            return Ok(state.number);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// Forgets the personal values of rows that were in removed files and are not in those that came
/// back. A key is in a table once, so it cannot be in a third file.
async fn forget(
    lake: &Lake,
    changes: &BTreeMap<&'static str, TableChange>,
) -> Result<(), IngestError> {
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let Some(change) = changes.get(def.name) else {
            continue;
        };
        let encoder = Encoder::vault_key(def)?;
        let mut stays = HashSet::new();
        for batch in keys_in(lake, def, &change.adds).await? {
            stays.extend(encoder.keys(&batch)?);
        }
        let mut gone = Vec::new();
        for batch in keys_in(lake, def, &change.removes).await? {
            let keys = encoder.keys(&batch)?;
            let leaves: BooleanArray = keys.iter().map(|key| Some(!stays.contains(key))).collect();
            let rows = filter_record_batch(&batch, &leaves);
            gone.push(rows.map_err(IngestError::rows(def.name, "filtered"))?);
        }
        Vault::new(lake, def).remove(&gone).await?;
    }
    Ok(())
}

async fn keys_in(
    lake: &Lake,
    def: &'static TableDef,
    files: &[DataFile],
) -> Result<Vec<RecordBatch>, IngestError> {
    let mut batches = Vec::new();
    for file in files {
        for batch in read_file(lake, def, file, Some(def.vault_keys())).await? {
            batches.push(batch.map_err(IngestError::rows(def.name, "read"))?);
        }
    }
    Ok(batches)
}
