//! What time alone will change in segments: the coming days, and the first moment.

pub mod calendar;
pub mod first_change;
