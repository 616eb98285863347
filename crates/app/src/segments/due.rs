//! Computing segments when their schedules say so.

use rollbook_lake::State;
use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::definition::{self, Scheduled};
use rollbook_segments::membership::current;
use rollbook_segments::status::failure;
use rollbook_segments::{Freshness, Schedule, SegmentError};

use super::freshness::{Kept, standings};
use super::{Outcome, refresh};
use crate::{AppError, Workspace};

/// Attempts where segments are taken away meanwhile.
const ATTEMPTS: u32 = 3;

/// Computes the segments that are due: those that follow the data where there are newer ones, those
/// with a pause where it is over, and those that failed where their pause is. Nothing is done where
/// none is.
pub async fn refresh_due(workspace: &Workspace, now: Timestamp) -> Result<Vec<Outcome>, AppError> {
    let lake = workspace.lake().await?;
    let mut attempts = 0..ATTEMPTS;
    loop {
        let keys = due_at(&lake.head().await?, now)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        match refresh(workspace, &keys, now, now, false).await {
            // One that was taken away meanwhile holds up none of the others.
            Err(AppError::Segment(SegmentError::Unknown { .. })) if attempts.next().is_some() => {}
            refreshed => return refreshed,
        }
    }
}

fn due_at(state: &State, now: Timestamp) -> Result<Vec<SegmentKey>, SegmentError> {
    let mut keys = Vec::new();
    for scheduled in definition::schedules(state)? {
        if is_due(state, &scheduled, now)? {
            keys.push(scheduled.key);
        }
    }
    Ok(keys)
}

/// The segments that are due, and their criteria.
pub async fn due(
    workspace: &Workspace,
    now: Timestamp,
) -> Result<Vec<(SegmentKey, String)>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let keys = due_at(&state, now)?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let all = definition::list(&lake, &state).await?.into_iter();
    let due = all.filter(|definition| keys.contains(&definition.key));
    Ok(due
        .map(|definition| (definition.key, definition.criteria))
        .collect())
}

/// Records that a segment could not be computed, because whoever computed it took more memory than
/// queries may.
pub async fn give_up(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<(), AppError> {
    let lake = workspace.lake().await?;
    let limit = workspace.limits.memory as u64;
    Ok(rollbook_segments::refresh::give_up(&lake, key, limit, now).await?)
}

fn is_due(state: &State, scheduled: &Scheduled, now: Timestamp) -> Result<bool, SegmentError> {
    if let Some(failure) = failure(state, &scheduled.key)? {
        let is_tried = !matches!(scheduled.refresh, Schedule::Manual | Schedule::Static);
        return Ok(is_tried && failure.again_at <= now);
    }
    let known = current(state, &scheduled.key)?;
    let is_edited = |revision: u64| revision < scheduled.criteria_revision;
    Ok(match (scheduled.refresh, known) {
        // Who was decided on may have another id by now.
        (Schedule::Static, Some(known)) => !is_edited(known.revision) && !known.has_same_ids(state),
        (Schedule::Manual | Schedule::Static, _) => false,
        (_, None) => true,
        (_, Some(known)) if is_edited(known.revision) => true,
        (_, Some(known)) if known.changed_trait(state)?.is_some() => true,
        (_, Some(known)) if known.changed_segment(state)?.is_some() => true,
        (Schedule::OnIngest, Some(known)) => known.snapshot < state.data,
        (Schedule::Every(seconds), Some(known)) => {
            known.computed_at.micros() + i64::from(seconds) * 1_000_000 <= now.micros()
        }
    })
}

/// A segment, and whether it is up to date, in the figures of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The segment.
    pub segment: SegmentKey,
    /// `fresh`, `stale` or `failed`.
    pub status: &'static str,
    /// How often it failed since it was last computed.
    pub failures: u32,
}

/// How all segments stand at `now`.
pub async fn health(workspace: &Workspace, now: Timestamp) -> Result<Vec<Health>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let mut kept = Vec::new();
    for scheduled in definition::schedules(&state)? {
        kept.push(Kept::of(&state, scheduled)?);
    }
    let standings = standings(workspace, &lake, &state, &kept, now).await;
    let all = kept.into_iter().zip(standings);
    let health = |(kept, freshness): (Kept, Freshness)| Health {
        status: freshness.status.name(),
        failures: kept.failure.map_or(0, |failure| failure.attempts),
        segment: kept.scheduled.key,
    };
    Ok(all.map(health).collect())
}
