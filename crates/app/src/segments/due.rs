//! Computing segments when their schedules say so.

use rollbook_lake::State;
use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::membership::standing;
use rollbook_segments::status::failure;
use rollbook_segments::{Definition, Schedule, SegmentError, definition};

use super::{Outcome, refresh};
use crate::{AppError, Place};

/// Computes the segments that are due: those that follow the data where there are newer ones, those
/// with a pause where it is over, and those that failed where their pause is. Nothing is done where
/// none is.
pub async fn refresh_due(place: &Place, now: Timestamp) -> Result<Vec<Outcome>, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    let mut keys = Vec::new();
    for definition in definition::list(&lake, &state).await? {
        if is_due(&state, &definition, now)? {
            keys.push(definition.key);
        }
    }
    match keys.is_empty() {
        true => Ok(Vec::new()),
        false => refresh(place, &keys, now, now, false).await,
    }
}

fn is_due(state: &State, definition: &Definition, now: Timestamp) -> Result<bool, SegmentError> {
    if let Some(failure) = failure(state, &definition.key)? {
        let is_tried = !matches!(definition.refresh, Schedule::Manual | Schedule::Static);
        return Ok(is_tried && failure.again_at <= now);
    }
    let known = standing(state, &definition.key)?;
    let is_edited = |revision: u64| revision < definition.criteria_revision;
    Ok(match (definition.refresh, known) {
        (Schedule::Manual | Schedule::Static, _) => false,
        (_, None) => true,
        (_, Some(known)) if is_edited(known.revision) => true,
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

/// How all segments stand.
pub async fn health(place: &Place) -> Result<Vec<Health>, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    let mut all = Vec::new();
    for definition in definition::list(&lake, &state).await? {
        let failure = failure(&state, &definition.key)?;
        let failures = failure.map_or(0, |failure| failure.attempts);
        let segment = definition.key.clone();
        let status = super::listed(&state, definition)?.standing.status.name();
        all.push(Health {
            segment,
            status,
            failures,
        });
    }
    Ok(all)
}
