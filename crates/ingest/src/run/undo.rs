//! Undoing a run, including the personal values that only this run brought.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::vault::Vault;
use rollbook_lake::{
    Cause, Commit, DataFile, Lake, LakeError, ORDERS_COMPLETE, State, TableChange, Update,
};
use rollbook_model::config::Limits;
use rollbook_model::{BatchId, SnapshotNumber, TableDef, Timestamp, tables};

use crate::IngestError;
use crate::persons::identifying_values::rows_of;
use crate::persons::{erasure, without_records};
use crate::rows::fingerprint::Encoder;
use crate::rows::identity::KeyMap;
use crate::rows::order_references::{COUNTED_WITHOUT, ORDERS};
use crate::rows::stage::keys_of;
use crate::rows::table_order::SortedWriter;

/// Reverts an ingest run; returns the new snapshot.
///
/// Rows return to their version from before the run. Rows of persons who were erased since then do not: they
/// stay as they are, or are deleted if the run added them. Only the latest personal values are stored: those
/// of rows that are now deleted are deleted too, those of restored rows keep the values of the run.
///
/// # Errors
/// [`IngestError::Lake`] where no commit has this batch, where a later run changed one of its rows (then
/// that run has to be reverted first), where the lake cannot be read or written, or where other writers
/// were faster 10 times; [`IngestError::Rows`] where rows of a file cannot be compared or filtered.
pub async fn undo(
    lake: &Lake,
    batch: &BatchId,
    limits: Limits,
    at: Timestamp,
) -> Result<SnapshotNumber, IngestError> {
    let update = |base: Arc<State>| async move {
        let done = lake.batch_change(batch).await?;
        let erased = erasure::erased_records(lake, &base).await?;
        let mut changes = BTreeMap::new();
        for (name, change) in done.tables {
            let Some(def) = tables::table(name) else {
                continue;
            };
            let stands = stands(&base, name, &change)
                && !has_rows_of(lake, def, &change.removes, &erased).await?;
            let undone = match stands {
                true => TableChange {
                    adds: change.removes,
                    removes: change.adds,
                },
                false => unwind(lake, &base, batch, def, &change, &erased, limits).await?,
            };
            changes.insert(name, undone);
        }
        let mut named =
            without_records::after_undo(lake, &base, changes.get(tables::IDENTITIES.name)).await?;
        let is_of_orders = |table: &&str| *table == ORDERS || COUNTED_WITHOUT.contains(table);
        if base.named.contains_key(ORDERS_COMPLETE) && changes.keys().any(is_of_orders) {
            named.insert(ORDERS_COMPLETE.to_owned(), None);
        }
        let commit = Commit {
            cause: Cause::Undo {
                batch: batch.clone(),
            },
            at,
            tables: changes.clone(),
            touched: done.touched,
            named,
            idempotency_keys: Vec::new(),
        };
        Ok::<_, IngestError>(Update::commit(commit, (base.number.next(), changes)))
    };
    let (snapshot, changes) = lake.update(update).await?;
    forget(lake, &changes).await?;
    Ok(snapshot)
}

/// Whether all files that the run wrote still exist, so that they can be removed as a whole.
fn stands(base: &State, table: &str, change: &TableChange) -> bool {
    let files = base.table(table).files;
    let is_there = |added: &DataFile| files.iter().any(|file| file.path == added.path);
    change.adds.iter().all(is_there)
}

