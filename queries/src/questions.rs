//! Queries of commands.

/// The rows in quarantine.
pub const QUARANTINE: &str = include_str!("../questions/quarantine.sql");
/// The providers that have rows in quarantine.
pub const QUARANTINED_PROVIDERS: &str = include_str!("../questions/quarantined_providers.sql");
/// The time of the last fact.
pub const LAST_EVENT: &str = include_str!("../questions/last_event.sql");
/// The best customers of each segment.
pub const BEST_MEMBERS: &str = include_str!("../questions/best_members.sql");
/// One person.
pub const PERSON: &str = include_str!("../questions/person.sql");
/// The segments of one person.
pub const SEGMENTS_OF_PERSON: &str = include_str!("../questions/segments_of_person.sql");
