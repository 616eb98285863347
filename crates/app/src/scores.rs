//! Scores: training, scoring, explanations, pages of scores.

use rollbook_model::Timestamp;
pub use rollbook_scoring::{
    Explanation, Factor, Method, Model as ScoreModel, ScoreKind, Scored, ScoresHead, ScoringError,
};
use serde::{Deserialize, Serialize};

use crate::{AppError, Workspace, page_token};

/// Trains a model as of a moment, and makes it the current one.
///
/// # Errors
/// There is no lake; a query exceeds a limit; the lake cannot be written.
pub async fn train(
    workspace: &Workspace,
    kind: ScoreKind,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<ScoreModel, AppError> {
    workspace.require("scores::train")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let model = rollbook_scoring::train(&session, kind, state.data).await?;
    rollbook_scoring::save_model(&lake, &model, now).await?;
    Ok(model)
}

/// A run of scoring.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreRun {
    /// Metadata: model, data and moment.
    #[serde(flatten)]
    pub head: ScoresHead,
    /// The highest scores, by probability, then by id.
    pub highest: Vec<Scored>,
}

/// Scores all candidates as of a moment with the current model; returns the `highest` first ones.
///
/// # Errors
/// There is no lake; no model was trained; a query exceeds a limit; the lake cannot be written.
pub async fn run(
    workspace: &Workspace,
    kind: ScoreKind,
    as_of: Timestamp,
    now: Timestamp,
    highest: usize,
) -> Result<ScoreRun, AppError> {
    workspace.require("scores::run")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let model = rollbook_scoring::current_model(&lake, &state, kind).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let mut scored = rollbook_scoring::score(&session, &model).await?;
    let head = rollbook_scoring::save_scores(&lake, &model, &scored, as_of, &state, now).await?;
    sort_highest(&mut scored);
    scored.truncate(highest);
    Ok(ScoreRun {
        head,
        highest: scored,
    })
}

/// Explains the score of a person as of a moment.
///
/// # Errors
/// There is no lake; no model was trained; this kind of score does not apply to the person.
pub async fn explain(
    workspace: &Workspace,
    kind: ScoreKind,
    person: i64,
    as_of: Timestamp,
) -> Result<Explanation, AppError> {
    workspace.require("scores::explain")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let model = rollbook_scoring::current_model(&lake, &state, kind).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    Ok(rollbook_scoring::explain(&session, &model, person).await?)
}

/// A page of the current scores, highest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoresPage {
    /// Metadata, the same for all pages.
    pub head: ScoresHead,
    /// The scores of this page.
    pub scores: Vec<Scored>,
    /// Token of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// Content of a page token.
#[derive(Debug, Serialize, Deserialize)]
struct PinnedScores {
    of: ScoresHead,
    /// The merged and erased persons at the first page, as [`rollbook_lake::State::person_redirects_path`] names them.
    #[serde(default)]
    gone: Option<String>,
    least: f64,
    taken: usize,
}

/// The first page, or the one of `token`, of persons with a probability of at least `least`; all pages are
/// from the same run.
///
/// # Errors
/// There is no lake; nobody was scored; [`AppError::ForgedPageToken`]; the scores were removed.
pub async fn scores_page(
    workspace: &Workspace,
    kind: ScoreKind,
    least: f64,
    token: Option<&str>,
    limit: usize,
) -> Result<ScoresPage, AppError> {
    workspace.require("scores::scores_page")?;
    let lake = workspace.lake().await?;
    let mut pinned = match token {
        None => {
            let state = lake.head().await?;
            PinnedScores {
                of: rollbook_scoring::current_scores(&state, kind)?,
                gone: state.person_redirects_path().map(str::to_owned),
                least,
                taken: 0,
            }
        }
        Some(token) => page_token::open(&lake, token).await?,
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
            Some(page_token::seal(&lake, &pinned).await?)
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
