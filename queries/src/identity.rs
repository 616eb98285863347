//! Who is whom.

/// How many records are how many persons, by provider.
pub const STATS: &str = include_str!("../identity/stats.sql");
/// How many persons there are.
pub const PERSONS: &str = include_str!("../identity/persons.sql");
/// A record that waits for a decision.
pub const RECORD: &str = include_str!("../identity/record.sql");
/// Whose a record is.
pub const FIND_RECORD: &str = include_str!("../identity/find_record.sql");
/// Who a person became.
pub const BECAME: &str = include_str!("../identity/became.sql");
