//! Names of the parts of a segment in a snapshot.

use rollbook_model::SegmentKey;

/// Its definition.
pub(crate) fn name_of(key: &SegmentKey) -> String {
    format!("segment/{key}")
}

/// Its membership.
pub(crate) fn members_name(key: &SegmentKey) -> String {
    format!("members/{key}")
}

/// The failure of its last refresh.
pub(crate) fn status_name(key: &SegmentKey) -> String {
    format!("status/{key}")
}

/// The last revision of a deleted segment: a later segment of the same key continues from there, so that
/// the two cannot be mistaken for each other.
pub(crate) fn ended_name(key: &SegmentKey) -> String {
    format!("ended/{key}")
}
