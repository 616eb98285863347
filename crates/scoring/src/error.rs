//! Errors of training and scoring.

use rollbook_engine::EngineError;
use rollbook_lake::LakeError;
use rollbook_model::Timestamp;

use crate::score_kind::ScoreKind;

/// Why a model or a score is not available.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    /// No model of that kind was trained yet.
    #[error("there is no {kind} model yet")]
    NotTrained {
        /// The kind.
        kind: ScoreKind,
    },
    /// No run of that kind has scored anybody yet.
    #[error("there are no {kind} scores yet")]
    NotScored {
        /// The kind.
        kind: ScoreKind,
    },
    /// The person has no score of that kind.
    #[error("person {person} has no {kind} score as of {as_of}: {}", kind.candidates())]
    NoCandidate {
        /// The person.
        person: i64,
        /// The kind.
        kind: ScoreKind,
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
