//! Snapshots: commits, their history, and the leases of writers.

pub mod batch_change;
pub(crate) mod bitmaps;
pub(crate) mod changes;
mod checkpoint;
pub(crate) mod commit;
mod history;
pub mod ids;
mod leases;
pub(crate) mod update;
pub mod writer_lease;
