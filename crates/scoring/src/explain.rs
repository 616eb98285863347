//! Explanations: the contribution of every feature to the score of one person.

use rollbook_engine::Session;
use rollbook_model::Timestamp;
use serde::Serialize;

use crate::ScoringError;
use crate::features::Features;
use crate::model::{Method, Model, probability};
use crate::score_kind::{ScoreKind, feature_meaning};

/// The contribution of one feature to a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factor {
    /// The feature.
    pub feature: String,
    /// Its meaning in words.
    pub meaning: &'static str,
    /// Its value; counts and days as `ln(1 + n)`.
    pub value: f64,
    /// Its contribution in log-odds.
    pub points: f64,
}

/// A score taken apart: `base` and the points of all factors, added up in the order of the
/// features, are `score`, to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The person.
    pub person_id: i64,
    /// What the score predicts.
    pub kind: ScoreKind,
    /// How the weights were obtained.
    pub method: Method,
    /// The moment that the features were computed for.
    pub as_of: Timestamp,
    /// Log-odds.
    pub score: f64,
    /// 0 to 1.
    pub probability: f64,
    /// Intercept: the score of a person with all features at their means.
    pub base: f64,
    /// The contributions, in the order of the features.
    pub factors: Vec<Factor>,
}

/// Explains the score of one person at the session's moment.
///
/// # Errors
/// [`ScoringError::NoCandidate`] if this kind of score does not apply to the person; the features query
/// exceeds its memory, disk or time limit, or the lake cannot be read.
pub async fn explain(
    session: &Session,
    model: &Model,
    person: i64,
) -> Result<Explanation, ScoringError> {
    let features = Features::at(session, model.kind, session.as_of()).await?;
    let no_candidate = || ScoringError::NoCandidate {
        person,
        kind: model.kind,
        as_of: session.as_of(),
    };
    let row = features.row(features.index_of(person).ok_or_else(no_candidate)?);
    let factors = model.weights.iter().zip(row).map(|(weight, value)| Factor {
        feature: weight.feature.clone(),
        meaning: feature_meaning(&weight.feature),
        value: *value,
        points: weight.points(*value),
    });
    let score = model.score_of(row);
    Ok(Explanation {
        person_id: person,
        kind: model.kind,
        method: model.method,
        as_of: session.as_of(),
        score,
        probability: probability(score),
        base: model.base,
        factors: factors.collect(),
    })
}
