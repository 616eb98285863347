//! Fixed weights, used if there are too few examples. `docs/SCORING.md` has the same table.

use crate::model::Weight;
use crate::score_kind::ScoreKind;

const LEAD_BASE: f64 = -3.0;
/// Log-odds for each unit of a feature.
const LEAD: [(&str, f64); 10] = [
    ("age_to_3_days", 0.5),
    ("age_to_14_days", 0.8),
    ("age_to_30_days", 0.5),
    ("page_views", 0.4),
    ("pricing_views", 0.6),
    ("email_clicks", 0.6),
    ("forms", 0.7),
    ("carts", 0.8),
    ("came_by_referral", 0.4),
    ("quiet_days", -0.3),
];

const CHURN_BASE: f64 = -1.0;
/// Log-odds for each unit of a feature.
const CHURN: [(&str, f64); 7] = [
    ("overdue", 1.0),
    ("silent_half_a_year", 1.0),
    ("bought_once", 0.8),
    ("bought_last_month", -0.8),
    ("purchases", -0.5),
    ("active_last_month", -0.5),
    ("unsubscribed", 0.5),
];

/// Intercept and fixed weights for these features.
pub(crate) fn weights(kind: ScoreKind, features: &[String]) -> (f64, Vec<Weight>) {
    let (base, rules): (f64, &[(&str, f64)]) = match kind {
        ScoreKind::Lead => (LEAD_BASE, &LEAD),
        ScoreKind::Churn => (CHURN_BASE, &CHURN),
    };
    let weights = features.iter().map(|feature| {
        let rule = rules.iter().find(|(name, _)| name == feature);
        Weight {
            feature: feature.clone(),
            mean: 0.0,
            deviation: 1.0,
            coefficient: rule.map_or(0.0, |(_, points)| *points),
        }
    });
    (base, weights.collect())
}
