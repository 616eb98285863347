//! SQL of the traits of the view `people`, and of the persons that meet a condition.

/// Order count and times, for every order.
pub const ORDERS: &str = include_str!("../traits/orders.sql");
/// Revenue less refunds, in the tenant's currency.
pub const REVENUE: &str = include_str!("../traits/revenue.sql");
/// Open and won deals, in the tenant's currency.
pub const DEALS: &str = include_str!("../traits/deals.sql");
/// The last activity.
pub const ACTIVITIES: &str = include_str!("../traits/activities.sql");
/// Open tickets.
pub const TICKETS: &str = include_str!("../traits/tickets.sql");
/// The latest consents.
pub const CONSENTS: &str = include_str!("../traits/consents.sql");
/// The persons that meet a condition, which replaces `true`.
pub const MATCHING_PEOPLE: &str = include_str!("../people/matching.sql");
