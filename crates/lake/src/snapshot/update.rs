//! Updates of a lake: a commit on the newest state, repeated while other writers commit first.
//!
//! Commits are optimistic: of several writers the first that puts the next snapshot's record wins. A
//! writer that lost pauses for a random time, so that the same writers do not compete at the same
//! moment again. After some losses it takes the writer lease, so that it cannot lose for ever.

use std::sync::Arc;

use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::commit::{Commit, Committed};
use crate::snapshot::writer_lease::WriterLease;
use crate::state::State;
use crate::storage::retry::pause_after;

/// Attempts to commit before an update fails.
const ATTEMPTS: u32 = 10;
/// Lost attempts before a writer takes the writer lease.
const LOSSES_BEFORE_LEASE: u32 = 3;

/// The decision of a writer about the newest state.
#[derive(Debug)]
pub enum Update<T> {
    /// Commit nothing and return this answer.
    Keep(T),
    /// Commit a change, and return this answer once it is committed.
    Commit(Box<Commit>, T),
}

impl<T> Update<T> {
    /// Commit a change, and return `answer` once it is committed.
    pub fn commit(commit: Commit, answer: T) -> Self {
        Self::Commit(Box::new(commit), answer)
    }

    /// The same decision with another answer.
    pub fn map<U>(self, answer: impl FnOnce(T) -> U) -> Update<U> {
        match self {
            Self::Keep(value) => Update::Keep(answer(value)),
            Self::Commit(commit, value) => Update::Commit(commit, answer(value)),
        }
    }
}

impl Lake {
    /// Calls `update` with the newest state, commits the change that it returns, and returns its answer.
    /// Where another writer commits first, calls `update` again with the newer state. The commit becomes
    /// the snapshot right after the state that `update` was called with.
    ///
    /// # Errors
    /// - The errors of `update`.
    /// - [`LakeError::Busy`]: other writers committed first in every attempt.
    /// - The errors of [`Lake::head`] and [`Lake::commit`].
    pub async fn update<T, E, F>(&self, update: impl FnMut(Arc<State>) -> F) -> Result<T, E>
    where
        E: From<LakeError>,
        F: Future<Output = Result<Update<T>, E>>,
    {
        let mut lease = None;
        let updated = self.try_to_update(update, &mut lease).await;
        if let Some(lease) = lease {
            // A commit that was made stays. A lease that could not be deleted expires.
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
                pause_after(loss).await;
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS }.into())
    }
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
