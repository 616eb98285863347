//! What a server keeps of the newest data in memory, so that questions about criteria are answered
//! while somebody types.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollbook_engine::{PeopleCache, Session, SnapshotDelta, spawn_detached};
use rollbook_lake::State;
use rollbook_model::config::PREVIEW_SECONDS;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

/// How long to wait for newer data before rows are read, where the last ones were read for nothing.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// How long a question waits for what is kept to be that of the newest data.
const WAITING: Duration = Duration::from_millis(500);

/// The turn to change what is kept.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// What is kept, and of what.
#[derive(Debug, Default)]
pub(crate) struct CacheSlot {
    kept: Mutex<Option<Kept>>,
    turns: Arc<tokio::sync::Mutex<()>>,
    /// Questions that were answered from it.
    pub(crate) answers: Arc<AtomicU64>,
    /// How often newer data took the place of older ones without being read as a whole.
    pub(crate) renewals: AtomicU64,
}

/// What keeping data in memory comes to.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheStats {
    /// Questions about criteria that were answered from memory.
    pub answers: u64,
    /// How often what was kept went on to newer data, of which only what changed was read.
    pub renewals: u64,
    /// Bytes that are kept.
    pub bytes: u64,
}

#[derive(Debug)]
struct Kept {
    of: Data,
    resident: Arc<PeopleCache>,
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

impl CacheSlot {
    /// What is kept of a state.
    pub(crate) fn of(&self, state: &State) -> Option<Arc<PeopleCache>> {
        let kept = self.kept();
        let kept = kept.as_ref().filter(|kept| kept.of == Data::of(state))?;
        Some(Arc::clone(&kept.resident))
    }

    /// The turn to change what is kept; `None` where others take long over that.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let turn = Arc::clone(&self.turns).lock_owned();
        timeout(WAITING, turn).await.ok()
    }

    /// Whether newer data are kept than those of a state, so that it is not to be gone back to.
    pub(crate) fn is_beyond(&self, state: &State) -> bool {
        let kept = self.kept();
        kept.as_ref()
            .is_some_and(|kept| kept.of.snapshot > state.data)
    }

    /// What is kept of data before those of a state, and their snapshot.
    pub(crate) fn before(&self, state: &State) -> Option<(SnapshotNumber, Arc<PeopleCache>)> {
        let (kept, of) = (self.kept(), Data::of(state));
        let kept = kept.as_ref()?;
        let is_before = kept.of.snapshot < of.snapshot && kept.of.settings == of.settings;
        is_before.then(|| (kept.of.snapshot, Arc::clone(&kept.resident)))
    }

    /// What is kept, of whatever state.
    pub(crate) fn resident(&self) -> Option<Arc<PeopleCache>> {
        Some(Arc::clone(&self.kept().as_ref()?.resident))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep what a session sees, instead of what is of older data, in so many bytes.
    pub(crate) fn keep(&self, state: &State, all: Arc<Session>, most: usize) -> Arc<PeopleCache> {
        let (mut kept, of) = (self.kept(), Data::of(state));
        // Where data come faster than anybody asks, reading all of them each time is for nothing.
        let patience = kept.as_ref().map_or(Duration::ZERO, |before| {
            match (before.resident.is_used(), before.resident.was_read()) {
                (true, _) => Duration::ZERO,
                (false, true) => (before.patience * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE),
                (false, false) => before.patience,
            }
        });
        let answers = Arc::clone(&self.answers);
        let resident = Arc::new(PeopleCache::new(&all, most, answers, patience));
        *kept = Some(Kept {
            of,
            resident: Arc::clone(&resident),
            patience,
            moment: None,
        });
        resident
    }

    /// Keeps of a state what was kept `before`, with what came since, on a thread of its own. Where
    /// that cannot be, all is read anew as it is asked for.
    pub(crate) fn renew(
        self: &Arc<Self>,
        turn: Turn,
        state: &State,
        before: Arc<PeopleCache>,
        since: SnapshotDelta,
        most: usize,
    ) {
        let (warm, state) = (Arc::clone(self), state.clone());
        spawn_detached("rollbook-warm", async move {
            let all = Arc::clone(&since.all);
            match before.renewed(since).await {
                Ok(Some(resident)) => {
                    let resident = Arc::new(resident);
                    warm.renewals.fetch_add(1, Ordering::Relaxed);
                    *warm.kept() = Some(Kept {
                        of: Data::of(&state),
                        resident,
                        patience: Duration::ZERO,
                        moment: None,
                    });
                }
                // What is wrong is told to those who ask.
                Ok(None) | Err(_) => drop(warm.keep(&state, all, most)),
            }
            drop(turn);
        });
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
