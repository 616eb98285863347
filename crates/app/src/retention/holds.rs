//! Legal holds of persons.

use rollbook_ingest::persons::decide::Decider;
use rollbook_ingest::persons::holds::{self, Hold};

use crate::{AppError, Workspace};

/// The persons under legal hold.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn holds(workspace: &Workspace) -> Result<Vec<Hold>, AppError> {
    workspace.require("retention::holds::holds")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(holds::holds(&lake, &state).await?)
}

/// Puts a person under legal hold: nothing of them is deleted until it is released.
///
/// # Errors
/// There is no lake or no such person; the lake cannot be written.
pub async fn hold(
    workspace: &Workspace,
    person: i64,
    reason: Option<&str>,
    decider: &Decider,
) -> Result<Hold, AppError> {
    workspace.require("retention::holds::hold")?;
    let lake = workspace.lake().await?;
    Ok(holds::hold(&lake, person, reason, decider).await?)
}

/// Releases a person from legal hold; returns the number of holds that ended.
///
/// # Errors
/// There is no lake, or it cannot be written.
pub async fn release(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<u64, AppError> {
    workspace.require("retention::holds::release")?;
    let lake = workspace.lake().await?;
    Ok(holds::release(&lake, person, decider).await?)
}
