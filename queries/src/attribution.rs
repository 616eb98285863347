//! SQL of attribution.

/// Credits of every channel by all models.
pub const CREDITS: &str = include_str!("../attribution/credits.sql");
/// The revenue to be credited.
pub const BOOKED: &str = include_str!("../attribution/booked.sql");
