//! Errors of attribution.

use rollbook_engine::EngineError;
use rollbook_model::Timestamp;

/// Why credits cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// There is no such model.
    #[error("there is no model `{model}`: use first, last, linear or time-decay{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownModel {
        /// The name that was given.
        model: String,
        /// The model with the most similar name.
        nearest: Option<String>,
    },
    /// A model is requested twice.
    #[error("model `{model}` is named twice: name each once")]
    RepeatedModel {
        /// Its name.
        model: &'static str,
    },
    /// Credits cannot be grouped by this.
    #[error("credits cannot be grouped by `{by}`: use channel")]
    UnknownBy {
        /// The requested grouping.
        by: String,
    },
    /// The period ends before it begins.
    #[error("`from` ({from}) must be before `to` ({to})")]
    EmptyTime {
        /// Start of the period.
        from: Timestamp,
        /// End of the period, exclusive.
        to: Timestamp,
    },
    /// A query failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The credits do not add up to the booked revenue, which is a bug.
    #[error(
        "model `{model}` credits {credited}, but {booked} is booked: this is a bug, please report it"
    )]
    Unbalanced {
        /// The model.
        model: &'static str,
        /// Sum of its rows.
        credited: String,
        /// The expected sum.
        booked: String,
    },
}
