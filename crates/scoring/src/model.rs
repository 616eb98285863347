//! A model is additive: a base and a weight for each feature, so that every score can be explained.

use rollbook_engine::Session;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ScoringError;
use crate::features::Features;
use crate::score_kind::ScoreKind;

/// How the weights of a model were obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Logistic regression on past examples.
    Logistic,
    /// Fixed weights, because there were too few examples.
    Rules,
}

/// The contribution of one feature to the score: `coefficient * (value - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The feature.
    pub feature: String,
    /// Its mean among the examples.
    pub mean: f64,
    /// Its standard deviation among the examples.
    pub deviation: f64,
    /// Log-odds for each standard deviation.
    pub coefficient: f64,
}

impl Weight {
    /// The contribution of a value, in log-odds.
    pub(crate) fn points(&self, value: f64) -> f64 {
        self.coefficient * (value - self.mean) / self.deviation
    }
}

/// Test of a model on the last cut-off, which was held out from training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The cut-off.
    pub cut_off: Timestamp,
    /// Candidates at it.
    pub examples: u64,
    /// Candidates with a positive label within the horizon.
    pub positives: u64,
    /// Area under the ROC curve; `None` if all labels are equal.
    pub roc_auc: Option<f64>,
    /// The mean squared difference of probability and outcome (Brier 1950); `None` without candidates.
    pub brier: Option<f64>,
}

/// A trained model with its training data and its test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// What it predicts.
    pub kind: ScoreKind,
    /// How its weights were obtained.
    pub method: Method,
    /// Why the weights were not learnt, if they were not.
    pub reason: Option<String>,
    /// The moment it was trained for: no later fact was used.
    pub as_of: Timestamp,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The cut-offs of the training examples.
    pub cut_offs: Vec<Timestamp>,
    /// Training examples.
    pub examples: u64,
    /// Training examples with a positive label.
    pub positives: u64,
    /// Intercept in log-odds: the score of a person with all features at their means.
    pub base: f64,
    /// The weights, in the order of the features.
    pub weights: Vec<Weight>,
    /// The test on the held-out cut-off.
    pub evaluation: Evaluation,
    /// Time of the newest order or deal up to `as_of`.
    #[serde(default)]
    pub data_end: Option<Timestamp>,
    /// Days between `data_end` and the end of the label window, if the gap is large: purchases in it
    /// are missing, so those buyers are labelled as having bought nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncovered_days: Option<i64>,
}

/// The score of one person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The person.
    pub person_id: i64,
    /// Log-odds: the intercept plus the contributions of all features.
    pub score: f64,
    /// 0 to 1.
    pub probability: f64,
}

impl Model {
    /// Intercept plus contributions, added in the order of the features, so that a score and its
    /// explanation agree to the last bit.
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

/// Scores all candidates at the session's moment, in order of person id.
///
/// # Errors
/// The features query exceeds its memory, disk or time limit, or the lake cannot be read.
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
