//! The request for a refresh, and the outcome for each segment.

use rollbook_model::{SegmentKey, Timestamp};

use crate::SegmentError;
use crate::membership::Refreshed;

/// What to refresh.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    /// The segments; all where there are none.
    pub keys: Vec<SegmentKey>,
    /// The moment to compute for.
    pub as_of: Timestamp,
    /// The present.
    pub now: Timestamp,
    /// Whether to evaluate all persons even where a patch would do.
    pub is_full: bool,
    /// Only segments that are computed without personal values, or only the others.
    pub without_personal: bool,
}

/// How a membership was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For all persons.
    Full,
    /// For so many affected persons.
    Patched(u64),
    /// Not at all: it is a list, which nothing changes.
    Unchanged,
}

/// The outcome for one segment.
#[derive(Debug)]
pub struct Evaluated {
    /// The segment.
    pub segment: SegmentKey,
    /// Its new membership, or an error; then the membership before stays in force.
    pub outcome: Result<Done, SegmentError>,
}

/// A refreshed membership, with what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The membership.
    pub refreshed: Refreshed,
    /// How it was computed.
    pub how: How,
    /// How many belong who did not before.
    pub entered: u64,
    /// How many no longer belong.
    pub left: u64,
}
