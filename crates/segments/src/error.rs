//! What can go wrong with a segment's criteria.

use rollbook_engine::{EngineError, Position};
use rollbook_lake::LakeError;
use rollbook_model::{SegmentKey, SnapshotNumber};

/// Why a segment's members cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The criteria are blank.
    #[error("the criteria are empty: write a condition such as `total_spent > 500`")]
    EmptyCriteria,

    /// No segment has this key.
    #[error("there is no segment `{segment}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// The key that was given.
        segment: SegmentKey,
        /// The segment that was probably meant.
        nearest: Option<String>,
    },

    /// A segment whose members were not computed yet.
    #[error(
        "segment `{segment}` has no members computed{}: run `rollbook segment refresh {segment}`",
        snapshot.map(|n| format!(" at snapshot {n}")).unwrap_or_default()
    )]
    NotRefreshed {
        /// The segment.
        segment: SegmentKey,
        /// The snapshot that was asked for.
        snapshot: Option<SnapshotNumber>,
    },

    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The criteria are wrong, or took more than they may.
    #[error(transparent)]
    Criteria(#[from] EngineError),
}

impl SegmentError {
    /// Where in the criteria it is, if that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Criteria(error) => error.position(),
            _ => None,
        }
    }

    /// The next step, where the message itself does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Criteria(error) => error.hint(),
            Self::Unknown { .. } => Some("`rollbook segment list` shows them all"),
            _ => None,
        }
    }
}
