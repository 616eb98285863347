//! The kinds of scores: their candidates, predictions, and the meanings of features.

use std::fmt;
use std::str::FromStr;

use rollbook_model::Span;
use rollbook_model::config::{CHURN_HORIZON, LEAD_HORIZON};
use rollbook_queries::scoring::{CHURN_FEATURES, LEAD_FEATURES};
use serde::{Deserialize, Serialize};

/// What a score predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreKind {
    /// A person who has not bought anything yet buys within 30 days.
    Lead,
    /// A person who bought in the last year does not buy within 90 days.
    Churn,
}

impl ScoreKind {
    /// The name that people and programs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Churn => "churn",
        }
    }

    /// The prediction window, counted from the cut-off.
    pub fn horizon(self) -> Span {
        match self {
            Self::Lead => LEAD_HORIZON,
            Self::Churn => CHURN_HORIZON,
        }
    }

    /// Earlier cut-offs that training uses at most.
    pub(crate) fn cut_offs(self) -> i64 {
        match self {
            Self::Lead => 12,
            Self::Churn => 4,
        }
    }

    /// Which persons have this score, for error messages.
    pub(crate) fn candidates(self) -> &'static str {
        match self {
            Self::Lead => "only persons who were known and had not bought anything have one",
            Self::Churn => "only persons who bought in the year before have one",
        }
    }

    /// Whether the score of a merged person passes to the person that they were merged into, if that
    /// one has none. A buyer has no lead score under any id, but one customer can churn under two ids.
    pub(crate) fn passes_on_merge(self) -> bool {
        match self {
            Self::Lead => false,
            Self::Churn => true,
        }
    }

    pub(crate) fn features_sql(self) -> &'static str {
        match self {
            Self::Lead => LEAD_FEATURES,
            Self::Churn => CHURN_FEATURES,
        }
    }

    /// The training label of a person who did, or did not, buy within the horizon.
    pub(crate) fn label(self, bought: bool) -> bool {
        match self {
            Self::Lead => bought,
            Self::Churn => !bought,
        }
    }
}

/// A name that is no kind of score.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no score `{name}`: use lead or churn")]
pub struct UnknownScoreKind {
    /// The name that was given.
    pub name: String,
}

impl FromStr for ScoreKind {
    type Err = UnknownScoreKind;

    fn from_str(text: &str) -> Result<Self, UnknownScoreKind> {
        let known = [Self::Lead, Self::Churn];
        let named = known.into_iter().find(|kind| kind.name() == text.trim());
        named.ok_or_else(|| UnknownScoreKind {
            name: text.to_owned(),
        })
    }
}

impl fmt::Display for ScoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A feature in words, for explanations.
pub(crate) fn feature_meaning(feature: &str) -> &'static str {
    match feature {
        "age_to_3_days" => "known for up to 3 days",
        "age_to_14_days" => "known for 3 to 14 days",
        "age_to_30_days" => "known for 14 to 30 days",
        "age_to_45_days" => "known for 30 to 45 days",
        "age_to_63_days" => "known for 45 to 63 days",
        "age_to_120_days" => "known for 63 to 120 days",
        "page_views" => "pages viewed",
        "pricing_views" => "pricing pages viewed",
        "email_clicks" => "clicks in e-mails",
        "email_opens" => "e-mails opened",
        "forms" => "forms submitted",
        "carts" => "carts abandoned",
        "active_days" => "days with activity",
        "quiet_days" => "days since the last activity",
        "came_by_paid" => "first came through paid search or social media",
        "came_by_email" => "first came through an e-mail",
        "came_by_organic" => "first came through organic search",
        "came_by_referral" => "first came through a referral",
        "came_by_social" => "first came through social media",
        "recency" => "days since the last purchase",
        "bought_last_month" => "bought within 30 days",
        "silent_half_a_year" => "has not bought for 180 days",
        "purchases" => "purchases",
        "bought_once" => "bought only once",
        "interval_days" => "days between purchases",
        "overdue" => "time since the last purchase, in usual intervals",
        "basket" => "value of a purchase",
        "tenure" => "days as a customer",
        "active_last_month" => "activity within 30 days",
        "active_last_quarter" => "activity within 90 days",
        "unsubscribed" => "unsubscribed from e-mails",
        "refunds" => "refunds",
        "tickets" => "support requests within 180 days",
        _ => "",
    }
}
