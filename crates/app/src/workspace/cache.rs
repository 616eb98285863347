//! What is kept in memory of the newest data, for questions about criteria.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rollbook_engine::{PeopleCache, Session, SnapshotDelta};
use rollbook_lake::{LINKED, Lake, MOVES, State};
use rollbook_model::{SnapshotNumber, Timestamp};
use rollbook_segments::written;

use super::Workspace;
use crate::AppError;
use crate::cache::CacheStats;

/// So late that nothing is hidden.
const LATEST: &str = "2200-01-01";

/// One person in so many: where more of them changed, everything is read anew.
const RENEWED_AT_MOST: u64 = 4;

const ACTIVITIES: &str = "activities";

impl Workspace {
    /// What is kept in memory of a state; `None` where that has to be waited for longer than the
    /// lake takes to answer.
    pub(super) async fn resident(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Option<Arc<PeopleCache>>, AppError> {
        let latest: Timestamp = LATEST.parse().expect("it is a moment");
        let Some(warm) = self.warm.as_ref().filter(|_| as_of < latest) else {
            return Ok(None);
        };
        if let Some(kept) = warm.of(state) {
            return Ok(Some(kept));
        }
        let Some(turn) = warm.turn().await else {
            return Ok(None);
        };
        // Somebody else may have had a turn.
        if let Some(kept) = warm.of(state) {
            return Ok(Some(kept));
        }
        if warm.is_beyond(state) {
            return Ok(None);
        }
        let most = self.limits.memory / 2;
        let all = Arc::new(self.session_among(lake, state, latest, None).await?);
        let Some((snapshot, before)) = warm.before(state) else {
            return Ok(Some(warm.keep(state, all, most)));
        };
        // What is being read will be there for the next one, with what has come by then.
        if before.is_read().await {
            return Ok(None);
        }
        let Some(since) = self.since(lake, state, snapshot, &all).await? else {
            return Ok(Some(warm.keep(state, all, most)));
        };
        warm.renew(turn, state, before, since, most);
        drop(warm.turn().await);
        Ok(warm.of(state))
    }

    /// What came after a snapshot; `None` where that is much, or may concern anybody.
    async fn since(
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
        if changes.persons.len().saturating_mul(RENEWED_AT_MOST) > persons
            || [LINKED, MOVES]
                .iter()
                .any(|name| changes.named.contains(*name))
        {
            return Ok(None);
        }
        let latest = all.as_of();
        let among = Some(Arc::new(changes.persons.clone()));
        let some = self.session_among(lake, state, latest, among).await?;
        let added = match changes.tables.get(ACTIVITIES) {
            Some(files) if !changes.rewritten.contains(ACTIVITIES) => {
                let mut added = state.clone();
                if let Some(activities) = added.tables.get_mut(ACTIVITIES) {
                    activities.files.clone_from(files);
                }
                Some(self.session_among(lake, &added, latest, None).await?)
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

    /// What is kept in memory, and what for.
    pub async fn in_memory(&self) -> CacheStats {
        let Some(warm) = &self.warm else {
            return CacheStats::default();
        };
        CacheStats {
            answers: warm.answers.load(Ordering::Relaxed),
            renewals: warm.renewals.load(Ordering::Relaxed),
            bytes: match warm.resident() {
                Some(resident) => resident.bytes().await as u64,
                None => 0,
            },
        }
    }

    /// The moment to look from where nobody names one: the present, or what that was less than a
    /// minute ago where nothing came in since.
    pub(crate) fn moment(&self, state: &State, now: Timestamp) -> Timestamp {
        self.warm
            .as_ref()
            .map_or(now, |warm| warm.moment(state, now))
    }
}
