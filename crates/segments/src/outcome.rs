//! What a refresh is to do, and what became of each segment in it.

use rollbook_model::{SegmentKey, Timestamp};

use crate::SegmentError;
use crate::membership::Refreshed;

/// What a refresh is to do.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The segments; all where there are none.
    pub keys: Vec<SegmentKey>,
    /// The moment to compute for.
    pub as_of: Timestamp,
    /// The present.
    pub now: Timestamp,
    /// Whether to evaluate all persons even where a patch would do.
    pub is_full: bool,
}

/// How a membership was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For all persons.
    Full,
    /// For so many persons, whom changes may have concerned.
    Patched(u64),
    /// It is a list that stands whatever happens.
    Unchanged,
}

/// What became of one segment in a refresh.
#[derive(Debug)]
pub struct Evaluated {
    /// The segment.
    pub segment: SegmentKey,
    /// Its new membership, or why there is none; then the one before stands.
    pub outcome: Result<Done, SegmentError>,
}

/// A membership, and what became of it.
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
