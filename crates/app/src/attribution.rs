//! Attribution of conversions to channels.

pub use rollbook_attribution::{Amount, AttributionError, By, CreditRow, Model, Question, Report};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::Serialize;

use crate::{AppError, Workspace};

/// Credits, with the snapshot of the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attributed {
    /// The credits.
    #[serde(flatten)]
    pub report: Report,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
}

/// Credits conversions to channels.
///
/// # Errors
/// There is no lake; `from` is not before `to`; a model is named twice; the query exceeds a limit.
pub async fn run(
    workspace: &Workspace,
    question: &Question,
    as_of: Timestamp,
) -> Result<Attributed, AppError> {
    workspace.require("attribution::run")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    Ok(Attributed {
        report: rollbook_attribution::run(&session, question).await?,
        snapshot: state.data,
    })
}
