//! The snapshots of a lake.

use std::collections::BTreeMap;

use rollbook_lake::{Cause, State, ValueName};
use rollbook_model::{SnapshotNumber, TableCounts, Timestamp};
use serde::Serialize;

use crate::{AppError, Workspace};

/// The newest snapshot; 0 if nothing was committed yet.
///
/// # Errors
/// The lake cannot be read.
pub async fn newest_snapshot(workspace: &Workspace) -> Result<SnapshotNumber, AppError> {
    workspace.require("data::snapshots::newest_snapshot")?;
    Ok(workspace.lake_or_new().await?.head().await?.number)
}

/// When rows of each provider were ingested last.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn watermarks(workspace: &Workspace) -> Result<BTreeMap<String, Timestamp>, AppError> {
    workspace.require("data::snapshots::watermarks")?;
    watermarks_of(&workspace.lake().await?.head().await?)
}

/// When rows of each provider were ingested last, up to a snapshot.
pub(crate) fn watermarks_of(state: &State) -> Result<BTreeMap<String, Timestamp>, AppError> {
    let mut watermarks = BTreeMap::new();
    for provider in state.names_below("watermark/") {
        if let Some(at) = state.value(&ValueName::Watermark(provider).to_string())? {
            watermarks.insert(provider.to_owned(), at);
        }
    }
    Ok(watermarks)
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotLine {
    /// Its number.
    pub snapshot: SnapshotNumber,
    /// The time of the commit.
    pub committed_at: Timestamp,
    /// `ingest`, `undo`, `refresh`, `compact`, `identity`, `retention` or `define`.
    pub kind: &'static str,
    /// The ingest run, for `ingest` and `undo`.
    pub batch: Option<String>,
    /// A summary of its changes.
    pub detail: String,
}

/// All snapshots, oldest first.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn snapshots(workspace: &Workspace) -> Result<Vec<SnapshotLine>, AppError> {
    workspace.require("data::snapshots::snapshots")?;
    let lake = workspace.lake().await?;
    let lines = lake.records().await?.into_iter().map(|record| {
        let (kind, batch, detail) = match &record.cause {
            Cause::Ingest {
                batch,
                provider,
                tables,
                ..
            } => (
                "ingest",
                Some(batch.to_string()),
                format!("{provider}: {}", accepted(tables)),
            ),
            Cause::Undo { batch } => ("undo", Some(batch.to_string()), "run undone".to_owned()),
            Cause::Refresh { segments } => ("refresh", None, format!("{segments} segments")),
            Cause::Compact { files } => ("compact", None, compacted(files)),
            Cause::Retention { removed } => ("retention", None, removed_rows(removed)),
            Cause::Define { name } => ("define", None, name.clone()),
            Cause::Identity { done, .. } => ("identity", None, done.clone()),
        };
        let (snapshot, committed_at) = (record.number, record.committed_at);
        SnapshotLine {
            snapshot,
            committed_at,
            kind,
            batch,
            detail,
        }
    });
    Ok(lines.collect())
}

fn compacted(files: &BTreeMap<String, [u64; 2]>) -> String {
    let tables = files.iter();
    let tables =
        tables.map(|(table, [before, after])| format!("{table} {before} to {after} files"));
    tables.collect::<Vec<_>>().join(", ")
}

fn removed_rows(removed: &BTreeMap<String, u64>) -> String {
    let rows = removed
        .iter()
        .map(|(table, rows)| format!("{table} {rows}"));
    let rows: Vec<_> = rows.collect();
    format!("removed {}", rows.join(", "))
}

fn accepted(counts: &[TableCounts]) -> String {
    let shown = counts.iter().filter(|counts| counts.accepted > 0);
    let shown: Vec<_> = shown
        .map(|c| format!("{} {}", c.accepted, c.table))
        .collect();
    if shown.is_empty() {
        "quarantine only".to_owned()
    } else {
        shown.join(", ")
    }
}
