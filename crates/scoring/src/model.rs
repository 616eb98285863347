//! A model is additive: a base and a weight for each feature, so that every score can be explained.

use rollbook_engine::Session;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ScoringError;
use crate::features::Features;
use crate::kind::Kind;

/// How the weights came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Learnt, by logistic regression.
    Logistic,
    /// Written down, because there was too little to learn from.
    Rules,
}

/// What one feature adds to the score: `coefficient * (value - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The feature.
    pub feature: String,
    /// Its mean among the examples.
    pub mean: f64,
    /// Its standard deviation among the examples.
    pub deviation: f64,
    /// What a deviation adds.
    pub coefficient: f64,
}

impl Weight {
    /// What a value adds, in log-odds.
    pub(crate) fn points(&self, value: f64) -> f64 {
        self.coefficient * (value - self.mean) / self.deviation
    }
}

/// How a model did on the last cut-off, which it had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The cut-off.
    pub cut_off: Timestamp,
    /// Candidates at it.
    pub examples: u64,
    /// Those of whom it came true within the horizon.
    pub positives: u64,
    /// The area under the ROC curve; none where all, or none, came true.
    pub roc_auc: Option<f64>,
    /// The mean squared difference of probability and outcome (Brier 1950); none of nobody.
    pub brier: Option<f64>,
}

/// A trained model, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// What it foretells.
    pub kind: Kind,
    /// How its weights came about.
    pub method: Method,
    /// Why they were not learnt, where they were not.
    pub reason: Option<String>,
    /// The moment it was trained for: nothing later was seen.
    pub as_of: Timestamp,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moments that were learnt from.
    pub cut_offs: Vec<Timestamp>,
    /// Examples that were learnt from.
    pub examples: u64,
    /// Those of whom it came true.
    pub positives: u64,
    /// The score of somebody with all features at their means, in log-odds.
    pub base: f64,
    /// The weights, in the order of the features.
    pub weights: Vec<Weight>,
    /// How it did afterwards.
    pub evaluation: Evaluation,
    /// When the newest order or deal is of, up to `as_of`.
    #[serde(default)]
    pub data_end: Option<Timestamp>,
    /// By how many days that is before the labels end, where it clearly is: whoever bought since counts
    /// as not having bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncovered_days: Option<i64>,
}

/// The score of one person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The person.
    pub person_id: i64,
    /// Log-odds: the sum of the base and of all factors.
    pub score: f64,
    /// 0 to 1.
    pub probability: f64,
}

impl Model {
    /// Base and factors added up in the order of the features, always in this order, so that a
    /// score and its explanation agree to the last bit.
    pub(crate) fn score_of(&self, row: &[f64]) -> f64 {
        let points = self
            .weights
            .iter()
            .zip(row)
            .map(|(weight, value)| weight.points(*value));
        points.fold(self.base, |sum, points| sum + points)
    }
}

/// A probability from log-odds.
pub(crate) fn probability(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Scores all candidates at the session's moment, in order of their ids.
pub async fn score(session: &Session, model: &Model) -> Result<Vec<Scored>, ScoringError> {
    let features = Features::at(session, model.kind, session.as_of()).await?;
    let scored = (0..features.persons.len()).map(|at| {
        let score = model.score_of(features.row(at));
        Scored {
            person_id: features.persons[at],
            score,
            probability: probability(score),
        }
    });
    Ok(scored.collect())
}
