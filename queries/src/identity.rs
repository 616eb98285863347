//! Who is whom.

/// How many records are how many persons, by provider.
pub const STATS: &str = include_str!("../identity/stats.sql");
/// How many persons there are.
pub const PERSONS: &str = include_str!("../identity/persons.sql");
/// What persons are compared by, where no exact rule says that they are one.
pub const PROFILES: &str = include_str!("../identity/profiles.sql");
/// Whose each record is.
pub const RECORDS: &str = include_str!("../identity/records.sql");
/// A record that waits for a decision.
pub const RECORD: &str = include_str!("../identity/record.sql");
/// Whose a record is.
pub const FIND_RECORD: &str = include_str!("../identity/find_record.sql");
/// Who a person became.
pub const BECAME: &str = include_str!("../identity/became.sql");
/// The countries that persons are in.
pub const COUNTRIES: &str = include_str!("../identity/countries.sql");
