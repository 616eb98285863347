//! The newest states that were read, so that who asks again does not read them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectMeta;
use rollbook_model::SnapshotNumber;

use crate::state::State;

/// Of each tenant of a store the newest state that was read, whose Delta logs are published.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<BTreeMap<String, Head>>);

#[derive(Debug)]
struct Head {
    number: SnapshotNumber,
    /// Its record as it lay there: a lake that was made anew in the same place has another one.
    record: ObjectMeta,
    state: Arc<State>,
}

impl Heads {
    pub(crate) fn get(
        &self,
        tenant: &str,
        number: SnapshotNumber,
        record: &ObjectMeta,
    ) -> Option<Arc<State>> {
        let heads = self.lock();
        let known = heads.get(tenant)?;
        let is_it = known.number == number && known.record == *record;
        is_it.then(|| Arc::clone(&known.state))
    }

    pub(crate) fn note(
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
