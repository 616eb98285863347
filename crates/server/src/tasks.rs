//! Background tasks: folding the write-ahead log, committing requests, refreshing segments, forgetting callers.

pub(crate) mod callers;
pub(crate) mod commits;
pub(crate) mod refreshes;
pub(crate) mod wal;
