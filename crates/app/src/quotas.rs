//! Quotas: what a tenant may use at most.

use serde::{Deserialize, Serialize};

use crate::AppError;
use crate::error::Quota;

/// What a tenant may use; `None` for no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotas {
    /// Bytes of all its objects. Rows are refused while it is reached.
    #[serde(rename = "max_storage_bytes")]
    pub storage_bytes: Option<u64>,
    /// Rows that are ingested on one day, in UTC. Rows are refused once it is reached.
    #[serde(rename = "max_rows_per_day")]
    pub rows_per_day: Option<u64>,
    /// Requests that compute at the same time on one server; others wait.
    #[serde(rename = "max_queries")]
    pub queries: Option<u32>,
    /// Bytes of memory of one query.
    #[serde(rename = "max_query_bytes")]
    pub memory_bytes: Option<u64>,
    /// Segments.
    #[serde(rename = "max_segments")]
    pub segments: Option<u64>,
}

/// A change of quotas: `None` leaves one as it is, and `Some(None)` takes it away.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaChange {
    /// Of the storage.
    pub storage_bytes: Option<Option<u64>>,
    /// Of the rows of a day.
    pub rows_per_day: Option<Option<u64>>,
    /// Of the requests that compute.
    pub queries: Option<Option<u32>>,
    /// Of the memory of a query.
    pub memory_bytes: Option<Option<u64>>,
    /// Of the segments.
    pub segments: Option<Option<u64>>,
}

impl QuotaChange {
    /// The quotas after the change.
    #[must_use]
    pub fn of(&self, quotas: Quotas) -> Quotas {
        Quotas {
            storage_bytes: self.storage_bytes.unwrap_or(quotas.storage_bytes),
            rows_per_day: self.rows_per_day.unwrap_or(quotas.rows_per_day),
            queries: self.queries.unwrap_or(quotas.queries),
            memory_bytes: self.memory_bytes.unwrap_or(quotas.memory_bytes),
            segments: self.segments.unwrap_or(quotas.segments),
        }
    }
}

impl Quotas {
    /// Refuses rows for a tenant that has used up its storage or the rows of the day.
    ///
    /// # Errors
    /// [`AppError::QuotaReached`].
    pub fn check_rows(&self, storage_bytes: u64, rows_today: u64) -> Result<(), AppError> {
        check(Quota::Storage, self.storage_bytes, storage_bytes)?;
        check(Quota::RowsPerDay, self.rows_per_day, rows_today)
    }

    /// Refuses one more segment for a tenant that has so many.
    ///
    /// # Errors
    /// [`AppError::QuotaReached`].
    pub fn check_segments(&self, segments: u64) -> Result<(), AppError> {
        check(Quota::Segments, self.segments, segments)
    }

    /// Whether rows are limited.
    pub fn limits_rows(&self) -> bool {
        self.storage_bytes.is_some() || self.rows_per_day.is_some()
    }
}

fn check(quota: Quota, limit: Option<u64>, used: u64) -> Result<(), AppError> {
    match limit {
        Some(limit) if used >= limit => Err(AppError::QuotaReached { quota, limit }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Quota, QuotaChange, Quotas};
    use crate::AppError;

    #[test]
    fn quotas_are_reached_and_changed_one_by_one() {
        let change = QuotaChange {
            rows_per_day: Some(Some(10)),
            segments: Some(Some(2)),
            ..QuotaChange::default()
        };
        let quotas = change.of(Quotas::default());
        assert!(quotas.limits_rows());
        quotas.check_rows(u64::MAX, 9).unwrap();
        let reached = quotas.check_rows(0, 10).unwrap_err();
        let AppError::QuotaReached { quota, limit } = reached else {
            panic!("{reached}");
        };
        assert_eq!((quota, limit), (Quota::RowsPerDay, 10));
        quotas.check_segments(1).unwrap();
        quotas.check_segments(2).unwrap_err();
        let without = QuotaChange {
            rows_per_day: Some(None),
            ..QuotaChange::default()
        };
        let quotas = without.of(quotas);
        assert!(!quotas.limits_rows());
        assert_eq!(quotas.segments, Some(2));
    }
}
