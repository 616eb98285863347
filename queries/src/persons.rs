//! One person.

/// The records that are one person.
pub const RECORDS: &str = include_str!("../persons/records.sql");
/// What they are to the business.
pub const ROLES: &str = include_str!("../persons/roles.sql");
/// Their deals.
pub const DEALS: &str = include_str!("../persons/deals.sql");
/// Their requests for support.
pub const TICKETS: &str = include_str!("../persons/tickets.sql");
/// The campaigns that they had to do with.
pub const CAMPAIGNS: &str = include_str!("../persons/campaigns.sql");
/// Their scores.
pub const SCORES: &str = include_str!("../persons/scores.sql");
/// What happened with them.
pub const TIMELINE: &str = include_str!("../persons/timeline.sql");
/// The addresses of persons.
pub const EMAILS: &str = include_str!("../persons/emails.sql");
/// The numbers of persons, with the countries that they are read in.
pub const PHONES: &str = include_str!("../persons/phones.sql");
