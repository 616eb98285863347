//! Scores as a user asks for them.

use rollbook_model::Timestamp;
pub use rollbook_scoring::{
    Explanation, Factor, Kind as ScoreKind, Method, Model as ScoreModel, Scored, ScoresHead,
    ScoringError,
};
use serde::{Deserialize, Serialize};

use crate::{AppError, Workspace, page};

/// Trains a model as of a moment; it is the standing one from then on.
pub async fn train(
    workspace: &Workspace,
    kind: ScoreKind,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<ScoreModel, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let model = rollbook_scoring::train(&session, kind, state.data).await?;
    rollbook_scoring::keep_model(&lake, &model, now).await?;
    Ok(model)
}

/// Scores, and what they rest on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// What they rest on.
    #[serde(flatten)]
    pub head: ScoresHead,
    /// The highest, by probability and then by id.
    pub highest: Vec<Scored>,
}

/// Scores all candidates as of a moment with the standing model.
pub async fn run(
    workspace: &Workspace,
    kind: ScoreKind,
    as_of: Timestamp,
    now: Timestamp,
    highest: usize,
) -> Result<Run, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let model = rollbook_scoring::standing_model(&lake, &state, kind).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let mut scored = rollbook_scoring::score(&session, &model).await?;
    let head = rollbook_scoring::keep_scores(&lake, &model, &scored, as_of, &state, now).await?;
    sort_highest(&mut scored);
    scored.truncate(highest);
    Ok(Run {
        head,
        highest: scored,
    })
}

/// Why a person has the score that they have as of a moment.
pub async fn explain(
    workspace: &Workspace,
    kind: ScoreKind,
    person: i64,
    as_of: Timestamp,
) -> Result<Explanation, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let model = rollbook_scoring::standing_model(&lake, &state, kind).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    Ok(rollbook_scoring::explain(&session, &model, person).await?)
}

/// A part of the standing scores, the highest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoresPage {
    /// What all pages of one pull rest on.
    pub head: ScoresHead,
    /// The scores of this page.
    pub scores: Vec<Scored>,
    /// What asks for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// What a page token carries.
#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    of: ScoresHead,
    /// Who had no records any longer.
    #[serde(default)]
    gone: Option<String>,
    least: f64,
    taken: usize,
}

/// The first page, or the one that `token` asks for, of persons with a probability of at least
/// `least`; all pages are of the same scores.
pub async fn scores_page(
    workspace: &Workspace,
    kind: ScoreKind,
    least: f64,
    token: Option<&str>,
    limit: usize,
) -> Result<ScoresPage, AppError> {
    let lake = workspace.lake().await?;
    let mut pinned = match token {
        None => {
            let state = lake.head().await?;
            Pinned {
                of: rollbook_scoring::standing_scores(&state, kind)?,
                gone: state.gone().map(str::to_owned),
                least,
                taken: 0,
            }
        }
        Some(token) => page::open(&lake, token).await?,
    };
    if pinned.of.kind != kind {
        return Err(AppError::ForgedPageToken);
    }
    let mut scored = pinned.of.read(&lake, pinned.gone.as_deref()).await?;
    pinned.of.count = scored.len() as u64;
    scored.retain(|one| one.probability >= pinned.least);
    sort_highest(&mut scored);
    let taken = pinned.taken.min(scored.len());
    let end = scored.len().min(taken.saturating_add(limit));
    let scores = scored[taken..end].to_vec();
    let head = pinned.of.clone();
    let next = match end < scored.len() {
        true => {
            pinned.taken = end;
            Some(page::seal(&lake, &pinned).await?)
        }
        false => None,
    };
    Ok(ScoresPage { head, scores, next })
}

fn sort_highest(scored: &mut [Scored]) {
    scored.sort_by(|a, b| {
        let by_probability = b.probability.total_cmp(&a.probability);
        by_probability.then(a.person_id.cmp(&b.person_id))
    });
}
