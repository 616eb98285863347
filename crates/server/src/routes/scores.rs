//! Who will buy, and who will leave.

use axum::Json;
use axum::extract::State;
use rollbook_app::scores::{self, Method, ScoreKind, Scored};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{PathParam, QueryParams, page_size};
use crate::problem::Problem;
use crate::scalars::{Foretold, PageToken, Time, Weighing, Whole};
use crate::state::Server;

/// Scores of a page where the caller does not say.
const PAGE: u64 = 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The least probability.
    #[param(example = 0.1, minimum = 0, maximum = 1)]
    min: Option<f64>,
    /// Scores of a page.
    #[param(value_type = Option<u64>, example = 3, default = 1000, minimum = 1, maximum = 100000)]
    limit: Option<Whole>,
    /// What the page before gave; empty for the first page.
    #[param(value_type = Option<PageToken>, inline)]
    page_token: Option<String>,
}

/// The score of a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Score {
    person_id: i64,
    /// Log-odds: the sum of what each feature adds.
    score: f64,
    #[schema(minimum = 0, maximum = 1)]
    probability: f64,
}

/// A page of scores, the highest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Scores {
    scores: Vec<Score>,
    /// Asks for the next page; null on the last one.
    next_page_token: Option<String>,
    /// Persons scored in all.
    count: u64,
    /// `logistic` where the weights were learnt, `rules` where there was too little to learn from.
    #[schema(value_type = Weighing)]
    method: Method,
    /// Why they were not learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
}

/// Scores as of the last run, the highest first
///
/// `lead`: the probability of buying within 30 days, of those who have not bought yet. `churn`: the
/// probability of not buying within 90 days, of those who bought in the last year.
#[utoipa::path(get, path = "/v1/scores/{kind}", operation_id = "list_scores", tag = "scores",
    params(("kind" = inline(Foretold), Path), Which),
    responses((status = 200, body = Scores)))]
pub(super) async fn list(
    State(server): State<Server>,
    PathParam(kind): PathParam<ScoreKind>,
    QueryParams(which): QueryParams<Which>,
) -> Result<Json<Scores>, Problem> {
    let given = which.limit.map_or(PAGE, |limit| limit.0);
    let limit = page_size(given, server.limits().page, "scores")?;
    let least = which.min.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&least) {
        let message = format!("a probability is from 0 to 1, not {least}");
        return Err(Problem::malformed("invalid_min", message));
    }
    let page = server.compute(move |server| async move {
        scores::scores_page(
            server.workspace(),
            kind,
            least,
            which
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
    Ok(Json(Scores {
        scores: page.scores.into_iter().map(score).collect(),
        next_page_token: page.next,
        count: page.head.count,
        method: page.head.method,
        reason: page.head.reason,
        snapshot: page.head.snapshot,
        as_of: page.head.as_of,
        computed_at: page.head.computed_at,
    }))
}
