//! Cache of the columns and events that criteria use: lookup, and refresh after new snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rollbook_engine::{PeopleCache, Session, SnapshotDelta};
use rollbook_lake::{IDENTITY_REMAP, LINKED, Lake, State};
use rollbook_model::{SnapshotNumber, Timestamp};
use rollbook_segments::written;

use super::Workspace;
use crate::AppError;
use crate::access::Right;
use crate::workspace::cache_slot::CacheStats;

/// Later than any fact, so that the cache holds all of them.
const LATEST: &str = "2200-01-01";

/// The cache is rebuilt if more than one person in this many changed.
const REBUILD_SHARE: u64 = 4;

const ACTIVITIES: &str = "activities";

impl Workspace {
    /// The cache for a state; `None` if it is disabled, or if waiting for its refresh would take longer
    /// than reading the lake.
    pub(super) async fn people_cache(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Option<Arc<PeopleCache>>, AppError> {
        let latest: Timestamp = LATEST.parse().expect("it is a valid date");
        let Some(slot) = self.cache.as_ref().filter(|_| as_of < latest) else {
            return Ok(None);
        };
        if let Some(cached) = slot.get(state) {
            return Ok(Some(cached));
        }
        let Some(permit) = slot.lock_refresh().await else {
            return Ok(None);
        };
        // Another query may have refreshed it meanwhile.
        if let Some(cached) = slot.get(state) {
            return Ok(Some(cached));
        }
        if slot.is_newer_than(state) {
            return Ok(None);
        }
        let most = self.limits.memory / 2;
        // The cache is shared by all callers: nothing personal can get into it.
        let filling = self.with_rights(self.rights.without(Right::Pii));
        let all = filling.session_of_persons(lake, state, latest, None);
        let all = Arc::new(all.await?);
        let Some((snapshot, before)) = slot.older(state) else {
            return Ok(Some(slot.rebuild(state, all, most)));
        };
        // It is still being filled: the next query after that refreshes it.
        if before.is_loading().await {
            return Ok(None);
        }
        let Some(since) = filling.delta_since(lake, state, snapshot, &all).await? else {
            return Ok(Some(slot.rebuild(state, all, most)));
        };
        slot.refresh(permit, state, before, since, most);
        drop(slot.lock_refresh().await);
        Ok(slot.get(state))
    }

    /// The changes since a snapshot; `None` if they are too many, or may concern any person.
    async fn delta_since(
        &self,
        lake: &Lake,
        state: &State,
        snapshot: SnapshotNumber,
        all: &Arc<Session>,
    ) -> Result<Option<SnapshotDelta>, AppError> {
        let Some(changes) = written(lake, all, state, snapshot).await? else {
            return Ok(None);
        };
        let persons = state.table("persons").rows();
        if changes.persons.len().saturating_mul(REBUILD_SHARE) > persons
            || [LINKED, IDENTITY_REMAP]
                .iter()
                .any(|name| changes.named.contains(*name))
        {
            return Ok(None);
        }
        let latest = all.as_of();
        let among = Some(Arc::new(changes.persons.clone()));
        let some = self.session_of_persons(lake, state, latest, among).await?;
        let added = match changes.tables.get(ACTIVITIES) {
            Some(files) if !changes.rewritten.contains(ACTIVITIES) => {
                let mut added = state.clone();
                if let Some(activities) = added.tables.get_mut(ACTIVITIES) {
                    activities.files.clone_from(files);
                }
                Some(self.session_of_persons(lake, &added, latest, None).await?)
            }
            _ => None,
        };
        Ok(Some(SnapshotDelta {
            all: Arc::clone(all),
            some,
            persons: changes.persons,
            tables: changes.tables.into_keys().collect(),
            added,
        }))
    }

    /// Size and use of the cache.
    pub async fn cache_stats(&self) -> CacheStats {
        let Some(slot) = &self.cache else {
            return CacheStats::default();
        };
        CacheStats {
            answers: slot.answers.load(Ordering::Relaxed),
            refreshes: slot.refreshes.load(Ordering::Relaxed),
            bytes: match slot.current() {
                Some(cache) => cache.bytes().await as u64,
                None => 0,
            },
        }
    }

    /// The default `as_of` of queries about criteria: `now`, or the one of the query before if that was
    /// less than a minute ago on the same data, so that its results can be reused.
    pub(crate) fn default_as_of(&self, state: &State, now: Timestamp) -> Timestamp {
        self.cache
            .as_ref()
            .map_or(now, |slot| slot.default_as_of(state, now))
    }
}
