//! One person.

use axum::Json;
use axum::extract::State;
use rollbook_app::persons::{self, TimelineAsked};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answers::{EventType, Person, Timeline};
use crate::extract::{PathParam, QueryParams};
use crate::problem::Problem;
use crate::scalars::{Id, Identifier, Moment, Next, Whole};
use crate::state::Server;

/// Events of a page at most.
const PAGE: u64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// The moment that traits are computed for; now by default.
    #[param(inline, example = "2026-01-01T00:00:00Z")]
    as_of: Option<Moment>,
    /// Also when they came to segments and left them.
    #[param(example = true)]
    history: Option<bool>,
}

/// One person: columns, traits, segments
#[utoipa::path(get, path = "/v1/persons/{person_id}", operation_id = "show_person", tag = "data",
    params(("person_id" = inline(Id), Path), Seen),
    responses((status = 200, body = Person)))]
pub(super) async fn show(
    State(server): State<Server>,
    PathParam(person_id): PathParam<Identifier>,
    QueryParams(seen): QueryParams<Seen>,
) -> Result<Json<Person>, Problem> {
    let as_of = server.moment(seen.as_of).await?;
    let history = seen.history.unwrap_or(false);
    let found = server.compute(move |server| async move {
        persons::show(server.workspace(), person_id.signed(), as_of, history).await
    });
    Ok(Json(found.await?.try_into()?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// All by default.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<EventType>,
    /// Events of a page.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100, example = 10)]
    limit: Option<Whole>,
    /// What the page before gave as `next`; empty for the first page.
    #[param(value_type = Option<Next>, inline)]
    next: Option<String>,
    /// The moment to look from; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// What happened with a person, the latest first
#[utoipa::path(get, path = "/v1/persons/{person_id}/timeline", operation_id = "list_timeline", tag = "data",
    params(("person_id" = inline(Id), Path), Part),
    responses((status = 200, body = Timeline)))]
pub(super) async fn timeline(
    State(server): State<Server>,
    PathParam(person_id): PathParam<Identifier>,
    QueryParams(part): QueryParams<Part>,
) -> Result<Json<Timeline>, Problem> {
    let as_of = server.moment(part.as_of).await?;
    let limit = part.limit.map(|limit| limit.0);
    if let Some(limit) = limit.filter(|limit| !(1..=PAGE).contains(limit)) {
        let message = format!("a page has 1 to {PAGE} events, not {limit}");
        return Err(Problem::malformed("invalid_limit", message));
    }
    let asked = TimelineAsked {
        kind: part.kind.map(|kind| kind.name().to_owned()),
        limit,
        next: part.next.filter(|next| !next.is_empty()),
    };
    let found = server.compute(move |server| async move {
        persons::timeline(server.workspace(), person_id.signed(), &asked, as_of).await
    });
    Ok(Json(found.await?.try_into()?))
}
