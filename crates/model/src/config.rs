//! Default values and limits.

use std::time::Duration;

use crate::Span;
use crate::memory::MemoryBudget;

/// Default location of the lake.
pub const DEFAULT_LAKE: &str = "./rollbook-lake";
/// Default tenant.
pub const DEFAULT_TENANT: &str = "default";
/// Default address of the server, reachable from this machine only.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Bytes of a body of rows at most.
pub const SERVE_BODY_BYTES: u64 = 64 << 20;
/// Rows of one request that may be quarantined; a request with more is rejected as a whole.
pub const POST_QUARANTINE_ROWS: u64 = 100_000;
/// Seconds to receive a body at most.
pub const SERVE_BODY_SECONDS: u64 = 30;
/// Calls that an API key may make in a number of seconds, as `CALLS/SECONDS`.
pub const SERVE_RATE_LIMIT: &str = "100/10";
/// Concurrent requests of an API key at most: a quarter of those of the server.
pub const SERVE_REQUESTS_PER_KEY: usize = 128;
/// Version of the on-disk layout that this program writes; newer ones are refused.
pub const LAKE_FORMAT: u32 = 3;

/// Default of the setting `fx_days`.
pub const FX_DAYS: u16 = 7;
/// Default of the setting `snapshot_days`.
pub const SNAPSHOT_DAYS: u16 = 30;
/// Default of the setting `journal_seconds`.
pub const JOURNAL_SECONDS: u16 = 5;
/// Default of the setting `journal_mebibytes`.
pub const JOURNAL_MEBIBYTES: u16 = 64;
/// The journal refuses requests once it holds this many times `journal_mebibytes`.
pub const JOURNAL_SLACK: u64 = 4;
/// Hours before unreferenced files are deleted: a running commit may be about to refer to them.
pub const GARBAGE_HOURS: u64 = 24;

/// Bytes of a secret at most.
pub const SECRET_BYTES: usize = 64 << 10;

/// Seconds for which queries about criteria reuse the same default `as_of` while there is no new data.
pub const PREVIEW_SECONDS: u16 = 60;

/// Bytes of memory for sorting rows during ingest.
pub const SORT_MEMORY: usize = 256 << 20;

/// Bytes of memory that a process may use beside the pool of its queries: code, buffers of files, results of
/// functions, encoded answers. Beyond that it is killed.
pub const MEMORY_BESIDE_POOL: u64 = 192 << 20;

/// Default of the memory of a query, and of a server.
pub const DEFAULT_MEMORY: usize = 2 << 30;

/// Limits of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the memory pool, beyond which sorts and aggregates spill to disk.
    pub memory: usize,
    /// The memory that this query shares with everything else in the process; `None` if it is alone.
    pub shared: Option<MemoryBudget>,
    /// Bytes of spill files on disk at most.
    pub disk: u64,
    /// Wall-clock time until the query is cancelled.
    pub time: Duration,
    /// Rows of an answer at most.
    pub rows: usize,
    /// Characters of SQL at most.
    pub sql_chars: usize,
}

/// A query of a server may use this fraction of the server's memory at most (one in so many).
const QUERY_SHARE: usize = 2;

impl Limits {
    /// The same limits in a server, all of whose parts share this memory.
    #[must_use]
    pub fn of_server(self) -> Self {
        Self {
            memory: self.memory / QUERY_SHARE,
            shared: Some(MemoryBudget::new(self.memory)),
            ..self
        }
    }

    /// The same limits in a worker of that server, which answers one request at a time.
    #[must_use]
    pub fn of_worker(self) -> Self {
        Self {
            memory: self.memory / QUERY_SHARE,
            shared: Some(MemoryBudget::new(self.memory / QUERY_SHARE)),
            ..self
        }
    }

    /// Bytes that everything in the process shares; those of one query if it is alone.
    pub fn total_memory(&self) -> usize {
        self.shared.map_or(self.memory, MemoryBudget::limit)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            shared: None,
            disk: 64 << 30,
            time: Duration::from_secs(60),
            rows: 10_000,
            sql_chars: 100_000,
        }
    }
}

/// Default lookback window before a conversion in which touches count.
pub const ATTRIBUTION_LOOKBACK: Span = Span::days(30);
/// Default half-life of the weight of a touch.
pub const ATTRIBUTION_HALF_LIFE: Span = Span::days(7);
/// Prediction window of lead scores: purchase within this time.
pub const LEAD_HORIZON: Span = Span::days(30);
/// Prediction window of churn scores: no purchase within this time.
pub const CHURN_HORIZON: Span = Span::days(90);
/// Persons in the sample of a preview.
pub const PREVIEW_SAMPLE: usize = 10;
/// Rows per batch between readers, mappings and writers.
pub const BATCH_ROWS: usize = 8_192;
