//! Compaction: merging the files of a table into few sorted ones, while others read and write.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use roaring::RoaringTreemap;
use rollbook_lake::maintenance::compact;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::{
    Cause, Commit, DataFile, Lake, LakeError, LakeTable, State, TableChange, TableState, Update,
};
use rollbook_model::config::Limits;
use rollbook_model::{SnapshotNumber, TableDef, Timestamp, tables};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::{AppError, Workspace};

/// Which files to compact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Tables with enough unsorted files that compaction pays.
    Due,
    /// All tables, until each is one sorted run.
    All,
}

/// Result of compacting one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// The table.
    pub table: &'static str,
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that were written.
    pub files_after: u64,
    /// Rows in these files.
    pub rows: u64,
    /// The snapshot that holds the new files.
    pub snapshot: SnapshotNumber,
}

/// Compacts tables; each in a commit of its own.
///
/// # Errors
/// There is no lake; a file is damaged or cannot be read or written; sorting exceeds its disk limit;
/// other writers win every attempt to commit.
pub async fn compact(
    workspace: &Workspace,
    extent: Extent,
    at: Timestamp,
) -> Result<Vec<Compacted>, AppError> {
    workspace.require("maintenance::compaction::compact")?;
    let turn = Mutex::new(());
    compact_lake(
        &workspace.lake().await?,
        workspace.limits,
        extent,
        at,
        &turn,
    )
    .await
}

/// Compacts what is due while this process keeps writing. Writers commit under the lock `turn`, which is
/// held for the commits only, not while files are written.
///
/// # Errors
/// Those of [`compact`].
pub async fn compact_beside(
    workspace: &Workspace,
    at: Timestamp,
    turn: &Mutex<()>,
) -> Result<Vec<Compacted>, AppError> {
    workspace.require("maintenance::compaction::compact_beside")?;
    let lake = workspace.lake().await?;
    compact_lake(&lake, workspace.limits, Extent::Due, at, turn).await
}

/// Compacts an open lake.
///
/// # Errors
/// Those of [`compact`].
pub async fn compact_lake(
    lake: &Lake,
    limits: Limits,
    extent: Extent,
    at: Timestamp,
    turn: &Mutex<()>,
) -> Result<Vec<Compacted>, AppError> {
    let mut done = Vec::new();
    let state = lake.head().await?;
    for def in tables::TABLES {
        let files = files_to_compact(&state.table(def.name), extent);
        if !files.is_empty() {
            done.extend(compact_table(lake, limits, def, files, at, turn).await?);
        }
    }
    Ok(done)
}

fn files_to_compact(table: &TableState, extent: Extent) -> Vec<DataFile> {
    match extent {
        Extent::Due => compact::due(table),
        Extent::All => compact::all(table),
    }
}

/// `None` if another writer replaced one of the files meanwhile.
async fn compact_table(
    lake: &Lake,
    limits: Limits,
    def: &'static TableDef,
    files: Vec<DataFile>,
    at: Timestamp,
    turn: &Mutex<()>,
) -> Result<Option<Compacted>, AppError> {
    let part = TableState {
        files: files.clone(),
        ..TableState::default()
    };
    let table = Arc::new(LakeTable::new(lake, def, &part));
    let order = def.sort_columns();
    let mut rows = rollbook_engine::in_order(limits, table, &order).await?;
    let mut writer = TableWriter::new(lake, def);
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch).await?;
    }
    let written = writer.finish().await?;
    let count = |files: &[DataFile]| files.iter().map(|file| file.rows).sum::<u64>();
    if count(&written) != count(&files) {
        let (before, after) = (count(&files), count(&written));
        return Err(LakeError::Damaged {
            path: def.name.to_owned(),
            detail: format!(
                "its files should hold {before} rows, but hold {after}; nothing was changed, \
                 a check of the lake reads every file"
            ),
        }
        .into());
    }
    let counts = [files.len() as u64, written.len() as u64];
    let _turn = turn.lock().await;
    let (files, written) = (&files, &written);
    let update = |base: Arc<State>| async move {
        if !has_files(&base, def, files) {
            return Ok(Update::Keep(None));
        }
        let change = TableChange {
            adds: written.clone(),
            removes: files.clone(),
        };
        let commit = Commit {
            cause: Cause::Compact {
                files: BTreeMap::from([(def.name.to_owned(), counts)]),
            },
            at,
            tables: BTreeMap::from([(def.name, change)]),
            touched: RoaringTreemap::new(),
            named: BTreeMap::new(),
            idempotency_keys: Vec::new(),
        };
        let compacted = Compacted {
            table: def.name,
            files_before: counts[0],
            files_after: counts[1],
            rows: count(written),
            snapshot: base.number.next(),
        };
        Ok::<_, AppError>(Update::commit(commit, Some(compacted)))
    };
    lake.update(update).await
}

fn has_files(state: &State, def: &TableDef, files: &[DataFile]) -> bool {
    let table = state.table(def.name);
    let is_there = |file: &DataFile| table.files.iter().any(|known| known.path == file.path);
    files.iter().all(is_there)
}
