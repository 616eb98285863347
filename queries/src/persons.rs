//! One person.

/// The records that are one person.
pub const RECORDS: &str = include_str!("../persons/records.sql");
/// What happened with them.
pub const TIMELINE: &str = include_str!("../persons/timeline.sql");
