//! The slot that holds the cache of the newest data, so that criteria are previewed while a user types.

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

/// Bounds of the delay before a cache reads its rows, if its predecessor was filled and never used.
const MIN_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// How long a query waits for a refresh of the cache before it reads the lake instead.
const REFRESH_WAIT: Duration = Duration::from_millis(500);

/// Permit to refresh the cache; one at a time.
pub(crate) type RefreshPermit = OwnedMutexGuard<()>;

/// The cache of the newest data, if there is one, with its counters.
#[derive(Debug, Default)]
pub(crate) struct CacheSlot {
    cached: Mutex<Option<CachedData>>,
    refreshing: Arc<tokio::sync::Mutex<()>>,
    /// Queries that were answered from it.
    pub(crate) answers: Arc<AtomicU64>,
    /// Incremental refreshes.
    pub(crate) refreshes: AtomicU64,
}

/// Size and use of the cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheStats {
    /// Queries about criteria that were answered from the cache.
    pub answers: u64,
    /// Incremental refreshes, which read only what changed.
    pub refreshes: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// A cache and the data that it holds.
#[derive(Debug)]
struct CachedData {
    version: DataVersion,
    cache: Arc<PeopleCache>,
    delay: Duration,
    /// The last default `as_of`.
    as_of: Option<Timestamp>,
}

/// What answers depend on beside their `as_of`.
#[derive(Debug, Clone, PartialEq)]
struct DataVersion {
    snapshot: SnapshotNumber,
    settings: Option<Value>,
}

impl DataVersion {
    fn of(state: &State) -> Self {
        Self {
            snapshot: state.data,
            settings: state.named.get("settings").cloned(),
        }
    }
}

impl CacheSlot {
    /// The cache, if it holds the data of this state.
    pub(crate) fn get(&self, state: &State) -> Option<Arc<PeopleCache>> {
        let cached = self.lock();
        let cached = cached.as_ref();
        let cached = cached.filter(|cached| cached.version == DataVersion::of(state))?;
        Some(Arc::clone(&cached.cache))
    }

    /// Waits for the permit to refresh the cache; `None` if another refresh takes too long.
    pub(crate) async fn lock_refresh(&self) -> Option<RefreshPermit> {
        let permit = Arc::clone(&self.refreshing).lock_owned();
        timeout(REFRESH_WAIT, permit).await.ok()
    }

    /// Whether the cache holds newer data than this state; it never goes back.
    pub(crate) fn is_newer_than(&self, state: &State) -> bool {
        let cached = self.lock();
        cached
            .as_ref()
            .is_some_and(|cached| cached.version.snapshot > state.data)
    }

    /// The cache and its snapshot, if it holds older data under the same settings.
    pub(crate) fn older(&self, state: &State) -> Option<(SnapshotNumber, Arc<PeopleCache>)> {
        let (cached, version) = (self.lock(), DataVersion::of(state));
        let cached = cached.as_ref()?;
        let is_older = cached.version.snapshot < version.snapshot
            && cached.version.settings == version.settings;
        is_older.then(|| (cached.version.snapshot, Arc::clone(&cached.cache)))
    }

    /// The cache, whatever data it holds.
    pub(crate) fn current(&self) -> Option<Arc<PeopleCache>> {
        Some(Arc::clone(&self.lock().as_ref()?.cache))
    }

    fn lock(&self) -> MutexGuard<'_, Option<CachedData>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the cache by an empty one over the session `all`, of at most `max_bytes`.
    pub(crate) fn rebuild(
        &self,
        state: &State,
        all: Arc<Session>,
        max_bytes: usize,
    ) -> Arc<PeopleCache> {
        let (mut cached, version) = (self.lock(), DataVersion::of(state));
        // If data arrive faster than queries, filling each new cache at once is wasted work.
        let delay = cached.as_ref().map_or(Duration::ZERO, |before| {
            match (before.cache.has_answered(), before.cache.has_loaded()) {
                (true, _) => Duration::ZERO,
                (false, true) => (before.delay * 2).clamp(MIN_DELAY, MAX_DELAY),
                (false, false) => before.delay,
            }
        });
        let answers = Arc::clone(&self.answers);
        let cache = PeopleCache::new(&all, max_bytes, answers, delay).into_shared();
        *cached = Some(CachedData {
            version,
            cache: Arc::clone(&cache),
            delay,
            as_of: None,
        });
        cache
    }

    /// Refreshes the cache `before` with a delta, in the background. If that fails, the cache is
    /// rebuilt.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        permit: RefreshPermit,
        state: &State,
        before: Arc<PeopleCache>,
        delta: SnapshotDelta,
        max_bytes: usize,
    ) {
        let (slot, state) = (Arc::clone(self), state.clone());
        spawn_detached(async move {
            let all = Arc::clone(&delta.all);
            match before.refreshed_by(delta).await {
                Ok(Some(cache)) => {
                    slot.refreshes.fetch_add(1, Ordering::Relaxed);
                    *slot.lock() = Some(CachedData {
                        version: DataVersion::of(&state),
                        cache: cache.into_shared(),
                        delay: Duration::ZERO,
                        as_of: None,
                    });
                }
                // Queries that read the same data report the error.
                Ok(None) | Err(_) => drop(slot.rebuild(&state, all, max_bytes)),
            }
            drop(permit);
        });
    }

    /// The default `as_of`: that of the query before, if it was less than a minute ago on the same data,
    /// else `now`.
    pub(crate) fn default_as_of(&self, state: &State, now: Timestamp) -> Timestamp {
        let mut cached = self.lock();
        let is_same = |cached: &&mut CachedData| cached.version == DataVersion::of(state);
        let Some(cached) = cached.as_mut().filter(is_same) else {
            return now;
        };
        let max_age = i64::from(PREVIEW_SECONDS) * 1_000_000;
        let is_recent = |as_of: &Timestamp| (0..max_age).contains(&(now.micros() - as_of.micros()));
        *cached
            .as_of
            .insert(cached.as_of.filter(is_recent).unwrap_or(now))
    }
}
