//! SQL of identity resolution.

/// The number of records and persons, by provider.
pub const STATS: &str = include_str!("../identity/stats.sql");
/// The number of persons.
pub const PERSONS: &str = include_str!("../identity/persons.sql");
/// The values by which persons are compared who are not linked by an exact rule.
pub const PROFILES: &str = include_str!("../identity/profiles.sql");
/// The person of each record.
pub const RECORDS: &str = include_str!("../identity/records.sql");
/// A record that waits for a decision.
pub const RECORD: &str = include_str!("../identity/record.sql");
/// The person of a record.
pub const FIND_RECORD: &str = include_str!("../identity/find_record.sql");
/// The person that a person was merged into.
pub const BECAME: &str = include_str!("../identity/became.sql");
/// The countries of persons.
pub const COUNTRIES: &str = include_str!("../identity/countries.sql");
