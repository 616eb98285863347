//! Records that wait for a decision.

use rollbook_engine::Parameter;
use rollbook_ingest::persons::decide::{self, Review};
use rollbook_model::Timestamp;
use rollbook_queries::identity as questions;
use serde::Serialize;
use serde_json::Value;

use crate::rows::objects;
use crate::{AppError, Workspace};

/// A record that waits for a decision, with its values and those of the candidate persons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewDetails {
    /// The record, the candidates and the matching rules.
    #[serde(flatten)]
    pub review: Review,
    /// The values of the record, or of its person.
    pub record: Value,
    /// The values of the candidate persons.
    pub persons: Vec<Value>,
}

/// The records that wait for a decision.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn reviews(workspace: &Workspace) -> Result<Vec<Review>, AppError> {
    workspace.require("identity::reviews::reviews")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(decide::reviews(&lake, &state).await?)
}

/// One record that waits, with the candidate persons.
///
/// # Errors
/// There is no lake; the record does not wait for a decision.
pub async fn review(
    workspace: &Workspace,
    identity: i64,
    now: Timestamp,
) -> Result<ReviewDetails, AppError> {
    workspace.require("identity::reviews::review")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let review = decide::waiting(&lake, &state, identity).await?;
    let session = workspace.session(&lake, &state, now).await?;
    let shown = |rows: Vec<Value>| rows.into_iter().next().unwrap_or(Value::Null);
    // A record that has a person is shown as that person.
    let record = match review.person_id {
        0 => {
            let id = [("identity_id", Parameter::Int(identity))];
            session.query_with(questions::RECORD, &id).await?
        }
        person => {
            let id = [("person_id", Parameter::Int(person))];
            session
                .query_with(rollbook_queries::questions::PERSON, &id)
                .await?
        }
    };
    let mut ids: Vec<i64> = review.candidates.iter().map(|one| one.person_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut persons = Vec::new();
    for person in ids {
        let id = [("person_id", Parameter::Int(person))];
        let found = session
            .query_with(rollbook_queries::questions::PERSON, &id)
            .await?;
        persons.push(shown(objects(&found.batches)?));
    }
    Ok(ReviewDetails {
        review,
        record: shown(objects(&record.batches)?),
        persons,
    })
}
