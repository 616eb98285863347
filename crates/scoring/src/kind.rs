//! The kinds of scores: whom they are about, what they foretell, and what their features mean.

use std::fmt;
use std::str::FromStr;

use rollbook_model::Span;
use rollbook_model::config::{CHURN_HORIZON, LEAD_HORIZON};
use rollbook_queries::scoring::{CHURN_FEATURES, LEAD_FEATURES};
use serde::{Deserialize, Serialize};

use crate::ScoringError;

/// What is foretold of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// That somebody who has not bought anything will buy within 30 days.
    Lead,
    /// That somebody who bought in the last year will not buy within 90 days.
    Churn,
}

impl Kind {
    /// The name that people and programs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Churn => "churn",
        }
    }

    /// How far ahead it looks.
    pub fn horizon(self) -> Span {
        match self {
            Self::Lead => LEAD_HORIZON,
            Self::Churn => CHURN_HORIZON,
        }
    }

    /// Earlier moments that are learnt from, at most.
    pub(crate) fn cut_offs(self) -> i64 {
        match self {
            Self::Lead => 12,
            Self::Churn => 4,
        }
    }

    /// Who has this score.
    pub(crate) fn candidates(self) -> &'static str {
        match self {
            Self::Lead => "only persons who were known and had not bought anything have one",
            Self::Churn => "only persons who bought in the year before have one",
        }
    }

    /// Whether the score of somebody who became another is that one's, who has none. Who bought has no
    /// lead score, whoever else they are; but who left may have left under two names.
    pub(crate) fn follows(self) -> bool {
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

    /// Whether what is foretold came true of somebody who did, or did not, buy in the window.
    pub(crate) fn comes_true(self, bought: bool) -> bool {
        match self {
            Self::Lead => bought,
            Self::Churn => !bought,
        }
    }
}

impl FromStr for Kind {
    type Err = ScoringError;

    fn from_str(text: &str) -> Result<Self, ScoringError> {
        let known = [Self::Lead, Self::Churn];
        let named = known.into_iter().find(|kind| kind.name() == text.trim());
        named.ok_or_else(|| ScoringError::UnknownKind {
            kind: text.to_owned(),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a feature means, in words.
pub fn feature_meaning(feature: &str) -> &'static str {
    match feature {
        "age_to_3_days" => "known for up to 3 days",
        "age_to_14_days" => "known for 3 to 14 days",
        "age_to_30_days" => "known for 14 to 30 days",
        "age_to_45_days" => "known for 30 to 45 days",
        "age_to_63_days" => "known for 45 to 63 days",
        "age_to_120_days" => "known for 63 to 120 days",
        "page_views" => "pages viewed",
        "pricing_views" => "pages about prices viewed",
        "email_clicks" => "clicks in mails",
        "email_opens" => "mails opened",
        "forms" => "forms sent",
        "carts" => "carts left behind",
        "active_days" => "days with activity",
        "quiet_days" => "days since the last activity",
        "came_by_paid" => "first came by paid search or social",
        "came_by_email" => "first came by a mail",
        "came_by_organic" => "first came by organic search",
        "came_by_referral" => "first came by a referral",
        "came_by_social" => "first came by social media",
        "recency" => "days since the last purchase",
        "bought_last_month" => "bought within 30 days",
        "silent_half_a_year" => "has not bought for 180 days",
        "purchases" => "purchases",
        "bought_once" => "bought only once",
        "interval_days" => "days between purchases",
        "overdue" => "time since the last purchase, in intervals",
        "basket" => "value of a purchase",
        "tenure" => "days as a customer",
        "active_last_month" => "activity within 30 days",
        "active_last_quarter" => "activity within 90 days",
        "unsubscribed" => "unsubscribed from mails",
        "refunds" => "refunds",
        "tickets" => "requests for support within 180 days",
        _ => "",
    }
}
