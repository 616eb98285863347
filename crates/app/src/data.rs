//! Looking at what a lake holds: SQL, tables, schema, snapshots, settings.

use std::collections::BTreeMap;

use rollbook_engine::{Answer, EngineError, Parameters};
use rollbook_lake::{Cause, Commit, Committed, LakeError};
use rollbook_model::{
    ColumnDef, GivenTime, Settings, SnapshotNumber, TableCounts, TableDef, Timestamp, nearest,
    tables,
};
use serde::Serialize;
use serde_json::json;

use crate::{AppError, Workspace};

/// Attempts to commit, or to read, until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// How a query would be run: the physical plan, one operator a line.
pub async fn explain(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<String, AppError> {
    let lake = workspace.lake().await?;
    let state = workspace.state(&lake, snapshot).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    Ok(session.explain(query).await?)
}

/// The answer to a query, within the limit of rows.
pub async fn sql(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<Answer, AppError> {
    Ok(answer(workspace, query, as_of, snapshot).await?.0)
}

/// The answer to a query, and the snapshot of the data that it rests on.
pub async fn answer(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Answer, SnapshotNumber), AppError> {
    let lake = workspace.lake().await?;
    let state = workspace.state(&lake, snapshot).await?;
    for attempt in 1.. {
        let session = workspace.session(&lake, &state, as_of).await?;
        match session.query(query).await {
            // What was forgotten meanwhile took the file with it that others lay in too.
            Err(error) if attempt < ATTEMPTS && is_of_vault(&error) => {}
            answered => return Ok((answered?, state.data)),
        }
    }
    unreachable!("the last attempt returns")
}

/// Whether a file of personal values was gone when it was read.
fn is_of_vault(error: &EngineError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        let text = one.to_string();
        if text.contains("/_vault/") && text.contains("not found") {
            return true;
        }
        cause = one.source();
    }
    false
}

/// The answer to a question of our own on the newest data.
pub(crate) async fn own_query(
    workspace: &Workspace,
    query: &str,
    parameters: Parameters<'_>,
    as_of: Timestamp,
) -> Result<Answer, AppError> {
    let lake = workspace.lake().await?;
    let session = workspace.session(&lake, &lake.head().await?, as_of).await?;
    Ok(session.query_with(query, parameters).await?)
}

/// The newest snapshot; 0 where nothing was committed yet.
pub async fn newest_snapshot(workspace: &Workspace) -> Result<SnapshotNumber, AppError> {
    Ok(workspace.lake_or_new().await?.head().await?.number)
}

/// A table and how much of it there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// Its name.
    pub table: &'static str,
    /// Rows.
    pub rows: u64,
    /// Parquet files.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Its newest Delta version.
    pub delta_version: u64,
    /// What a row is.
    pub meaning: &'static str,
}

/// The tables that hold rows, or held some.
pub async fn table_sizes(workspace: &Workspace) -> Result<Vec<TableSize>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let sizes = tables::TABLES.iter().filter_map(|def| {
        let table = state.tables.get(def.name)?;
        Some(TableSize {
            table: def.name,
            rows: table.rows(),
            files: table.files.len() as u64,
            bytes: table.files.iter().map(|file| file.size).sum(),
            delta_version: table.version?,
            meaning: def.meaning,
        })
    });
    Ok(sizes.collect())
}

/// The definition of a table.
pub fn table(name: &str) -> Result<&'static TableDef, AppError> {
    tables::table(name).ok_or_else(|| AppError::UnknownTable {
        table: name.to_owned(),
        nearest: nearest(name, tables::TABLES.iter().map(|t| t.name)).map(str::to_owned),
    })
}

/// The columns of a table in order, the leading ones among them.
pub fn columns(def: &TableDef) -> Vec<&'static ColumnDef> {
    def.all_columns().collect()
}

/// One commit, for listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotLine {
    /// Its number.
    pub snapshot: SnapshotNumber,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// `ingest`, `undo`, `refresh`, `compact` or `define`.
    pub kind: &'static str,
    /// The run, for `ingest` and `undo`.
    pub batch: Option<String>,
    /// What it was about.
    pub detail: String,
}

/// All snapshots, oldest first.
pub async fn snapshots(workspace: &Workspace) -> Result<Vec<SnapshotLine>, AppError> {
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
            Cause::Undo { batch } => ("undo", Some(batch.to_string()), "taken back".to_owned()),
            Cause::Refresh { segments } => ("refresh", None, format!("{segments} segments")),
            Cause::Compact { files } => ("compact", None, compacted(files)),
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

/// The tenant's settings; the defaults where there is no lake yet.
pub async fn settings(workspace: &Workspace) -> Result<Settings, AppError> {
    let lake = workspace.lake_or_new().await?;
    Ok(lake.head().await?.settings()?)
}

/// The moment that somebody means by a time: what names no zone is of the tenant's.
///
/// # Errors
/// Where there is no lake, or it cannot be read.
pub async fn moment(workspace: &Workspace, given: GivenTime) -> Result<Timestamp, AppError> {
    match given {
        GivenTime::Instant(at) => Ok(at),
        GivenTime::Local(_) => {
            let settings = workspace.lake().await?.head().await?.settings()?;
            Ok(given.in_zone(settings.zone()))
        }
    }
}

/// Changes one setting.
pub async fn set(
    workspace: &Workspace,
    key: &str,
    value: &str,
    at: Timestamp,
) -> Result<Settings, AppError> {
    let lake = workspace.lake_or_new().await?;
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let before = state.settings()?;
        let after = before.clone().with(key, value)?;
        if after == before {
            return Ok(after);
        }
        let cause = Cause::Define {
            name: format!("settings/{key}"),
        };
        let named = BTreeMap::from([("settings".to_owned(), Some(json!(after)))]);
        if let Committed::Done(_) = lake
            .commit(&state, Commit::of_names(cause, at, named))
            .await?
        {
            return Ok(after);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}
