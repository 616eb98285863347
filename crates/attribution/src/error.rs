//! What can go wrong with a question about attribution.

use rollbook_engine::EngineError;
use rollbook_model::Timestamp;

/// Why there are no credits.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// A name that is no model.
    #[error("there is no model `{model}`: use first, last, linear or time-decay{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownModel {
        /// The name that was given.
        model: String,
        /// The model that was probably meant.
        nearest: Option<String>,
    },
    /// A model that is asked for more than once.
    #[error("model `{model}` is named twice: name each once")]
    RepeatedModel {
        /// Its name.
        model: &'static str,
    },
    /// Something that credits cannot be shown by.
    #[error("credits cannot be shown by `{by}`: use channel")]
    UnknownBy {
        /// What was given.
        by: String,
    },
    /// A time that ends before it begins.
    #[error("`from` ({from}) has to be before `to` ({to})")]
    EmptyTime {
        /// The first moment.
        from: Timestamp,
        /// The moment after the last.
        to: Timestamp,
    },
    /// The query failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The credits do not sum to what was booked: a defect of ours, never shown as figures.
    #[error("model `{model}` credits {credited} of {booked} booked: please report it")]
    Unbalanced {
        /// The model.
        model: &'static str,
        /// What its rows sum to.
        credited: String,
        /// What they should sum to.
        booked: String,
    },
}
