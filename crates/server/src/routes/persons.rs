//! One person: columns and timeline.

use axum::Json;
use rollbook_app::persons::{self, TimelineQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::answers::{EventType, Person, Timeline};
use crate::api::scalars::{Id, Identifier, Moment, Next, Whole};
use crate::http::extract::{PathParam, QueryParams};
use crate::problem::Problem;

/// Events per page at most.
const MAX_EVENTS: u64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonParams {
    /// The moment to compute traits for; now by default.
    #[param(inline, example = "2026-01-01T00:00:00Z")]
    as_of: Option<Moment>,
    /// Also return when they entered and left segments.
    #[param(example = true)]
    history: Option<bool>,
}

/// Shows one person: columns, traits, segments
#[utoipa::path(get, path = "/v1/persons/{person_id}", operation_id = "show_person", tag = "data",
    params(("person_id" = inline(Id), Path), PersonParams),
    responses((status = 200, body = Person)))]
pub(super) async fn show(
    Authorized(server): Authorized,
    PathParam(person_id): PathParam<Identifier>,
    QueryParams(params): QueryParams<PersonParams>,
) -> Result<Told<Json<Person>>, Problem> {
    let as_of = server.moment(params.as_of).await?;
    let history = params.history.unwrap_or(false);
    let found = server.compute(move |server| async move {
        persons::show(server.workspace(), person_id.as_i64(), as_of, history).await
    });
    Ok(Told(Answered::rows(1), Json(found.await?.try_into()?)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimelineParams {
    /// The type of events; all by default.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<EventType>,
    /// Events per page.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100, example = 10)]
    limit: Option<Whole>,
    /// The `next` of the page before; empty for the first page.
    #[param(value_type = Option<Next>, inline)]
    next: Option<String>,
    /// The moment to query as of; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// Lists the events of a person, newest first
#[utoipa::path(get, path = "/v1/persons/{person_id}/timeline", operation_id = "list_timeline", tag = "data",
    params(("person_id" = inline(Id), Path), TimelineParams),
    responses((status = 200, body = Timeline)))]
pub(super) async fn timeline(
    Authorized(server): Authorized,
    PathParam(person_id): PathParam<Identifier>,
    QueryParams(params): QueryParams<TimelineParams>,
) -> Result<Told<Json<Timeline>>, Problem> {
    let as_of = server.moment(params.as_of).await?;
    let limit = params.limit.map(|limit| limit.0);
    if let Some(limit) = limit.filter(|limit| !(1..=MAX_EVENTS).contains(limit)) {
        let message = format!("a page has 1 to {MAX_EVENTS} events, not {limit}");
        return Err(Problem::malformed("invalid_limit", message));
    }
    let query = TimelineQuery {
        kind: params.kind.map(|kind| kind.name().to_owned()),
        limit,
        next: params.next.filter(|next| !next.is_empty()),
    };
    let found = server.compute(move |server| async move {
        persons::timeline(server.workspace(), person_id.as_i64(), &query, as_of).await
    });
    let page: Timeline = found.await?.try_into()?;
    Ok(Told(Answered::rows(page.len()), Json(page)))
}
