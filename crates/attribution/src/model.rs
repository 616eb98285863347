//! Attribution models, and the options of a run.

use std::fmt;
use std::str::FromStr;

use rollbook_model::config::{ATTRIBUTION_HALF_LIFE, ATTRIBUTION_LOOKBACK};
use rollbook_model::{Span, Timestamp, nearest};
use serde::{Deserialize, Serialize};

use crate::AttributionError;

/// How the value of a conversion is divided among earlier touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Model {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// The same to each touch.
    Linear,
    /// By `2^(-age / half-life)`, where age is the time from touch to conversion.
    TimeDecay,
}

impl Model {
    /// All models in display order.
    pub const ALL: [Self; 4] = [Self::First, Self::Last, Self::Linear, Self::TimeDecay];

    /// The name that people and programs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Linear => "linear",
            Self::TimeDecay => "time-decay",
        }
    }
}

impl FromStr for Model {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, AttributionError> {
        let named = Self::ALL
            .into_iter()
            .find(|model| model.name() == text.trim());
        named.ok_or_else(|| AttributionError::UnknownModel {
            model: text.to_owned(),
            nearest: nearest(text, Self::ALL.map(Self::name)).map(str::to_owned),
        })
    }
}

impl TryFrom<String> for Model {
    type Error = AttributionError;
    fn try_from(text: String) -> Result<Self, AttributionError> {
        text.parse()
    }
}

impl From<Model> for &'static str {
    fn from(model: Model) -> Self {
        model.name()
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Grouping of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The channel of the touch.
    #[default]
    Channel,
}

impl FromStr for By {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, AttributionError> {
        match text.trim() {
            "channel" => Ok(Self::Channel),
            other => Err(AttributionError::UnknownBy {
                by: other.to_owned(),
            }),
        }
    }
}

/// Options of an attribution run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The models, in the order of the report.
    pub models: Vec<Model>,
    /// Grouping of the credits.
    pub by: By,
    /// Start of the period, inclusive; the first conversion if `None`.
    pub from: Option<Timestamp>,
    /// End of the period, exclusive; after the last conversion if `None`.
    pub to: Option<Timestamp>,
    /// Lookback window: touches in `(conversion - lookback, conversion]` count.
    pub lookback: Span,
    /// Half-life of the weight of a touch, for time decay.
    pub half_life: Span,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            models: Model::ALL.to_vec(),
            by: By::Channel,
            from: None,
            to: None,
            lookback: ATTRIBUTION_LOOKBACK,
            half_life: ATTRIBUTION_HALF_LIFE,
        }
    }
}
