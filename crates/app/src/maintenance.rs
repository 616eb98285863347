//! Care for a lake: how long snapshots stay, whether all is well, copies.

use std::time::Duration;

use rollbook_lake::vault::KeyStatus;
use rollbook_lake::{Checked, Collected, Copied, Lake, Retention, Store};
use rollbook_model::config::GARBAGE_HOURS;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::Serialize;

use crate::{AppError, Workspace};

const DAY: u64 = 24 * 60 * 60;

/// A snapshot that stays as long as it has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The snapshot.
    pub snapshot: SnapshotNumber,
}

/// Gives a snapshot a name, under which it stays.
pub async fn keep(
    workspace: &Workspace,
    number: SnapshotNumber,
    name: &str,
    at: Timestamp,
) -> Result<Named, AppError> {
    workspace.lake().await?.keep(number, name, at).await?;
    let (name, snapshot) = (name.to_owned(), number);
    Ok(Named { name, snapshot })
}

/// Takes a name away.
pub async fn release(workspace: &Workspace, name: &str) -> Result<Named, AppError> {
    let snapshot = workspace.lake().await?.release(name).await?;
    let name = name.to_owned();
    Ok(Named { name, snapshot })
}

/// The snapshots that have a name.
pub async fn named(workspace: &Workspace) -> Result<Vec<Named>, AppError> {
    let kept = workspace.lake().await?.kept().await?.into_iter();
    Ok(kept
        .map(|(name, snapshot)| Named { name, snapshot })
        .collect())
}

/// Lets snapshots expire that are older than the tenant's setting, and removes what nothing names.
pub async fn vacuum(
    workspace: &Workspace,
    dry_run: bool,
    at: Timestamp,
) -> Result<Collected, AppError> {
    let lake = workspace.lake().await?;
    let days = u64::from(lake.head().await?.settings()?.snapshot_days);
    let how = Retention {
        snapshots: Duration::from_secs(days * DAY),
        garbage: Duration::from_secs(GARBAGE_HOURS * 60 * 60),
        dry_run,
    };
    Ok(lake.collect(how, at).await?)
}

/// Looks at everything that the lake should hold.
pub async fn check(workspace: &Workspace) -> Result<Checked, AppError> {
    Ok(workspace.lake().await?.check().await?)
}

/// What personal values are sealed with; `None` where nothing was ever sealed.
pub async fn keys(workspace: &Workspace) -> Result<Option<KeyStatus>, AppError> {
    Ok(workspace.lake().await?.keys_shown().await?)
}

/// Wraps the tenant's keys anew under a new master key, without writing a value.
pub async fn rotate_keys(workspace: &Workspace) -> Result<Option<KeyStatus>, AppError> {
    Ok(workspace.lake().await?.rotate_keys().await?)
}

/// Copies the tenant's lake at a snapshot to an empty place.
pub async fn backup(
    workspace: &Workspace,
    to: &str,
    number: Option<SnapshotNumber>,
) -> Result<Copied, AppError> {
    let lake = workspace.lake().await?;
    Ok(lake.copy_to(&Store::at(to)?, number).await?)
}

/// Brings a copy back to where the place is, which must hold nothing of the tenant.
pub async fn restore(workspace: &Workspace, from: &str) -> Result<Copied, AppError> {
    // Somebody else may have made it.
    let from = Store::at(from)?.closed();
    let copy = Lake::open_in(from, workspace.tenant.clone()).await?;
    Ok(copy.copy_to(&Store::at(&workspace.location)?, None).await?)
}

/// Forgets in a backup the keys of whoever was erased from the lake since it was made, and tells of
/// how many records those were.
pub async fn forget_in_backup(workspace: &Workspace, at: &str) -> Result<u64, AppError> {
    let lake = workspace.lake().await?;
    let copy = Lake::open_in(Store::at(at)?.closed(), workspace.tenant.clone()).await?;
    Ok(lake.forget_in(&copy).await?)
}
