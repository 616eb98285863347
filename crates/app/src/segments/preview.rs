//! Previews: the members of criteria that are not saved, and the impact of an edit.

use roaring::RoaringTreemap;
use rollbook_model::config::PREVIEW_SAMPLE;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::clause_stats::{ClauseStats, clause_stats};
use rollbook_segments::{Criteria, preview as preview_criteria};
use serde::Serialize;

use super::context::SegmentContext;
use super::named::NamedSegments;
use super::refresh::not_computed;
use crate::{AppError, Workspace};

/// Members of criteria that are not saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previewed {
    /// Exact number of members.
    pub count: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// Some member ids.
    pub sample: Vec<u64>,
    /// The number of persons that each `and` clause matches; empty for a query.
    pub clauses: Vec<ClauseStats>,
    /// Probable mistakes in the criteria.
    pub warnings: Vec<String>,
}

/// The default `as_of` of queries about criteria: `now`, or that of a query less than a minute ago on the
/// same data.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn default_as_of(workspace: &Workspace, now: Timestamp) -> Result<Timestamp, AppError> {
    workspace.require("segments::preview::default_as_of")?;
    let state = workspace.lake().await?.head().await?;
    Ok(workspace.default_as_of(&state, now))
}

/// Counts the members of criteria.
///
/// # Errors
/// There is no lake; the criteria are empty or invalid, refer to an unknown segment, or exceed a limit.
pub async fn preview(
    workspace: &Workspace,
    criteria: &str,
    as_of: Timestamp,
) -> Result<Previewed, AppError> {
    workspace.require("segments::preview::preview")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.cached_session(&lake, &state, as_of).await?;
    let criteria = Criteria::parse(criteria, &workspace.limits)?;
    let known = NamedSegments::of(&lake, &state, &session, &criteria).await?;
    let mut evaluation = known.evaluation(&session);
    let (members, clauses, mut warnings) = match &criteria {
        Criteria::Select(_) => (evaluation.of(&criteria).await?, Vec::new(), Vec::new()),
        Criteria::Expression(condition) => {
            match clause_stats(&session, &mut evaluation, condition, 0).await {
                Ok(counted) => (counted.members, counted.clauses, counted.warnings),
                Err(failed) => {
                    let members = evaluation.of_whole(condition, failed).await?;
                    (members, Vec::new(), Vec::new())
                }
            }
        }
    };
    let uncomputed = session.uncomputed().take().into_iter();
    warnings.extend(uncomputed.map(|(part, persons)| not_computed(&part, persons)));
    let found = preview_criteria(&members, PREVIEW_SAMPLE);
    Ok(Previewed {
        count: found.count,
        snapshot: state.data,
        as_of,
        sample: found.sample,
        clauses,
        warnings,
    })
}

/// The members of criteria.
///
/// # Errors
/// Those of [`preview`].
pub async fn matches(
    workspace: &Workspace,
    criteria: &str,
    as_of: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    workspace.require("segments::preview::matches")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.cached_session(&lake, &state, as_of).await?;
    let criteria = Criteria::parse(criteria, &workspace.limits)?;
    let known = NamedSegments::of(&lake, &state, &session, &criteria).await?;
    Ok(known.evaluation(&session).of(&criteria).await?)
}

/// The effect of other criteria on a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// Number of members by the saved criteria.
    pub before: u64,
    /// Number of members by the new criteria.
    pub after: u64,
    /// Number of persons who would enter.
    pub entered: u64,
    /// Number of persons who would leave.
    pub left: u64,
    /// Some of those who would enter.
    pub entered_sample: Vec<u64>,
    /// Some of those who would leave.
    pub left_sample: Vec<u64>,
}

/// Computes who would enter and leave if a segment had other criteria. Nothing is saved.
///
/// # Errors
/// There is no lake; the segment does not exist; either criteria are invalid or exceed a limit.
pub async fn impact(
    workspace: &Workspace,
    key: &SegmentKey,
    criteria: &str,
    as_of: Timestamp,
) -> Result<Impact, AppError> {
    workspace.require("segments::preview::impact")?;
    let segment = SegmentContext::load(workspace, key).await?;
    let session = workspace
        .cached_session(&segment.lake, &segment.state, as_of)
        .await?;
    let mut evaluation = segment.named.evaluation(&session);
    let before = match segment.named.fixed.get(key) {
        Some(members) => members.as_ref().clone(),
        None => evaluation.of(&segment.criteria(&workspace.limits)?).await?,
    };
    let evaluation = segment.named.evaluation(&session);
    let mut evaluation = evaluation.with(key, Criteria::parse(criteria, &workspace.limits)?);
    let keys = std::slice::from_ref(key);
    let after = evaluation.segments(keys).await.pop().transpose()?;
    let after = after.unwrap_or_default();
    let (entered, left) = (after.as_ref() - &before, &before - after.as_ref());
    let sample = |persons: &RoaringTreemap| preview_criteria(persons, PREVIEW_SAMPLE).sample;
    Ok(Impact {
        segment: key.clone(),
        snapshot: segment.state.data,
        as_of,
        before: before.len(),
        after: after.len(),
        entered: entered.len(),
        left: left.len(),
        entered_sample: sample(&entered),
        left_sample: sample(&left),
    })
}
