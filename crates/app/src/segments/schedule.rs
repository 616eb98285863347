//! Schedules: which segments are due, and refreshing them.

use std::time::Duration;

use rollbook_lake::State;
use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::definition::{self, Scheduled};
use rollbook_segments::membership::current;
use rollbook_segments::status::failure;
use rollbook_segments::{Freshness, Schedule, SegmentError, Status};

use super::{Outcome, refresh};
use crate::segments::freshness::{SegmentState, freshness_of_all};
use crate::{AppError, Workspace};

/// Attempts if segments are deleted meanwhile.
const ATTEMPTS: u32 = 3;

/// Refreshes the segments that are due: those refreshed on ingest if there is newer data, those with an
/// interval if it is over, and failed ones if their retry delay is over.
///
/// # Errors
/// There is no lake, or it cannot be read or written. A segment that fails is reported in its [`Outcome`].
pub async fn refresh_due(workspace: &Workspace, now: Timestamp) -> Result<Vec<Outcome>, AppError> {
    workspace.require("segments::schedule::refresh_due")?;
    let lake = workspace.lake().await?;
    let mut attempts = 0..ATTEMPTS;
    loop {
        let keys = due_keys(&lake.head().await?, now)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        match refresh(workspace, &keys, now, now, false).await {
            // A segment deleted meanwhile must not block the others.
            Err(AppError::Segment(SegmentError::Unknown { .. })) if attempts.next().is_some() => {}
            refreshed => return refreshed,
        }
    }
}

fn due_keys(state: &State, now: Timestamp) -> Result<Vec<SegmentKey>, SegmentError> {
    let mut keys = Vec::new();
    for scheduled in definition::schedules(state)? {
        if is_due(state, &scheduled, now)? {
            keys.push(scheduled.key);
        }
    }
    Ok(keys)
}

/// The segments that are due, with their criteria.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn due(
    workspace: &Workspace,
    now: Timestamp,
) -> Result<Vec<(SegmentKey, String)>, AppError> {
    workspace.require("segments::schedule::due")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let keys = due_keys(&state, now)?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let all = definition::list(&lake, &state).await?.into_iter();
    let due = all.filter(|definition| keys.contains(&definition.key));
    Ok(due
        .map(|definition| (definition.key, definition.criteria))
        .collect())
}

/// Records that a segment failed because the process that computed it exceeded its memory limit.
///
/// # Errors
/// There is no lake; the segment does not exist; the lake cannot be written.
pub async fn record_memory_failure(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<(), AppError> {
    workspace.require("segments::schedule::record_memory_failure")?;
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
        // Members of a static segment may have been merged or erased since.
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

/// The state of a segment for monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHealth {
    /// The segment.
    pub segment: SegmentKey,
    /// `fresh`, `stale` or `failed`.
    pub status: &'static str,
    /// Failures since the last successful refresh.
    pub failures: u32,
    /// The time since it was last known to be up to date; zero while it is fresh. `None` for one that is
    /// refreshed by hand only, that is static, or that was never computed.
    pub lag: Option<Duration>,
}

/// The lag of a segment at `now`.
fn lag(state: &SegmentState, freshness: &Freshness, now: Timestamp) -> Option<Duration> {
    if matches!(state.scheduled.refresh, Schedule::Manual | Schedule::Static) {
        return None;
    }
    if freshness.status == Status::Fresh {
        return Some(Duration::ZERO);
    }
    let computed = state.refreshed.as_ref().map(|known| known.computed_at);
    let since = freshness.since.or(computed)?;
    let micros = now.micros().saturating_sub(since.micros());
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// The state of all segments at `now`.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn health(workspace: &Workspace, now: Timestamp) -> Result<Vec<SegmentHealth>, AppError> {
    workspace.require("segments::schedule::health")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let mut states = Vec::new();
    for scheduled in definition::schedules(&state)? {
        states.push(SegmentState::of(&state, scheduled)?);
    }
    let freshness = freshness_of_all(workspace, &lake, &state, &states, now).await;
    let all = states.into_iter().zip(freshness);
    let health = |(state, freshness): (SegmentState, Freshness)| SegmentHealth {
        status: freshness.status.name(),
        lag: lag(&state, &freshness, now),
        failures: state.failure.map_or(0, |failure| failure.attempts),
        segment: state.scheduled.key,
    };
    Ok(all.map(health).collect())
}
