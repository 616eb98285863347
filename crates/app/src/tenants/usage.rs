//! What a tenant uses.

use rollbook_lake::{Cause, Lake, LakeRoot};
use rollbook_model::{TableCounts, TenantName, Timestamp};
use serde::Serialize;

use crate::AppError;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What a tenant uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Bytes of all its objects.
    pub storage_bytes: u64,
    /// Rows that were accepted or quarantined since midnight, in UTC.
    pub rows_today: u64,
    /// Segments.
    pub segments: u64,
}

/// What a tenant uses at a moment.
///
/// # Errors
/// The lake cannot be read.
pub(super) async fn usage_of(
    root: &LakeRoot,
    tenant: &TenantName,
    at: Timestamp,
) -> Result<Usage, AppError> {
    let objects = root.store().walk(tenant.as_str()).await?;
    let storage_bytes = objects.iter().map(|object| object.size).sum();
    let lake = Lake::on(root.clone(), tenant.clone()).await?;
    let head = lake.head().await?;
    Ok(Usage {
        storage_bytes,
        rows_today: rows_since(&lake, midnight(at)).await?,
        segments: head.names_below("segment/").count() as u64,
    })
}

impl Usage {
    /// The same with rows that were ingested meanwhile.
    #[must_use]
    pub fn with_rows(self, rows: u64) -> Self {
        Self {
            rows_today: self.rows_today + rows,
            ..self
        }
    }
}

/// The day of a moment, in UTC, counted from 1970.
pub fn day_of(at: Timestamp) -> i64 {
    at.micros().div_euclid(DAY)
}

/// The beginning of the day of a moment, in UTC.
fn midnight(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(day_of(at) * DAY)
}

/// Rows that count for the quota: unchanged ones do not, since nothing is stored for them.
pub fn new_rows(tables: &[TableCounts]) -> u64 {
    let new = |counts: &TableCounts| counts.accepted + counts.quarantined;
    tables.iter().map(new).sum()
}

async fn rows_since(lake: &Lake, since: Timestamp) -> Result<u64, AppError> {
    let records = lake.records().await?.into_iter().rev();
    let recent = records.take_while(|record| record.committed_at >= since);
    let mut rows = 0;
    for record in recent {
        if let Cause::Ingest { tables, .. } = &record.cause {
            rows += new_rows(tables);
        }
    }
    Ok(rows)
}
