//! Defaults, all in one place.

use std::time::Duration;

use crate::Span;

/// The lake used when neither `--lake` nor `ROLLBOOK_LAKE` names one.
pub const DEFAULT_LAKE: &str = "./rollbook-lake";
/// The tenant used when neither `--tenant` nor `ROLLBOOK_TENANT` names one.
pub const DEFAULT_TENANT: &str = "default";
/// Where the server listens when `--listen` does not say: this machine alone can reach it.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Bytes that a request's body of rows may have.
pub const SERVE_BODY_BYTES: u64 = 64 << 20;
/// Rows of one request that may wait in quarantine; one with more is refused as a whole.
pub const POST_QUARANTINE_ROWS: u64 = 100_000;
/// Seconds in which a request's body has to come.
pub const SERVE_BODY_SECONDS: u64 = 30;
/// The layout of the lake that this program writes; a newer one is refused.
pub const LAKE_FORMAT: u32 = 3;

/// Days for which an exchange rate stands where none follows, unless the settings say otherwise.
pub const FX_DAYS: u16 = 7;
/// Days that a snapshot is kept, unless the tenant's settings say otherwise.
pub const SNAPSHOT_DAYS: u16 = 30;
/// Seconds after which what is in the journal becomes a snapshot, unless the settings say otherwise.
pub const JOURNAL_SECONDS: u16 = 5;
/// Mebibytes in the journal that become a snapshot at once, unless the settings say otherwise.
pub const JOURNAL_MEBIBYTES: u16 = 64;
/// As many times these bytes may wait in the journal until posts to it are turned away.
pub const JOURNAL_SLACK: u64 = 4;
/// Hours for which files that nothing names are left alone: they may be somebody's next commit.
pub const GARBAGE_HOURS: u64 = 24;

/// Seconds for which questions about criteria look from the same moment while nothing comes in.
pub const PREVIEW_SECONDS: u16 = 60;

/// Bytes that sorting rows on their way into a table may take in memory.
pub const SORT_MEMORY: usize = 256 << 20;

/// Bytes of memory that a process which answers queries may have beside their pool: itself, what it
/// reads from files, what functions make, answers. Beyond them it is ended.
pub const MEMORY_BESIDE_POOL: u64 = 192 << 20;

/// What one query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the memory pool; beyond it sorts and aggregates spill to disk.
    pub memory: usize,
    /// Bytes that spilling may take on disk.
    pub disk: u64,
    /// Wall-clock time until the query is given up.
    pub time: Duration,
    /// Rows that an answer holds at most.
    pub rows: usize,
    /// Characters of SQL that are read at most.
    pub sql_chars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            disk: 64 << 30,
            time: Duration::from_secs(60),
            rows: 10_000,
            sql_chars: 100_000,
        }
    }
}

/// How long before a conversion a touch counts.
pub const ATTRIBUTION_LOOKBACK: Span = Span::days(30);
/// The time in which the weight of a touch halves.
pub const ATTRIBUTION_HALF_LIFE: Span = Span::days(7);
/// Within what time a lead score foretells that somebody buys.
pub const LEAD_HORIZON: Span = Span::days(30);
/// For what time a churn score foretells that somebody does not buy.
pub const CHURN_HORIZON: Span = Span::days(90);
/// Rows that a preview shows as a sample.
pub const PREVIEW_SAMPLE: usize = 10;
/// Rows of one batch between readers, mappings and writers.
pub const BATCH_ROWS: usize = 8_192;
