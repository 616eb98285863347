//! Refusals of callers without a key: how many of them are recorded one by one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals that are listed each second; more are counted.
const LISTED: u64 = 20;

/// Refusals of callers without a key, of which anybody can cause any number.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<RefusalCount>);

#[derive(Debug, Default)]
struct RefusalCount {
    second: Option<Instant>,
    listed: u64,
    unlisted: u64,
}

impl Refusals {
    /// `None` if the next refusal is only counted; else how many were only counted before it, `Some(None)` for none.
    pub(crate) fn list(&self) -> Option<Option<u64>> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |begin: Instant| begin.elapsed() >= Duration::from_secs(1);
        if count.second.is_none_or(is_over) {
            count.second = Some(Instant::now());
            count.listed = 0;
        }
        if count.listed >= LISTED {
            count.unlisted += 1;
            return None;
        }
        count.listed += 1;
        let unlisted = std::mem::take(&mut count.unlisted);
        Some((unlisted > 0).then_some(unlisted))
    }

    /// How many were only counted since the last one that was listed, at the end of the server.
    pub(crate) fn take_unlisted(&self) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unlisted = std::mem::take(&mut count.unlisted);
        (unlisted > 0).then_some(unlisted)
    }
}

#[cfg(test)]
mod tests {
    use super::{LISTED, Refusals};

    #[test]
    fn floods_of_refusals_are_counted() {
        let refusals = Refusals::default();
        for _ in 0..LISTED {
            assert_eq!(refusals.list(), Some(None));
        }
        assert_eq!(refusals.list(), None);
        assert_eq!(refusals.list(), None);
        refusals.0.lock().unwrap().second = None;
        assert_eq!(refusals.list(), Some(Some(2)));
        assert_eq!(refusals.list(), Some(None));
        assert_eq!(refusals.take_unlisted(), None);
        for _ in 0..LISTED {
            refusals.list();
        }
        assert_eq!(refusals.take_unlisted(), Some(2));
        assert_eq!(refusals.take_unlisted(), None);
    }
}
