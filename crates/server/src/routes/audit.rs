//! The audit: what callers did.

use axum::Json;
use rollbook_app::access::KeyPrefix;
use rollbook_app::audit::{self, Act, ActFilter, AskedStatement};
use rollbook_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::scalars::{Moment, Prefix, Scalar, Time, Whole};
use crate::http::extract::QueryParams;
use crate::problem::Problem;

/// Acts per answer at most.
const MAX_ACTS: u64 = 10_000;
/// Acts per answer by default.
const DEFAULT_ACTS: u64 = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditParams {
    /// Only acts from then on.
    #[param(inline, example = "2026-01-01T00:00:00Z")]
    since: Option<Moment>,
    /// Only acts before then: the `at` of the oldest act of an answer lists those before it.
    #[param(inline, example = "2027-01-01T00:00:00Z")]
    until: Option<Moment>,
    /// Only acts of the holder of this key.
    #[param(value_type = Option<Prefix>, inline)]
    who: Option<KeyPrefix>,
    /// Only the newest acts, this many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 10000, default = 100, example = 10)]
    limit: Option<Whole>,
}

/// What one caller did, or was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedAct {
    at: Time,
    /// `key:` and the prefix of an API key, `subject:` and the `sub` of a JWT, `command:` and the user of the command line, or `unknown`.
    caller: String,
    /// The address that the request came from.
    from: Option<String>,
    /// The id of the request, as in the log.
    request_id: Option<String>,
    /// Method and route of the request, or the command.
    act: String,
    /// The segment that it was about.
    segment: Option<String>,
    /// The person that it was about.
    person_id: Option<i64>,
    /// The API key that it was about.
    key: Option<String>,
    /// What else it was about: a review, a decision, two persons, a secret.
    about: Option<String>,
    /// The columns of persons that were asked for, comma-separated.
    columns: Option<String>,
    /// Rows in the answer.
    rows: Option<u64>,
    statement: Option<Statement>,
    /// `ok`, `begun`, `disconnected`, or the code of the refusal.
    result: String,
    /// Refusals before this one that were only counted.
    unlisted: Option<u64>,
}

/// A statement that was asked, without the values in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Statement {
    /// Equal statements have equal codes.
    code: String,
    /// Its text with `?` for each literal; null if it could not be split into words.
    text: Option<String>,
}

impl From<AskedStatement> for Statement {
    fn from(AskedStatement { code, text }: AskedStatement) -> Self {
        Self { code, text }
    }
}

impl From<Act> for RecordedAct {
    fn from(act: Act) -> Self {
        Self {
            at: Scalar(act.at),
            caller: act.caller.to_string(),
            from: act.from.map(|from| from.to_string()),
            request_id: act.request_id,
            act: act.act,
            segment: act.segment,
            person_id: act.person_id,
            key: act.key,
            about: act.about,
            columns: act.columns,
            rows: act.rows,
            statement: act.statement.map(Statement::from),
            result: act.result,
            unlisted: act.unlisted,
        }
    }
}

/// Lists what callers of this tenant did: the newest acts, by time
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_acts", tag = "server", params(AuditParams),
    responses((status = 200, body = Vec<RecordedAct>)))]
pub(super) async fn list(
    Authorized(server): Authorized,
    QueryParams(params): QueryParams<AuditParams>,
) -> Result<Told<Json<Vec<RecordedAct>>>, Problem> {
    let limit = params.limit.map_or(DEFAULT_ACTS, |limit| limit.0);
    if !(1..=MAX_ACTS).contains(&limit) {
        let message = format!("an answer has 1 to {MAX_ACTS} acts, not {limit}");
        return Err(Problem::malformed("invalid_limit", message));
    }
    let since: Option<Timestamp> = match params.since {
        Some(_) => Some(server.moment(params.since).await?),
        None => None,
    };
    let until: Option<Timestamp> = match params.until {
        Some(_) => Some(server.moment(params.until).await?),
        None => None,
    };
    let filter = ActFilter {
        since,
        until,
        who: params.who,
        tenant: Some(server.workspace().tenant.clone()),
        limit: usize::try_from(limit).unwrap_or(audit::DEFAULT_ACTS),
    };
    let acts = server.workspace().acts(&filter).await?;
    let acts: Vec<RecordedAct> = acts.into_iter().map(RecordedAct::from).collect();
    Ok(Told(Answered::rows(acts.len()), Json(acts)))
}
