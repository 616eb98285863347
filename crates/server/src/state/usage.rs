//! What a tenant uses, measured from time to time, since that reads its folder.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollbook_app::AppError;
use rollbook_app::tenants::Usage;
use rollbook_model::Timestamp;
use tokio::sync::Mutex;

/// How long a measurement counts.
const INTERVAL: Duration = Duration::from_secs(30);
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The last measurement, and the rows that were ingested since.
#[derive(Debug, Default)]
pub(super) struct MeasuredUsage {
    measured: Mutex<Option<Measured>>,
    rows_since: AtomicU64,
}

#[derive(Debug)]
struct Measured {
    at: Instant,
    /// The day, in UTC.
    day: i64,
    usage: Usage,
}

impl MeasuredUsage {
    /// Counts rows that were ingested.
    pub(super) fn count_rows(&self, rows: u64) {
        self.rows_since.fetch_add(rows, Ordering::Relaxed);
    }

    /// What is used now. It is measured if the last time is too long ago, or was on another day.
    ///
    /// # Errors
    /// Those of `measure`.
    pub(super) async fn get<F>(
        &self,
        now: Timestamp,
        measure: impl FnOnce() -> F,
    ) -> Result<Usage, AppError>
    where
        F: Future<Output = Result<Usage, AppError>>,
    {
        let day = now.micros().div_euclid(DAY);
        let mut measured = self.measured.lock().await;
        let known = measured.as_ref();
        let known = known.filter(|known| known.day == day && known.at.elapsed() < INTERVAL);
        let usage = match known {
            Some(known) => known.usage,
            None => {
                // Rows that are committed meanwhile may count twice, until the next time.
                self.rows_since.store(0, Ordering::Relaxed);
                let at = Instant::now();
                let usage = measure().await?;
                *measured = Some(Measured { at, day, usage });
                usage
            }
        };
        Ok(usage.with_rows(self.rows_since.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use rollbook_app::tenants::Usage;
    use rollbook_model::Timestamp;

    use super::{DAY, MeasuredUsage};

    #[tokio::test]
    async fn rows_are_counted_between_measurements() {
        let measured = MeasuredUsage::default();
        let usage = |rows_today| Usage {
            rows_today,
            ..Usage::default()
        };
        let get = async |day, rows: u64| {
            let now = Timestamp::from_micros(day * DAY + 5);
            let got = measured.get(now, || async { Ok(usage(rows)) }).await;
            got.unwrap().rows_today
        };
        assert_eq!(get(1, 7).await, 7);
        measured.count_rows(3);
        assert_eq!(get(1, 99).await, 10);
        // The next day begins anew.
        assert_eq!(get(2, 0).await, 0);
    }
}
