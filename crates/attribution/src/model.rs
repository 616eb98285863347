//! What is asked: which models, over which time, how far back.

use std::fmt;
use std::str::FromStr;

use rollbook_model::config::{ATTRIBUTION_HALF_LIFE, ATTRIBUTION_LOOKBACK};
use rollbook_model::{Span, Timestamp, nearest};
use serde::{Deserialize, Serialize};

use crate::AttributionError;

/// How the value of a conversion is shared among the touches before it.
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
    /// All, in the order in which they are shown.
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

/// What credits are summed by.
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

/// What to credit, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The models, in the order of the answer.
    pub models: Vec<Model>,
    /// What to sum by.
    pub by: By,
    /// Conversions from this moment on; from the first where there is none.
    pub from: Option<Timestamp>,
    /// Conversions before this moment; to the last where there is none.
    pub to: Option<Timestamp>,
    /// How long before a conversion a touch counts: those in `(conversion - lookback, conversion]`.
    pub lookback: Span,
    /// The time in which the weight of a touch halves.
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
