//! SQL from which scores are learnt and computed.

/// Features of persons who have not bought yet.
pub const LEAD_FEATURES: &str = include_str!("../scoring/lead_features.sql");
/// Features of persons who bought in the last year.
pub const CHURN_FEATURES: &str = include_str!("../scoring/churn_features.sql");
/// The persons who bought in a window.
pub const BUYERS: &str = include_str!("../scoring/buyers.sql");
/// The start of the data.
pub const FIRST_EVENT: &str = include_str!("../scoring/first_event.sql");
/// The time of the last order or deal.
pub const LAST_PURCHASE: &str = include_str!("../scoring/last_purchase.sql");
