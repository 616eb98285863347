//! A cache of the newest state of each tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectMeta;
use rollbook_model::SnapshotNumber;

use crate::state::State;

/// The newest state that was read of each tenant of a store. Its Delta logs are published.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<BTreeMap<String, Head>>);

#[derive(Debug)]
struct Head {
    number: SnapshotNumber,
    /// The metadata of the snapshot's record. A new lake in the same location has another record.
    record: ObjectMeta,
    state: Arc<State>,
}

impl Heads {
    /// The state of a tenant's newest snapshot, where it is cached.
    pub(crate) fn get(
        &self,
        tenant: &str,
        number: SnapshotNumber,
        record: &ObjectMeta,
    ) -> Option<Arc<State>> {
        let heads = self.lock();
        let known = heads.get(tenant)?;
        let is_same = known.number == number && known.record == *record;
        is_same.then(|| Arc::clone(&known.state))
    }

    /// Caches the state of a tenant's newest snapshot.
    pub(crate) fn put(
        &self,
        tenant: &str,
        number: SnapshotNumber,
        record: ObjectMeta,
        state: &State,
    ) {
        let state = Arc::new(state.clone());
        let head = Head {
            number,
            record,
            state,
        };
        self.lock().insert(tenant.to_owned(), head);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
