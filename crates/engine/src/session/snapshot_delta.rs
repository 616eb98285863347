//! What changed between two snapshots, for a cache that is to be refreshed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use datafusion::error::Result;
use roaring::RoaringTreemap;

use super::Session;
use crate::cache::PeopleCache;
use crate::cache::memory::CacheLimit;
use crate::cache::refresh::CacheDelta;

/// What changed after a snapshot. No session hides rows of the future.
#[derive(Debug)]
pub struct SnapshotDelta {
    /// Over the newer snapshot.
    pub all: Arc<Session>,
    /// The same with the rows of `persons` alone.
    pub some: Session,
    /// All persons with a change.
    pub persons: RoaringTreemap,
    /// The tables that changed.
    pub tables: BTreeSet<String>,
    /// The same as `all` with the added activities alone, where none were changed or removed.
    pub added: Option<Session>,
}

impl PeopleCache {
    /// Of the snapshot that `all` is over, which looks from so late that nothing is hidden; in at
    /// most so many bytes. `answers` counts the questions that are answered from it. Rows are read
    /// no sooner than after `patience`: there may be a newer snapshot by then.
    pub fn new(all: &Session, most: usize, answers: Arc<AtomicU64>, patience: Duration) -> Self {
        let limit = CacheLimit {
            max_bytes: most,
            shared: all.limits().shared,
        };
        Self::empty(all.state().clone(), limit, answers, patience)
    }

    /// The cache of the newer snapshot; `None` where everything has to be read anew.
    ///
    /// # Errors
    /// Rows of the older or the newer snapshot cannot be read.
    pub async fn refreshed_by(&self, since: SnapshotDelta) -> Result<Option<Self>> {
        let delta = CacheDelta {
            full_state: since.all.state(),
            changed_state: since.some.state(),
            changed_persons: &since.persons,
            changed_tables: &since.tables,
            added_activities: since.added.as_ref().map(Session::state),
        };
        self.refreshed(delta).await
    }
}
