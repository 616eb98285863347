//! Background tasks: folding the write-ahead log, committing requests, refreshing segments, for each tenant; forgetting
//! callers, measuring memory.

pub(crate) mod callers;
pub(crate) mod commits;
pub(crate) mod memory;
pub(crate) mod refreshes;
pub(crate) mod tenants;
pub(crate) mod wal;
