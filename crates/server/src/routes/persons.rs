//! One person.

use axum::Json;
use axum::extract::State;
use rollbook_app::persons::{self, TimelineAsked};
use rollbook_app::segments::PersonChange;
use rollbook_model::{GivenTime, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Asked, Named};
use crate::problem::Problem;
use crate::routes::asking::{Answered, json};
use crate::server::Server;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// The moment that traits are computed for; now by default.
    #[param(value_type = Option<String>, example = "2026-01-01T00:00:00Z")]
    as_of: Option<GivenTime>,
    /// Also when they came to segments and left them.
    history: Option<bool>,
}

/// A person as `people` has them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Person {
    /// The columns of `people`.
    #[schema(value_type = Object)]
    person: serde_json::Value,
    /// The records that they are known by.
    #[schema(value_type = Vec<Object>)]
    records: Vec<serde_json::Value>,
    /// What they are to the business: customer, lead, contact, vendor, employee, and the stage.
    #[schema(value_type = Object)]
    roles: serde_json::Value,
    /// Their deals, the latest first.
    #[schema(value_type = Vec<Object>)]
    deals: Vec<serde_json::Value>,
    /// Their requests for support, the latest first.
    #[schema(value_type = Vec<Object>)]
    tickets: Vec<serde_json::Value>,
    /// The campaigns that they had to do with, the latest first.
    #[schema(value_type = Vec<Object>)]
    campaigns: Vec<serde_json::Value>,
    /// Their scores, where there are any.
    #[schema(value_type = Vec<Object>)]
    scores: Vec<serde_json::Value>,
    /// What they agreed to, and when.
    #[schema(value_type = Object)]
    consent: serde_json::Value,
    /// The segments that they belong to, as of each one's last refresh.
    segments: Vec<String>,
    /// When they came to segments and left them, oldest first, where `history` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    segment_changes: Option<Vec<PersonChange>>,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = String)]
    as_of: Timestamp,
}

/// One person: columns, traits, segments
#[utoipa::path(get, path = "/v1/persons/{person_id}", tag = "data",
    params(("person_id" = i64, Path, example = 1), Moment),
    responses((status = 200, body = Person), (status = 404, body = Problem), (status = 410, body = Problem)))]
pub(super) async fn show(
    State(server): State<Server>,
    Named(person_id): Named<i64>,
    Asked(moment): Asked<Moment>,
) -> Result<Json<Person>, Problem> {
    let as_of = server.moment(moment.as_of).await?;
    let history = moment.history.unwrap_or(false);
    let found = server.compute(move |server| async move {
        persons::show(server.place(), person_id, as_of, history).await
    });
    let found = found.await?;
    Ok(Json(Person {
        person: found.person,
        records: found.records,
        roles: found.roles,
        deals: found.deals,
        tickets: found.tickets,
        campaigns: found.campaigns,
        scores: found.scores,
        consent: found.consent,
        segments: found.segments,
        segment_changes: found.segment_changes,
        snapshot: found.snapshot,
        as_of: found.as_of,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// order, refund, deal, deal_stage, activity, ticket or identity; all by default.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Events of a page, 1,000 at most.
    limit: Option<u64>,
    /// What the page before gave as `next`.
    next: Option<String>,
    /// The moment to look from; now by default.
    #[param(value_type = Option<String>)]
    as_of: Option<GivenTime>,
}

/// What happened with a person, the latest first
#[utoipa::path(get, path = "/v1/persons/{person_id}/timeline", tag = "data",
    params(("person_id" = i64, Path, example = 1), Part),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 404, body = Problem), (status = 410, body = Problem)))]
pub(super) async fn timeline(
    State(server): State<Server>,
    Named(person_id): Named<i64>,
    Asked(part): Asked<Part>,
) -> Answered {
    let as_of = server.moment(part.as_of).await?;
    let asked = TimelineAsked {
        kind: part.kind,
        limit: part.limit,
        next: part.next,
    };
    let found = server.compute(move |server| async move {
        persons::timeline(server.place(), person_id, &asked, as_of).await
    });
    json(&found.await?)
}
