//! Compaction, vacuum, checks and backups.

pub mod backup;
pub mod check;
pub mod compact;
pub mod removal;
pub mod vacuum;
