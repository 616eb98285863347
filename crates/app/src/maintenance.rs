//! Maintenance of a lake: names of snapshots, vacuum, check, keys, backups.

mod compaction;

use std::time::Duration;

use rollbook_lake::vault::KeyStatus;
use rollbook_lake::{BackupReport, CheckReport, Lake, Retention, Store, VacuumReport};
use rollbook_model::config::GARBAGE_HOURS;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::Serialize;

pub use compaction::{Compacted, Extent, compact, compact_beside, compact_lake};

use crate::{AppError, Workspace};

const DAY: u64 = 24 * 60 * 60;

/// A snapshot with a name, which does not expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedSnapshot {
    /// The name.
    pub name: String,
    /// The snapshot.
    pub snapshot: SnapshotNumber,
}

/// Names a snapshot, so that it does not expire.
///
/// # Errors
/// There is no lake or no such snapshot; the name is invalid or taken; the lake cannot be written.
pub async fn keep(
    workspace: &Workspace,
    number: SnapshotNumber,
    name: &str,
    at: Timestamp,
) -> Result<NamedSnapshot, AppError> {
    workspace.require("maintenance::keep")?;
    workspace
        .lake()
        .await?
        .keep_snapshot(number, name, at)
        .await?;
    let (name, snapshot) = (name.to_owned(), number);
    Ok(NamedSnapshot { name, snapshot })
}

/// Removes the name of a snapshot, which then expires like others.
///
/// # Errors
/// There is no lake or no such name; the lake cannot be written.
pub async fn release(workspace: &Workspace, name: &str) -> Result<NamedSnapshot, AppError> {
    workspace.require("maintenance::release")?;
    let snapshot = workspace.lake().await?.release_snapshot(name).await?;
    let name = name.to_owned();
    Ok(NamedSnapshot { name, snapshot })
}

/// The named snapshots.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn named(workspace: &Workspace) -> Result<Vec<NamedSnapshot>, AppError> {
    workspace.require("maintenance::named")?;
    let names = workspace.lake().await?.named_snapshots().await?.into_iter();
    Ok(names
        .map(|(name, snapshot)| NamedSnapshot { name, snapshot })
        .collect())
}

/// Expires snapshots older than the tenant's setting `snapshot_days`, and deletes objects that no
/// snapshot refers to.
///
/// # Errors
/// There is no lake; a snapshot is damaged; an object cannot be deleted.
pub async fn vacuum(
    workspace: &Workspace,
    dry_run: bool,
    at: Timestamp,
) -> Result<VacuumReport, AppError> {
    workspace.require("maintenance::vacuum")?;
    let lake = workspace.lake().await?;
    let days = u64::from(lake.head().await?.settings()?.snapshot_days);
    let how = Retention {
        snapshots: Duration::from_secs(days * DAY),
        garbage: Duration::from_secs(GARBAGE_HOURS * 60 * 60),
        dry_run,
    };
    Ok(lake.vacuum(how, at).await?)
}

/// Verifies every object that the retained snapshots refer to.
///
/// # Errors
/// There is no lake, or it cannot be read. Damage is reported in the result.
pub async fn check(workspace: &Workspace) -> Result<CheckReport, AppError> {
    workspace.require("maintenance::check")?;
    Ok(workspace.lake().await?.check().await?)
}

/// The keys that encrypt personal values; `None` if none was ever encrypted.
///
/// # Errors
/// There is no lake; the master key is missing or does not fit.
pub async fn keys(workspace: &Workspace) -> Result<Option<KeyStatus>, AppError> {
    workspace.require("maintenance::keys")?;
    Ok(workspace.lake().await?.key_status().await?)
}

/// Re-encrypts the tenant's keys with a new master key, without rewriting values.
///
/// # Errors
/// There is no lake; the master key is missing, does not fit or cannot be written.
pub async fn rotate_keys(workspace: &Workspace) -> Result<Option<KeyStatus>, AppError> {
    workspace.require("maintenance::rotate_keys")?;
    Ok(workspace.lake().await?.rotate_keys().await?)
}

/// Copies the tenant's lake at a snapshot, the newest if `None`, to another location.
///
/// # Errors
/// There is no lake or no such snapshot; the target holds data of the tenant; it cannot be written.
pub async fn backup(
    workspace: &Workspace,
    to: &str,
    number: Option<SnapshotNumber>,
) -> Result<BackupReport, AppError> {
    workspace.require("maintenance::backup")?;
    let lake = workspace.lake().await?;
    Ok(lake.copy_to(&Store::at(to)?, number).await?)
}

/// Copies a backup to the location of the workspace.
///
/// # Errors
/// There is no backup of the tenant; the location holds data of the tenant, or cannot be written.
pub async fn restore(workspace: &Workspace, from: &str) -> Result<BackupReport, AppError> {
    workspace.require("maintenance::restore")?;
    // The backup may come from an untrusted writer.
    let from = Store::at(from)?.confined();
    let copy = Lake::open_in(from, workspace.tenant.clone()).await?;
    Ok(copy.copy_to(&Store::at(&workspace.location)?, None).await?)
}

/// Deletes from a backup the keys of all persons erased since it was made; returns the number of their
/// records.
///
/// # Errors
/// There is no lake; the target is no copy of it, or cannot be written.
pub async fn forget_in_backup(workspace: &Workspace, at: &str) -> Result<u64, AppError> {
    workspace.require("maintenance::forget_in_backup")?;
    let lake = workspace.lake().await?;
    let copy = Lake::open_in(Store::at(at)?.confined(), workspace.tenant.clone()).await?;
    Ok(lake.forget_erased_keys_in(&copy).await?)
}
