//! Compaction, vacuum, checks, backups, and the end of snapshots older than a retention run.

pub mod backup;
pub mod check;
pub mod compact;
pub mod removal;
pub mod retire;
pub mod vacuum;