/// The change that undoes a run row by row, because its files were rewritten since then.
async fn unwind(
    lake: &Lake,
    base: &State,
    batch: &BatchId,
    def: &'static TableDef,
    change: &TableChange,
    erased: &HashSet<i64>,
    limits: Limits,
) -> Result<TableChange, IngestError> {
    let overwritten = || LakeError::Overwritten {
        batch: batch.clone(),
        table: def.name.to_owned(),
    };
    let whole = Encoder::whole(def)?;
    let (new, old) = (
        versions(lake, def, &change.adds, erased).await?,
        versions(lake, def, &change.removes, erased).await?,
    );
    let is_changed = |key: &u128| match (new.get(key), old.get(key)) {
        (Some(new), None) if new.is_erased => true,
        (_, Some(old)) if old.is_erased => false,
        (new, old) => new != old,
    };
    // Of who was erased there may be no row any more.
    let stands = |(key, new): &(&u128, &Version)| is_changed(key) && !new.is_erased;
    let mut missing = new.iter().filter(stands).count();
    let mut undone = TableChange::default();
    for file in &base.table(def.name).files {
        let mut masks = Vec::new();
        for rows in read_file(lake, def, file, None).await? {
            let rows = rows.map_err(IngestError::rows(def.name, "read"))?;
            let (keys, hashes) = (keys_of(def, &rows)?, whole.hashes(&rows)?);
            let mut stays = Vec::with_capacity(keys.len());
            for (key, hash) in keys.iter().zip(hashes) {
                let goes = is_changed(key);
                if goes {
                    let new = new.get(key).filter(|new| new.hash == hash);
                    let new = new.ok_or_else(overwritten)?;
                    missing -= usize::from(!new.is_erased);
                }
                stays.push(!goes);
            }
            masks.push(BooleanArray::from(stays));
        }
        if masks.iter().all(|mask| mask.true_count() == mask.len()) {
            continue;
        }
        let mut writer = TableWriter::new(lake, def);
        for (rows, mask) in read_file(lake, def, file, None).await?.zip(&masks) {
            let rows = rows.and_then(|rows| filter_record_batch(&rows, mask));
            let rows = rows.map_err(IngestError::rows(def.name, "filtered"))?;
            writer.write(&rows).await?;
        }
        undone.removes.push(file.clone());
        undone.adds.extend(writer.finish().await?);
    }
    // A row that is not there any more was retired by a later run.
    if missing > 0 {
        return Err(overwritten().into());
    }
    let back = SortedWriter::start(lake, def, limits);
    for file in &change.removes {
        for rows in read_file(lake, def, file, None).await? {
            let rows = rows.map_err(IngestError::rows(def.name, "read"))?;
            let comes = keys_of(def, &rows)?
                .iter()
                .map(|key| Some(is_changed(key)))
                .collect();
            let rows = filter_record_batch(&rows, &comes);
            back.send(rows.map_err(IngestError::rows(def.name, "filtered"))?)
                .await;
        }
    }
    undone.adds.extend(back.finish().await?);
    Ok(undone)
}

/// A row as it is in a file.
#[derive(PartialEq, Eq)]
struct Version {
    hash: u64,
    /// Whether it belongs to an erased person.
    is_erased: bool,
}

/// The version of each row in these files, by key.
async fn versions(
    lake: &Lake,
    def: &'static TableDef,
    files: &[DataFile],
    erased: &HashSet<i64>,
) -> Result<KeyMap<Version>, IngestError> {
    let whole = Encoder::whole(def)?;
    let mut versions = KeyMap::default();
    for file in files {
        for rows in read_file(lake, def, file, None).await? {
            let rows = rows.map_err(IngestError::rows(def.name, "read"))?;
            let hashes = whole.hashes(&rows)?;
            let is_erased = rows_of(&rows, erased);
            let rows = keys_of(def, &rows)?.into_iter().zip(hashes).enumerate();
            versions.extend(rows.map(|(row, (key, hash))| {
                let is_erased = is_erased.value(row);
                (key, Version { hash, is_erased })
            }));
        }
    }
    Ok(versions)
}

/// Whether these files have a row of one of these records.
async fn has_rows_of(
    lake: &Lake,
    def: &'static TableDef,
    files: &[DataFile],
    records: &HashSet<i64>,
) -> Result<bool, IngestError> {
    if records.is_empty() || def.column("identity_id").is_none() {
        return Ok(false);
    }
    for file in files {
        for rows in read_file(lake, def, file, Some(&["identity_id"])).await? {
            let rows = rows.map_err(IngestError::rows(def.name, "read"))?;
            if rows_of(&rows, records).true_count() > 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Deletes the personal values of rows that were in the removed files and are not in the restored ones. A key
/// is in a table only once, so it cannot be in a third file.
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
        Vault::new(lake, def).erase(&gone).await?;
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
