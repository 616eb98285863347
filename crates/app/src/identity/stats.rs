//! Counts of records and persons.

use rollbook_ingest::persons::decide::reviews;
use rollbook_model::Timestamp;
use rollbook_queries::identity as questions;
use serde::Serialize;
use serde_json::Value;

use crate::rows::objects;
use crate::{AppError, Workspace};

/// Counts of records and persons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentityStats {
    /// Number of records.
    pub records: u64,
    /// Number of persons.
    pub persons: u64,
    /// Records that wait for a decision and are linked to nobody meanwhile.
    pub ambiguous: u64,
    /// Records of persons who may be the same as another person.
    pub suggested: u64,
    /// Records that were moved to another person after their rows were written.
    pub moved: u64,
    /// The same counts by provider.
    pub providers: Vec<Value>,
}

/// Counts records and persons.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn stats(workspace: &Workspace, now: Timestamp) -> Result<IdentityStats, AppError> {
    workspace.require("identity::stats::stats")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, now).await?;
    let answer = session.query(questions::STATS).await?;
    let providers = objects(&answer.batches)?;
    let total = |name: &str| {
        let counts = providers.iter().filter_map(|row| row[name].as_u64());
        counts.sum::<u64>()
    };
    let persons = session.query(questions::PERSONS).await?;
    let persons = objects(&persons.batches)?;
    let persons = persons.first().and_then(|row| row["persons"].as_u64());
    let moves = lake.identity_remap(&state).await?;
    let reviews = reviews(&lake, &state).await?;
    let ambiguous = reviews.iter().filter(|one| one.person_id == 0).count() as u64;
    Ok(IdentityStats {
        records: total("records"),
        persons: persons.unwrap_or(0),
        ambiguous,
        suggested: reviews.len() as u64 - ambiguous,
        moved: moves.map_or(0, |moves| moves.iter().count() as u64),
        providers,
    })
}
