//! Scores: predictions of purchases and churn.

use axum::Json;
use rollbook_app::scores::{self, Method, ScoreKind, Scored};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::scalars::{PageToken, PredictedKind, ScoreMethod, Time, Whole};
use crate::http::extract::{PathParam, QueryParams, page_size};
use crate::problem::Problem;

/// Scores per page by default.
const DEFAULT_LIMIT: u64 = 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScoresParams {
    /// Minimum probability.
    #[param(example = 0.1, minimum = 0, maximum = 1)]
    min: Option<f64>,
    /// Scores per page.
    #[param(value_type = Option<u64>, example = 3, default = 1000, minimum = 1, maximum = 100000)]
    limit: Option<Whole>,
    /// The token from the page before; empty for the first page.
    #[param(value_type = Option<PageToken>, inline)]
    page_token: Option<String>,
}

/// The score of a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Score {
    person_id: i64,
    /// Log-odds: the intercept plus the contributions of all features.
    score: f64,
    #[schema(minimum = 0, maximum = 1)]
    probability: f64,
}

/// A page of scores, the highest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Scores {
    scores: Vec<Score>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
    /// Number of scored persons.
    count: u64,
    /// `logistic` if the weights were learnt, `rules` for fixed weights if there were too few examples.
    #[schema(value_type = ScoreMethod)]
    method: Method,
    /// Why the weights were not learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
}

/// Lists the scores of the last run, highest first
///
/// `lead`: the probability that a person who has not bought anything yet buys within 30 days. `churn`: the
/// probability that a person who bought in the last year does not buy within 90 days.
#[utoipa::path(get, path = "/v1/scores/{kind}", operation_id = "list_scores", tag = "scores",
    params(("kind" = inline(PredictedKind), Path), ScoresParams),
    responses((status = 200, body = Scores)))]
pub(super) async fn list(
    Authorized(server): Authorized,
    PathParam(kind): PathParam<ScoreKind>,
    QueryParams(params): QueryParams<ScoresParams>,
) -> Result<Told<Json<Scores>>, Problem> {
    let given = params.limit.map_or(DEFAULT_LIMIT, |limit| limit.0);
    let limit = page_size(given, server.limits().page, "scores")?;
    let least = params.min.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&least) {
        let message = format!("a probability is from 0 to 1, not {least}");
        return Err(Problem::malformed("invalid_min", message));
    }
    let page = server.compute(move |server| async move {
        scores::scores_page(
            server.workspace(),
            kind,
            least,
            params
                .page_token
                .as_deref()
                .filter(|token| !token.is_empty()),
            limit,
        )
        .await
    });
    let page = page.await?;
    let score = |one: Scored| Score {
        person_id: one.person_id,
        score: one.score,
        probability: one.probability,
    };
    let told = Answered::rows(page.scores.len());
    let scores = Json(Scores {
        scores: page.scores.into_iter().map(score).collect(),
        next_page_token: page.next,
        count: page.head.count,
        method: page.head.method,
        reason: page.head.reason,
        snapshot: page.head.snapshot,
        as_of: page.head.as_of,
        computed_at: page.head.computed_at,
    });
    Ok(Told(told, scores))
}
