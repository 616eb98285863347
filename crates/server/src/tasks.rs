//! Background tasks: folding the write-ahead log, committing requests, refreshing segments.

pub(crate) mod commits;
pub(crate) mod refreshes;
pub(crate) mod wal;
