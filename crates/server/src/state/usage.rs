//! What a tenant uses, measured from time to time, since that reads its folder.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollbook_app::AppError;
use rollbook_app::tenants::{Usage, day_of};
use rollbook_model::Timestamp;
use tokio::sync::Mutex;

/// How long a measurement counts.
const INTERVAL: Duration = Duration::from_secs(30);

/// The last measurement, the rows that were ingested since, and those that are being ingested.
#[derive(Debug, Default)]
pub(super) struct MeasuredUsage {
    measured: Mutex<Option<Measured>>,
    rows: Arc<CountedRows>,
}

#[derive(Debug)]
struct Measured {
    at: Instant,
    /// The day, in UTC.
    day: i64,
    usage: Usage,
}

#[derive(Debug, Default)]
struct CountedRows {
    /// Rows that were ingested since the last measurement.
    since: AtomicU64,
    /// Rows of requests that are not committed yet.
    pending: AtomicU64,
}

/// Rows of a request that is not committed yet. They count until this is dropped.
#[derive(Debug)]
pub(crate) struct PendingRows {
    counted: Arc<CountedRows>,
    rows: u64,
}

impl Drop for PendingRows {
    fn drop(&mut self) {
        self.counted.pending.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

impl MeasuredUsage {
    /// Counts rows that were ingested.
    pub(super) fn count_rows(&self, rows: u64) {
        self.rows.since.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows of a request that is about to be ingested. Another one sees them at once.
    pub(super) fn begin(&self, rows: u64) -> PendingRows {
        self.rows.pending.fetch_add(rows, Ordering::Relaxed);
        PendingRows {
            counted: Arc::clone(&self.rows),
            rows,
        }
    }

    /// What is used now. It is measured if the last time is too long ago, or was on another day; rows of a day are never
    /// forgotten, also if their snapshots are gone.
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
        let day = day_of(now);
        let mut measured = self.measured.lock().await;
        let of_day = measured.as_ref().filter(|known| known.day == day);
        let known = of_day.filter(|known| known.at.elapsed() < INTERVAL);
        let usage = match known {
            Some(known) => known.usage,
            None => {
                let before = of_day.map_or(0, |known| known.usage.rows_today);
                // Rows that are committed meanwhile may count twice, until the next time.
                let since = self.rows.since.swap(0, Ordering::Relaxed);
                let at = Instant::now();
                let mut usage = measure().await?;
                let least = if of_day.is_some() { before + since } else { 0 };
                usage.rows_today = usage.rows_today.max(least);
                *measured = Some(Measured { at, day, usage });
                usage
            }
        };
        let counted = [&self.rows.since, &self.rows.pending];
        let counted = counted.map(|rows| rows.load(Ordering::Relaxed));
        Ok(usage.with_rows(counted.iter().sum()))
    }
}

#[cfg(test)]
mod tests {
    use rollbook_app::tenants::Usage;
    use rollbook_model::Timestamp;

    use super::MeasuredUsage;

    #[tokio::test]
    async fn rows_are_counted_between_measurements() {
        let measured = MeasuredUsage::default();
        let usage = |rows_today| Usage {
            rows_today,
            ..Usage::default()
        };
        let get = async |day: i64, rows: u64| {
            let now = Timestamp::from_micros(86_400_000_000_i64 * day + 5);
            let got = measured.get(now, || async { Ok(usage(rows)) }).await;
            got.unwrap().rows_today
        };
        assert_eq!(get(1, 7).await, 7);
        measured.count_rows(3);
        assert_eq!(get(1, 99).await, 10);
        // Those that are not committed yet count, too.
        let pending = measured.begin(5);
        assert_eq!(get(1, 99).await, 15);
        drop(pending);
        assert_eq!(get(1, 99).await, 10);
        // Rows whose snapshots are gone still count.
        let long_ago = std::time::Instant::now().checked_sub(super::INTERVAL);
        measured.measured.lock().await.as_mut().unwrap().at = long_ago.unwrap();
        assert_eq!(get(1, 0).await, 10);
        // The next day begins anew.
        assert_eq!(get(2, 0).await, 0);
    }
}
