//! What can go wrong with scores.

use rollbook_engine::EngineError;
use rollbook_lake::LakeError;
use rollbook_model::Timestamp;

use crate::kind::Kind;

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    /// A name that is no kind of score.
    #[error("there is no score `{kind}`: use lead or churn")]
    UnknownKind {
        /// The name that was given.
        kind: String,
    },
    /// Nothing was trained yet.
    #[error("there is no {kind} model yet")]
    NotTrained {
        /// The kind.
        kind: Kind,
    },
    /// Nothing was scored yet.
    #[error("there are no {kind} scores yet")]
    NotScored {
        /// The kind.
        kind: Kind,
    },
    /// The person has no score of that kind.
    #[error("person {person} has no {kind} score as of {as_of}: {}", kind.candidates())]
    NoCandidate {
        /// The person.
        person: i64,
        /// The kind.
        kind: Kind,
        /// The moment.
        as_of: Timestamp,
    },
    /// A query failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Scores that cannot be written or read.
    #[error("scores cannot be written or read: {source}")]
    Rows {
        /// What Arrow said.
        source: arrow::error::ArrowError,
    },
}
