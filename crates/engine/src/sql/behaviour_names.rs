//! The names of behaviour functions, for those who only have to know a name.

/// The names of all behaviour functions.
pub(crate) const BEHAVIOURS: [&str; 12] = [
    "did",
    "times",
    "first_time",
    "last_time",
    "spent",
    "ordered",
    "bought",
    "sequence",
    "in_segment",
    "has_deal",
    "has_ticket",
    "has_object",
];
