//! Retries of optimistic writes: a bounded number of attempts with random pauses between them.
//!
//! Of several writers that put the same object only if it is absent, one succeeds. The others read
//! the newer data and try again. Each pauses for a random time first, so that the same writers do not
//! compete at the same moment again.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::LakeError;

/// The longest pause after the first lost attempt; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(4);
/// How often the longest pause doubles at most.
const DOUBLINGS: u32 = 6;

/// Calls `attempt` until it returns a value, at most `attempts` times. Returns `None` where every
/// attempt returned `None`: each time another writer was faster.
///
/// # Errors
/// The first error that `attempt` returns; it is not retried.
pub(crate) async fn retry<T, F>(
    attempts: u32,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, LakeError>
where
    F: Future<Output = Result<Option<T>, LakeError>>,
{
    for losses in 1..=attempts {
        if let Some(done) = attempt().await? {
            return Ok(Some(done));
        }
        if losses < attempts {
            pause_after(losses).await;
        }
    }
    Ok(None)
}

/// Waits for a random time. The longest possible pause doubles with each lost attempt.
pub(crate) async fn pause_after(losses: u32) {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let share = u32::try_from(random & 0xff).unwrap_or(0);
    sleep(PAUSE * (1 << losses.min(DOUBLINGS)) * share / 256).await;
}

#[cfg(test)]
mod tests {
    use super::retry;
    use crate::LakeError;

    #[tokio::test]
    async fn attempts_are_bounded_and_errors_are_not_retried() {
        let mut calls = 0;
        let third = retry(20, || {
            calls += 1;
            let done = (calls == 3).then_some(calls);
            async move { Ok(done) }
        });
        assert_eq!(third.await.unwrap(), Some(3));
        let mut calls = 0;
        let never = retry(5, || {
            calls += 1;
            async { Ok(None::<()>) }
        });
        assert_eq!(never.await.unwrap(), None);
        assert_eq!(calls, 5);
        let mut calls = 0;
        let failing = retry(5, || {
            calls += 1;
            async { Err::<Option<()>, _>(LakeError::NotACopy) }
        });
        assert!(failing.await.is_err());
        assert_eq!(calls, 1);
    }
}
