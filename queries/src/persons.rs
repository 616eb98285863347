//! SQL about one person.

/// The records of one person.
pub const RECORDS: &str = include_str!("../persons/records.sql");
/// Their roles.
pub const ROLES: &str = include_str!("../persons/roles.sql");
/// Their deals.
pub const DEALS: &str = include_str!("../persons/deals.sql");
/// Their support requests.
pub const TICKETS: &str = include_str!("../persons/tickets.sql");
/// The campaigns that they interacted with.
pub const CAMPAIGNS: &str = include_str!("../persons/campaigns.sql");
/// Their scores.
pub const SCORES: &str = include_str!("../persons/scores.sql");
/// Their events.
pub const TIMELINE: &str = include_str!("../persons/timeline.sql");
/// The e-mail addresses of persons.
pub const EMAILS: &str = include_str!("../persons/emails.sql");
/// The phone numbers of persons, with the country in which each is read.
pub const PHONES: &str = include_str!("../persons/phones.sql");
