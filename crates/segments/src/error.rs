//! What can go wrong with a segment's criteria.

use rollbook_engine::{EngineError, Position};
use rollbook_lake::LakeError;
use rollbook_model::{SegmentKey, SnapshotNumber};

/// Why the members of a segment are not known.
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

    /// A new segment with a reserved key.
    #[error("no segment can have the key `{segment}`, which is reserved: choose another key")]
    ReservedKey {
        /// The key that was given.
        segment: SegmentKey,
    },

    /// No segment can have this name.
    #[error("there is no segment `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownName {
        /// The name, as criteria have it.
        name: String,
        /// The segment that was probably meant.
        nearest: Option<String>,
    },

    /// Criteria name a segment whose own criteria cannot be evaluated.
    #[error("it names segment `{segment}`, which has no members: {reason}")]
    Named {
        /// The segment that is named.
        segment: SegmentKey,
        /// What is wrong with that.
        reason: String,
        /// Whether it reads a personal column, which whoever asks may not.
        is_personal: bool,
    },

    /// Segments whose criteria name each other.
    #[error(
        "segments name each other in a circle: {}",
        segments.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" names ")
    )]
    Circle {
        /// Each names the next; the last one is the first again.
        segments: Vec<SegmentKey>,
    },

    /// A segment whose members were not computed yet.
    #[error(
        "segment `{segment}` has no members computed{}",
        snapshot.map(|n| format!(" at snapshot {n}")).unwrap_or_default()
    )]
    NotRefreshed {
        /// The segment.
        segment: SegmentKey,
        /// The snapshot that was asked for.
        snapshot: Option<SnapshotNumber>,
    },

    /// No bound of a clause can be found.
    #[error("clause {clause} of {clauses} cannot be fitted: {reason}")]
    NoThreshold {
        /// The number of the clause, from 1.
        clause: usize,
        /// How many there are.
        clauses: usize,
        /// Why.
        reason: String,
    },

    /// The data could not be opened.
    #[error("{reason}")]
    Session {
        /// Why.
        reason: String,
    },

    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The criteria are wrong, or took more than they may.
    #[error(transparent)]
    Criteria(#[from] EngineError),
}

impl SegmentError {
    /// The message for places where it is stored: without a value of the data.
    pub fn without_values(&self) -> String {
        match self {
            Self::Criteria(error) => error.without_values(),
            _ => self.to_string(),
        }
    }

    /// Whether a personal column is read by somebody who may not, also in a segment that is named.
    pub fn is_personal(&self) -> bool {
        match self {
            Self::Criteria(error) => matches!(error, EngineError::Personal { .. }),
            Self::Named { is_personal, .. } => *is_personal,
            _ => false,
        }
    }

    /// The position in the criteria, if it is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Criteria(error) => error.position(),
            _ => None,
        }
    }
}
