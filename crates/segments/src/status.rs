//! Whether what is told of a segment is up to date, and what became of those that failed.

use rollbook_lake::State;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::SegmentError;
use crate::definition::Scheduled;
use crate::membership::{Refreshed, settings_of_criteria};
use crate::names::status_name;
use crate::schedule::Schedule;

/// The pause after a first failure, in microseconds; each further one doubles it.
const FIRST_PAUSE: i64 = 30 * 1_000_000;
/// The longest pause.
const LONGEST_PAUSE: i64 = 3_600 * 1_000_000;

/// What went wrong when a segment was last to be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In the words of who wrote the criteria.
    pub reason: String,
    /// When it first failed, of those times that follow each other.
    pub since: Timestamp,
    /// How often it failed since.
    pub attempts: u32,
    /// When it is tried again by itself.
    pub again_at: Timestamp,
}

/// Whether the members of a segment are what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// They are of the newest data, definition and settings, and time alone changed nothing.
    Fresh,
    /// They are of earlier data, of an earlier definition or other settings, or time passed.
    Stale,
    /// There are none, and computing them failed.
    Failed,
}

impl Status {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

/// How a segment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// In one word.
    pub status: Status,
    /// Since when it is not fresh, where that is known.
    pub since: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

impl Freshness {
    /// Up to date until then, when the clock may first have changed something.
    pub fn passed(at: Timestamp) -> Self {
        Self {
            status: Status::Stale,
            since: Some(at),
            reason: Some("because time passed".to_owned()),
        }
    }
}

/// What is kept of a failure, after the one before.
pub(crate) fn failed(before: Option<Failure>, error: &SegmentError, now: Timestamp) -> Failure {
    let attempts = before.as_ref().map_or(0, |before| before.attempts);
    let pause = FIRST_PAUSE.saturating_mul(1 << attempts.min(20));
    Failure {
        reason: error.without_values(),
        since: before.map_or(now, |before| before.since),
        attempts: attempts + 1,
        again_at: Timestamp::from_micros(now.micros() + pause.min(LONGEST_PAUSE)),
    }
}

/// The failure of a segment that was not computed since.
///
/// # Errors
/// [`SegmentError::Lake`].
pub fn failure(state: &State, key: &SegmentKey) -> Result<Option<Failure>, SegmentError> {
    Ok(state.value(&status_name(key))?)
}

/// The freshness of a segment at a snapshot, apart from the passing of time.
pub fn freshness_of(
    state: &State,
    scheduled: &Scheduled,
    refreshed: Option<&Refreshed>,
    failure: Option<&Failure>,
) -> Freshness {
    let stale = |reason: String, since| Freshness {
        status: Status::Stale,
        since,
        reason: Some(reason),
    };
    let newer_data = |snapshot: SnapshotNumber| snapshot < state.data;
    match (refreshed, failure) {
        (None, Some(failure)) => Freshness {
            status: Status::Failed,
            since: Some(failure.since),
            reason: Some(failure.reason.clone()),
        },
        (None, None) => stale("it was not computed yet".to_owned(), None),
        (Some(_), Some(failure)) => stale(failure.reason.clone(), Some(failure.since)),
        (Some(known), None) if known.revision < scheduled.criteria_revision => {
            stale("its definition was changed since".to_owned(), None)
        }
        (Some(known), None) if let Ok(Some(changed)) = known.changed_trait(state) => {
            let reason = format!("its trait `{changed}` was changed since");
            stale(reason, Some(known.computed_at))
        }
        (Some(known), None) if let Ok(Some((named, what))) = known.changed_segment(state) => {
            let reason = format!("the segment `{named}`, which it names, was {what} since");
            stale(reason, Some(known.computed_at))
        }
        (Some(known), None)
            if scheduled.refresh != Schedule::Static && newer_data(known.snapshot) =>
        {
            stale("there is newer data".to_owned(), Some(known.computed_at))
        }
        (Some(known), None)
            if scheduled.refresh != Schedule::Static
                && known.settings.is_some()
                && known.settings != settings_of_criteria(state) =>
        {
            stale("the settings were changed since".to_owned(), None)
        }
        (Some(_), None) => Freshness {
            status: Status::Fresh,
            since: None,
            reason: None,
        },
    }
}
