//! Rows that holders of trial keys have sent and got in the last hour.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::allowance::Allowance;

/// Rows of a trial key in an hour, if nothing else is said.
pub const TRIAL_ROWS_PER_HOUR: u32 = 10_000;
/// Seconds in which all rows come back.
const HOUR: f64 = 3_600.0;

/// The use of the limit by all trial keys. So many rows are possible at once, and each comes back on its own: after an
/// hour all of them.
pub(crate) struct TrialRows {
    /// `None` for no limit.
    limit: Option<NonZeroU32>,
    used: Mutex<HashMap<String, UsedRows>>,
}

#[derive(Clone, Copy)]
struct UsedRows {
    rows: f64,
    at: Instant,
}

impl UsedRows {
    /// What of it is still used at a moment.
    fn left_at(self, now: Instant, limit: f64) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.rows - passed * limit / HOUR).max(0.0)
    }
}

impl TrialRows {
    pub(crate) fn new(limit: Option<NonZeroU32>) -> Self {
        let used = Mutex::default();
        Self { limit, used }
    }

    /// The rows of one key at most; `None` for no limit.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit.map(|limit| u64::from(limit.get()))
    }

    /// Counts all of these rows of a key, or none of them.
    ///
    /// # Errors
    /// They are too many: what is left, and when they are possible.
    pub(crate) fn count(&self, key: &str, rows: u64, now: Instant) -> Result<(), Allowance> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "more rows than a float counts are too many anyway"
        )]
        let (most, asked) = (f64::from(limit.get()), rows as f64);
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.get(key).map_or(0.0, |used| used.left_at(now, most));
        let sum = used + asked;
        if sum <= most {
            let used = UsedRows { rows: sum, at: now };
            all.insert(key.to_owned(), used);
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to the limit"
        )]
        let remaining = (most - used) as u32;
        // More rows than are ever possible at once: until all are.
        let missing = if asked > most { used } else { sum - most };
        Err(Allowance {
            limit: limit.get(),
            remaining,
            reset: Duration::from_secs_f64(missing * HOUR / most),
        })
    }

    /// Forgets keys all of whose rows have come back.
    pub(super) fn forget_idle(&self, now: Instant) {
        let Some(limit) = self.limit else {
            return;
        };
        let most = f64::from(limit.get());
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, used| used.left_at(now, most) > 0.0);
        all.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::TrialRows;

    #[test]
    fn rows_are_counted_as_a_whole_and_come_back() {
        let rows = TrialRows::new(NonZeroU32::new(3_600));
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(rows.count("a", 3_000, begin), Ok(()));
        let refused = rows.count("a", 1_000, begin).unwrap_err();
        assert_eq!((refused.limit, refused.remaining), (3_600, 600));
        assert_eq!(refused.reset.as_secs(), 400);
        // What was refused is not counted, and another key is not affected.
        assert_eq!(rows.count("a", 600, begin), Ok(()));
        assert_eq!(rows.count("b", 3_600, begin), Ok(()));
        assert_eq!(rows.count("a", 1, begin).unwrap_err().remaining, 0);
        assert_eq!(rows.count("a", 401, after(400)).unwrap_err().remaining, 400);
        assert_eq!(rows.count("a", 400, after(400)), Ok(()));
        // More than are ever possible.
        let refused = rows.count("a", 3_601, after(400)).unwrap_err();
        assert_eq!(refused.reset.as_secs(), 3_600);
        rows.forget_idle(after(3_999));
        assert_eq!(rows.used.lock().unwrap().len(), 1);
        rows.forget_idle(after(4_001));
        assert!(rows.used.lock().unwrap().is_empty());
    }

    #[test]
    fn no_limit_counts_nothing() {
        let rows = TrialRows::new(None);
        assert_eq!(rows.count("a", u64::MAX, Instant::now()), Ok(()));
        assert_eq!(rows.limit(), None);
    }

    #[test]
    fn concurrent_calls_do_not_use_more() {
        let rows = TrialRows::new(NonZeroU32::new(100));
        let now = Instant::now();
        let counted: usize = std::thread::scope(|scope| {
            let calls = || (0..50).filter(|_| rows.count("a", 1, now).is_ok()).count();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(calls)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(counted, 100);
    }
}
