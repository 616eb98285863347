//! The arguments of `attribution` and `score`.

use clap::{Args, Subcommand};
use rollbook_app::attribution::{By, Model};
use rollbook_app::scores::ScoreKind;
use rollbook_model::{GivenTime, Span, config};

use super::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum Attribution {
    /// Credit each conversion to earlier touches, by several models
    Run(AttributionRun),
}

#[derive(Debug, Args)]
pub(crate) struct AttributionRun {
    /// first, last, linear, time-decay
    #[arg(long, value_delimiter = ',', default_values_t = Model::ALL)]
    pub(crate) models: Vec<Model>,
    /// The dimension to sum by
    #[arg(long, default_value = "channel")]
    pub(crate) by: By,
    /// Conversions from this moment on [default: the first]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<GivenTime>,
    /// Conversions before this moment [default: the last]
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<GivenTime>,
    /// Lookback window before a conversion in which touches count
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, default_value_t = config::ATTRIBUTION_LOOKBACK)]
    pub(crate) lookback: Span,
    /// Half-life of the weight of a touch
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, default_value_t = config::ATTRIBUTION_HALF_LIFE)]
    pub(crate) half_life: Span,
    #[command(flatten)]
    pub(crate) moment: Moment,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Score {
    /// Train on earlier cut-offs, and test on the last one
    Train {
        /// lead or churn
        kind: ScoreKind,
        #[command(flatten)]
        moment: Moment,
    },
    /// Score all candidates
    Run {
        /// lead or churn
        kind: ScoreKind,
        #[command(flatten)]
        moment: Moment,
    },
    /// Explain the score of a person
    Explain {
        /// lead or churn
        kind: ScoreKind,
        /// The person's id
        person: i64,
        #[command(flatten)]
        moment: Moment,
    },
}
