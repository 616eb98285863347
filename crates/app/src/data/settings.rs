//! The tenant's settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_lake::{Cause, Commit, State, Update};
use rollbook_model::{GivenTime, Settings, Timestamp};
use serde_json::json;

use crate::{AppError, Workspace};

/// The tenant's settings; the defaults if there is no lake yet.
///
/// # Errors
/// The lake cannot be read.
pub async fn settings(workspace: &Workspace) -> Result<Settings, AppError> {
    workspace.require("data::settings::settings")?;
    let lake = workspace.lake_or_new().await?;
    Ok(lake.head().await?.settings()?)
}

/// The instant of a given time; a time without an offset is in the tenant's time zone.
///
/// # Errors
/// The time has no offset, and there is no lake or it cannot be read.
pub async fn moment(workspace: &Workspace, given: GivenTime) -> Result<Timestamp, AppError> {
    workspace.require("data::settings::moment")?;
    match given {
        GivenTime::Instant(at) => Ok(at),
        GivenTime::Local(_) => {
            let settings = workspace.lake().await?.head().await?.settings()?;
            Ok(given.in_zone(settings.zone()))
        }
    }
}

/// Changes one setting.
///
/// # Errors
/// The setting is unknown or the value invalid; the lake cannot be written; other writers win every
/// attempt to commit.
pub async fn set(
    workspace: &Workspace,
    key: &str,
    value: &str,
    at: Timestamp,
) -> Result<Settings, AppError> {
    workspace.require("data::settings::set")?;
    let lake = workspace.lake_or_new().await?;
    let update = |state: Arc<State>| async move {
        let before = state.settings()?;
        let after = before.clone().with(key, value)?;
        if after == before {
            return Ok(Update::Keep(after));
        }
        let cause = Cause::Define {
            name: format!("settings/{key}"),
        };
        let named = BTreeMap::from([("settings".to_owned(), Some(json!(after)))]);
        let commit = Commit::of_names(cause, at, named);
        Ok::<_, AppError>(Update::commit(commit, after))
    };
    lake.update(update).await
}
