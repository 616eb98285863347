//! What a snapshot calls the parts of a segment.

use rollbook_model::SegmentKey;

/// Its definition.
pub(crate) fn name_of(key: &SegmentKey) -> String {
    format!("segment/{key}")
}

/// Its membership.
pub(crate) fn members_name(key: &SegmentKey) -> String {
    format!("members/{key}")
}

/// What went wrong when it was last to be computed.
pub(crate) fn status_name(key: &SegmentKey) -> String {
    format!("status/{key}")
}

/// Of a segment that was taken away, its last revision: one of the same key that is made later goes
/// on from there, so that nobody takes it for the other one.
pub(crate) fn ended_name(key: &SegmentKey) -> String {
    format!("ended/{key}")
}
