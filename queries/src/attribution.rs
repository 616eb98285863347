//! The texts that credit channels with what they brought.

/// Credits of every channel by all models.
pub const CREDITS: &str = include_str!("../attribution/credits.sql");
/// What there is to be credited.
pub const BOOKED: &str = include_str!("../attribution/booked.sql");
