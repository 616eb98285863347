//! What a server keeps of the newest data in memory, so that questions about criteria are answered
//! while somebody types.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollbook_engine::{Resident, Session};
use rollbook_lake::State;
use rollbook_model::config::PREVIEW_SECONDS;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde_json::Value;

/// How long to wait for newer data before rows are read, where the last ones were read for nothing.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// What is kept, and of what.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    kept: Mutex<Option<Kept>>,
    /// Questions that were answered from it.
    pub(crate) answers: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Kept {
    of: Data,
    resident: Arc<Resident>,
    patience: Duration,
    /// The moment that was last looked from without being named.
    moment: Option<Timestamp>,
}

/// What answers depend on beside the moment that they are seen from.
#[derive(Debug, Clone, PartialEq)]
struct Data {
    snapshot: SnapshotNumber,
    settings: Option<Value>,
}

impl Data {
    fn of(state: &State) -> Self {
        Self {
            snapshot: state.data,
            settings: state.named.get("settings").cloned(),
        }
    }
}

impl Warm {
    /// What is kept of a state.
    pub(crate) fn of(&self, state: &State) -> Option<Arc<Resident>> {
        let kept = self.kept();
        let kept = kept.as_ref().filter(|kept| kept.of == Data::of(state))?;
        Some(Arc::clone(&kept.resident))
    }

    /// What is kept, of whatever state.
    pub(crate) fn resident(&self) -> Option<Arc<Resident>> {
        Some(Arc::clone(&self.kept().as_ref()?.resident))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep what a session sees, instead of what is of older data, in so many bytes.
    pub(crate) fn keep(&self, state: &State, all: Session, most: usize) -> Arc<Resident> {
        let mut kept = self.kept();
        let of = Data::of(state);
        // Two may begin at once.
        if let Some(known) = kept.as_ref().filter(|kept| kept.of == of) {
            return Arc::clone(&known.resident);
        }
        // Where data come faster than anybody asks, reading all of them each time is for nothing.
        let patience = kept.as_ref().map_or(Duration::ZERO, |before| {
            match (before.resident.is_used(), before.resident.was_read()) {
                (true, _) => Duration::ZERO,
                (false, true) => (before.patience * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE),
                (false, false) => before.patience,
            }
        });
        let answers = Arc::clone(&self.answers);
        let resident = Arc::new(Resident::new(all, most, answers, patience));
        if kept
            .as_ref()
            .is_none_or(|kept| kept.of.snapshot <= of.snapshot)
        {
            *kept = Some(Kept {
                of,
                resident: Arc::clone(&resident),
                patience,
                moment: None,
            });
        }
        resident
    }

    /// The moment to look from: that of the question before, where it was asked less than a minute
    /// ago about the same data, and else the present.
    pub(crate) fn moment(&self, state: &State, now: Timestamp) -> Timestamp {
        let mut kept = self.kept();
        let Some(kept) = kept.as_mut().filter(|kept| kept.of == Data::of(state)) else {
            return now;
        };
        let most = i64::from(PREVIEW_SECONDS) * 1_000_000;
        let is_recent = |moment: &Timestamp| (0..most).contains(&(now.micros() - moment.micros()));
        *kept
            .moment
            .insert(kept.moment.filter(is_recent).unwrap_or(now))
    }
}
