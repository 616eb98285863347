//! The one way to change a lake: on the newest state, and anew when another writer was faster.
//!
//! Commits are optimistic: who puts the next snapshot's record first wins. A writer that lost pauses
//! for a random time, so that two of them do not meet again, and after some losses asks for the
//! writer lease, so that it cannot lose for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::commit::{Commit, Committed};
use crate::snapshot::writer_lease::WriterLease;
use crate::state::State;

/// Attempts until a writer gives way to faster ones.
const ATTEMPTS: u32 = 10;
/// Losses until a writer asks for the lease.
const LOSSES_BEFORE_LEASE: u32 = 3;
/// The longest pause after the first loss; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(4);

/// What a writer wants to do to the newest state.
#[derive(Debug)]
pub enum Update<T> {
    /// Nothing: the state is as it should be, or must not be changed.
    Keep(T),
    /// To commit a change, and to answer with this when it is committed.
    Commit(Box<Commit>, T),
}

impl<T> Update<T> {
    /// To commit a change.
    pub fn commit(commit: Commit, answer: T) -> Self {
        Self::Commit(Box::new(commit), answer)
    }

    /// The same with another answer.
    pub fn map<U>(self, answer: impl FnOnce(T) -> U) -> Update<U> {
        match self {
            Self::Keep(kept) => Update::Keep(answer(kept)),
            Self::Commit(commit, committed) => Update::Commit(commit, answer(committed)),
        }
    }
}

impl Lake {
    /// Asks `update` what to do to the newest state and does it; asks again with a newer state where
    /// another writer was faster. Gives its answer: what it commits becomes the snapshot after the state
    /// that it was asked about.
    ///
    /// # Errors
    /// Those of `update`; [`LakeError::Busy`] where other writers were faster each time; those of
    /// the store.
    pub async fn update<T, E, F>(&self, update: impl FnMut(Arc<State>) -> F) -> Result<T, E>
    where
        E: From<LakeError>,
        F: Future<Output = Result<Update<T>, E>>,
    {
        let mut lease = None;
        let updated = self.try_to_update(update, &mut lease).await;
        if let Some(lease) = lease {
            // What was committed stays so; a lease that is left over ends by itself.
            let _ = lease.release().await;
        }
        updated
    }

    async fn try_to_update<T, E, F>(
        &self,
        mut update: impl FnMut(Arc<State>) -> F,
        lease: &mut Option<WriterLease>,
    ) -> Result<T, E>
    where
        E: From<LakeError>,
        F: Future<Output = Result<Update<T>, E>>,
    {
        for loss in 1..=ATTEMPTS {
            let base = Arc::new(self.head().await?);
            let (commit, answer) = match update(Arc::clone(&base)).await? {
                Update::Keep(answer) => return Ok(answer),
                Update::Commit(commit, answer) => (commit, answer),
            };
            let committed = self
                .commit_with_lease(&base, *commit, lease.as_ref())
                .await?;
            if let Committed::Done(_) = committed {
                return Ok(answer);
            }
            if loss >= LOSSES_BEFORE_LEASE && lease.is_none() {
                *lease = Some(self.take_writer_lease().await?);
            } else {
                sleep(pause_after(loss)).await;
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS }.into())
    }
}

/// A random pause; its longest doubles with each loss.
fn pause_after(losses: u32) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let share = u32::try_from(random & 0xff).unwrap_or(0);
    PAUSE * (1 << losses.min(6)) * share / 256
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use rollbook_model::Timestamp;
    use serde_json::json;

    use super::Update;
    use crate::state::record::Cause;
    use crate::{Commit, Lake, LakeError, State};

    /// Adds one to a number that several writers count up.
    async fn count_up(lake: Lake) -> Result<(), LakeError> {
        let update = |state: Arc<State>| async move {
            let count: Option<u64> = state.value("count")?;
            let name = "count".to_owned();
            let named = BTreeMap::from([(name.clone(), Some(json!(count.unwrap_or(0) + 1)))]);
            let commit = Commit::of_names(Cause::Define { name }, Timestamp::from_micros(1), named);
            Ok::<_, LakeError>(Update::commit(commit, ()))
        };
        lake.update(update).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_updates_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().to_str().unwrap();
        let mut writers = Vec::new();
        for _ in 0..8 {
            let lake = Lake::open_or_new(location, "default".parse().unwrap()).await;
            writers.push(tokio::spawn(count_up(lake.unwrap())));
        }
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let lake = Lake::open(location, "default".parse().unwrap()).await;
        let count: Option<u64> = lake.unwrap().head().await.unwrap().value("count").unwrap();
        assert_eq!(count, Some(8));
    }

    #[tokio::test]
    async fn an_update_that_keeps_the_state_commits_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().to_str().unwrap();
        let lake = Lake::open_or_new(location, "default".parse().unwrap()).await;
        let lake = lake.unwrap();
        let keep = |_| async { Ok::<_, LakeError>(Update::Keep(7)) };
        assert_eq!(lake.update(keep).await.unwrap(), 7);
        assert_eq!(lake.head().await.unwrap().number.0, 0);
    }
}
