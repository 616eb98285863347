//! Limits of the server: of one request, of one caller, and of all together.

mod allowance;
mod call_limits;
mod call_rate;
mod fair_queue;
mod trial_rows;

use std::num::NonZeroU32;
use std::time::Duration;

use rollbook_model::config::{SERVE_BODY_BYTES, SERVE_BODY_SECONDS, SERVE_REQUESTS_PER_KEY};

pub(crate) use allowance::Allowance;
pub(crate) use call_limits::{CallLimits, OverLimit, RunningCall};
pub use call_rate::{CallRate, InvalidCallRate};
pub(crate) use fair_queue::{Claimant, FairQueue, Permit};
pub use trial_rows::TRIAL_ROWS_PER_HOUR;

/// Files that a process may open where its limit is not known.
const USUAL_FILES: usize = 1024;
const MIN_CONNECTIONS: usize = 64;
const MAX_CONNECTIONS: usize = 2048;

/// Limits of one request, and of all together.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Bytes of a body of rows at most, also when decompressed.
    pub body_bytes: u64,
    /// Bytes of a JSON body at most, also when decompressed.
    pub json_bytes: usize,
    /// Time limit for receiving a body.
    pub body_time: Duration,
    /// Time limit until an answer begins.
    pub answer_time: Duration,
    /// Requests that compute concurrently; others queue.
    pub computing: usize,
    /// Concurrent requests, including queued ones; more are refused.
    pub requests: usize,
    /// Calls of one API key, and of one address without a valid key; `None` for no limit.
    pub call_rate: Option<CallRate>,
    /// Concurrent requests of one API key at most, including queued ones.
    pub requests_per_key: usize,
    /// Concurrent requests of one tenant at most, including queued ones, so that others are answered, too.
    pub requests_per_tenant: usize,
    /// Rows that a trial key may send and get in an hour; `None` for no limit.
    pub trial_rows: Option<NonZeroU32>,
    /// Concurrent connections; for one more, the connection that has been idle longest is closed.
    pub connections: usize,
    /// Time limit of a TLS handshake.
    pub handshake_time: Duration,
    /// Time limit for the head of a request, on new and on idle connections.
    pub head_time: Duration,
    /// Time limit for a caller to read any part of an answer.
    pub read_time: Duration,
    /// Entries per page at most.
    pub page: usize,
    /// Time that running requests get when the server stops.
    pub grace_period: Duration,
}

/// Connections that leave enough of the files which this process may open: the rest are files of the lake.
fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    connections_of(&limits)
}

/// The same for the limits of a process, as Linux shows them.
fn connections_of(limits: &str) -> usize {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    let files: usize = soft.unwrap_or(USUAL_FILES);
    (files / 8 * 5).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            body_bytes: SERVE_BODY_BYTES,
            json_bytes: 1 << 20,
            body_time: Duration::from_secs(SERVE_BODY_SECONDS),
            answer_time: Duration::from_secs(120),
            computing: 4,
            requests: 1024,
            call_rate: Some(CallRate::default()),
            requests_per_key: SERVE_REQUESTS_PER_KEY,
            requests_per_tenant: 256,
            trial_rows: NonZeroU32::new(TRIAL_ROWS_PER_HOUR),
            connections: connections(),
            handshake_time: Duration::from_secs(10),
            head_time: Duration::from_secs(30),
            read_time: Duration::from_secs(60),
            page: 100_000,
            grace_period: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::connections_of;

    #[test]
    fn connections_leave_files_for_the_lake() {
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max processes             95                   95                   processes\n\
                 Max open files            {soft}                 524288               files\n"
            )
        };
        assert_eq!(connections_of(&limits("1024")), 640);
        assert_eq!(connections_of(&limits("256")), 160);
        assert_eq!(connections_of(&limits("20000")), 2048);
        assert_eq!(connections_of(&limits("unlimited")), 640);
        assert_eq!(connections_of(&limits("16")), 64);
        assert_eq!(connections_of(""), 640);
    }
}
