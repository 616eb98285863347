//! Features to scores: who will buy, who will leave, and why.

mod error;
mod explain;
mod features;
mod fit;
mod kept;
mod kind;
mod model;
mod rank;
mod rules;
mod table;
mod train;

pub use error::ScoringError;
pub use explain::{Explanation, Factor, explain};
pub use kept::{ScoresHead, keep_model, keep_scores, standing_model, standing_scores};
pub use kind::{Kind, feature_meaning};
pub use model::{Evaluation, Method, Model, Scored, Weight, score};
pub use rank::roc_auc;
pub use table::scores_table;
pub use train::train;
