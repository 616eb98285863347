//! Names of the parts of a segment in a snapshot.

use rollbook_lake::ValueName;
use rollbook_model::SegmentKey;

/// Its definition.
pub(crate) fn name_of(key: &SegmentKey) -> String {
    ValueName::Segment(key.as_str()).to_string()
}

/// Its membership.
pub(crate) fn members_name(key: &SegmentKey) -> String {
    ValueName::Members(key.as_str()).to_string()
}

/// The failure of its last refresh.
pub(crate) fn status_name(key: &SegmentKey) -> String {
    ValueName::Status(key.as_str()).to_string()
}

/// The last revision of a deleted segment: a later segment of the same key continues from there, so that
/// the two cannot be mistaken for each other.
pub(crate) fn ended_name(key: &SegmentKey) -> String {
    ValueName::Ended(key.as_str()).to_string()
}
