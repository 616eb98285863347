//! Explaining a segment: why one person belongs, near misses, thresholds, and coming changes.

use rollbook_model::config::PREVIEW_SAMPLE;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::clause_stats::{ClauseStats, FittedThreshold, clause_stats};
use rollbook_segments::explain::{ExplainRequest, Explained};
use rollbook_segments::forecast::calendar::{CalendarRequest, Day};
use serde::Serialize;

use super::context::SegmentContext;
use crate::workspace::SegmentSessions;
use crate::{AppError, Workspace};

/// Why a person is a member of a segment, or is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The segment.
    pub segment: SegmentKey,
    /// The revision of its definition.
    pub revision: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that it is computed for.
    pub as_of: Timestamp,
    /// The explanation, clause by clause.
    #[serde(flatten)]
    pub explained: Explained,
}

/// Explains why a person is a member of a segment, or is not.
///
/// # Errors
/// There is no lake; the segment does not exist; its criteria fail or exceed a limit.
pub async fn explain(
    workspace: &Workspace,
    key: &SegmentKey,
    person: u64,
    as_of: Timestamp,
) -> Result<Explanation, AppError> {
    workspace.require("segments::explain::explain")?;
    let segment = SegmentContext::load(workspace, key).await?;
    let sessions = SegmentSessions::new(workspace, &segment.lake);
    let question = ExplainRequest {
        state: &segment.state,
        as_of,
        definitions: &segment.named.definitions,
        fixed: &segment.named.fixed,
        person,
    };
    let of_list = |is_member| Explained::of_list(person, is_member);
    let explained = match segment.named.fixed.get(key) {
        Some(members) => of_list(members.contains(person)),
        None => {
            let criteria = segment.criteria(&workspace.limits)?;
            rollbook_segments::explain::explain(&sessions, &criteria, &question).await?
        }
    };
    Ok(Explanation {
        segment: key.clone(),
        revision: segment.definition.revision,
        snapshot: segment.state.data,
        as_of,
        explained,
    })
}

/// Near misses: persons who fail exactly one clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// Number of members.
    pub count: u64,
    /// The `and` clauses, with the persons who fail only this one.
    pub clauses: Vec<ClauseStats>,
}

/// Finds persons who fail exactly one clause of a segment.
///
/// # Errors
/// There is no lake; the segment does not exist; [`AppError::NotACondition`]; its criteria fail or exceed a limit.
pub async fn near_miss(
    workspace: &Workspace,
    key: &SegmentKey,
    as_of: Timestamp,
) -> Result<NearMiss, AppError> {
    workspace.require("segments::explain::near_miss")?;
    let segment = SegmentContext::load(workspace, key).await?;
    let condition = segment.condition(&workspace.limits)?;
    let session = workspace
        .cached_session(&segment.lake, &segment.state, as_of)
        .await?;
    let mut evaluation = segment.named.evaluation(&session);
    let stats = clause_stats(&session, &mut evaluation, &condition, PREVIEW_SAMPLE).await?;
    Ok(NearMiss {
        segment: key.clone(),
        snapshot: segment.state.data,
        as_of,
        count: stats.members.len(),
        clauses: stats.clauses,
    })
}

/// Finds the threshold of a clause that yields about `size` members. `clause` counts from 1.
///
/// # Errors
/// There is no lake; the segment does not exist; [`AppError::NotACondition`]; the clause does not exist or compares nothing with a threshold; the
/// criteria fail or exceed a limit.
pub async fn fit(
    workspace: &Workspace,
    key: &SegmentKey,
    clause: usize,
    size: u64,
    as_of: Timestamp,
) -> Result<FittedThreshold, AppError> {
    workspace.require("segments::explain::fit")?;
    let segment = SegmentContext::load(workspace, key).await?;
    let condition = segment.condition(&workspace.limits)?;
    let session = workspace
        .cached_session(&segment.lake, &segment.state, as_of)
        .await?;
    let mut evaluation = segment.named.evaluation(&session);
    let fitted = rollbook_segments::clause_stats::fit(&mut evaluation, &condition, clause, size);
    Ok(fitted.await?)
}

/// How the clock alone will change a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calendar {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that the calendar starts at.
    pub as_of: Timestamp,
    /// One entry per day.
    pub days: Vec<Day>,
}

/// Predicts entries and exits of the coming days, assuming no new data.
///
/// # Errors
/// There is no lake; the segment does not exist; its criteria fail or exceed a limit.
pub async fn calendar(
    workspace: &Workspace,
    key: &SegmentKey,
    days: u32,
    as_of: Timestamp,
) -> Result<Calendar, AppError> {
    workspace.require("segments::explain::calendar")?;
    let segment = SegmentContext::load(workspace, key).await?;
    let sessions = SegmentSessions::new(workspace, &segment.lake);
    let days = match segment.named.fixed.contains_key(key) {
        true => Vec::new(),
        false => {
            let calendar = CalendarRequest {
                lake: &segment.lake,
                sessions: &sessions,
                state: &segment.state,
                definition: &segment.definition,
                all: &segment.named.definitions,
                fixed: &segment.named.fixed,
            };
            calendar.days(as_of, days).await?
        }
    };
    Ok(Calendar {
        segment: key.clone(),
        snapshot: segment.state.data,
        as_of,
        days,
    })
}
