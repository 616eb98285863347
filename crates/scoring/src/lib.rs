//! Features to scores: who will buy, who will leave, and why.

mod error;
mod explain;
mod features;
mod fit;
mod model;
mod rank;
mod rules;
mod score_kind;
mod store;
mod table;
mod train;

pub use error::ScoringError;
pub use explain::{Explanation, Factor, explain};
pub use model::{Evaluation, Method, Model, Scored, Weight, score};
pub use score_kind::{ScoreKind, UnknownScoreKind};
pub use store::{ScoresHead, current_model, current_scores, save_model, save_scores};
pub use table::scores_table;
pub use train::train;
