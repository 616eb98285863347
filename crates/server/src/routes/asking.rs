//! Questions about segments: counts, changes, reasons, reach.

use axum::Json;
use axum::extract::State;
use rollbook_app::segments::{self, Channel, Since};
use rollbook_model::{GivenTime, SegmentKey};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Asked, Body, Named, NamedPair};
use crate::problem::Problem;
use crate::server::Server;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// The moment to look from; now by default.
    #[param(value_type = Option<String>)]
    as_of: Option<GivenTime>,
}

/// An answer whose shape the docs tell.
pub(super) type Answered = Result<Json<serde_json::Value>, Problem>;

pub(super) fn json<T: serde::Serialize>(answer: &T) -> Answered {
    let json = serde_json::to_value(answer);
    json.map(Json)
        .map_err(|error| Problem::malformed("internal", error.to_string()))
}

/// How many belong, with a checksum and whether it is up to date
#[utoipa::path(get, path = "/v1/segments/{key}/count", tag = "segments",
    params(("key" = String, Path, example = "big-spenders")),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn count(State(server): State<Server>, Named(key): Named<SegmentKey>) -> Answered {
    json(&segments::count(server.place(), &key, server.now()).await?)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// The `until` of the answer before, or a time; the beginning by default.
    since: Option<String>,
}

/// Who came and who went, and why
#[utoipa::path(get, path = "/v1/segments/{key}/changes", tag = "segments",
    params(("key" = String, Path, example = "big-spenders"), From),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn changes(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
    Asked(from): Asked<From>,
) -> Answered {
    let since = from.since.as_deref().map(str::parse::<Since>).transpose();
    let since = since.map_err(|reason| Problem::malformed("invalid_since", reason))?;
    json(&segments::changes(server.place(), &key, since).await?)
}

/// How large it was, and what changed that
#[utoipa::path(get, path = "/v1/segments/{key}/history", tag = "segments",
    params(("key" = String, Path, example = "big-spenders")),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn history(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
) -> Answered {
    json(&segments::history(server.place(), &key).await?)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Over {
    /// email or sms; that of the segment by default.
    #[param(value_type = Option<String>)]
    channel: Option<Channel>,
}

/// How many can be reached, and what holds the others back
#[utoipa::path(get, path = "/v1/segments/{key}/reach", tag = "segments",
    params(("key" = String, Path, example = "big-spenders"), Over),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn reach(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
    Asked(over): Asked<Over>,
) -> Answered {
    let now = server.now();
    let reach = server.compute(move |server| async move {
        segments::reach(server.place(), &key, over.channel, now).await
    });
    json(&reach.await?)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ahead {
    /// Days to look ahead, 1 to 366.
    #[param(default = 30)]
    days: Option<u32>,
    /// The moment to begin at; now by default.
    #[param(value_type = Option<String>)]
    as_of: Option<GivenTime>,
}

/// Who comes and goes over the coming days if nothing happens
#[utoipa::path(get, path = "/v1/segments/{key}/calendar", tag = "segments",
    params(("key" = String, Path, example = "big-spenders"), Ahead),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn calendar(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
    Asked(ahead): Asked<Ahead>,
) -> Answered {
    let (as_of, days) = (server.moment(ahead.as_of).await?, ahead.days.unwrap_or(30));
    if !(1..=366).contains(&days) {
        let message = format!("a calendar has 1 to 366 days, not {days}");
        return Err(Problem::malformed("invalid_days", message));
    }
    let calendar = server.compute(move |server| async move {
        segments::calendar(server.place(), &key, days, as_of).await
    });
    json(&calendar.await?)
}

/// Who fails one clause and no other
#[utoipa::path(get, path = "/v1/segments/{key}/near-miss", tag = "segments",
    params(("key" = String, Path, example = "big-spenders"), When),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn near_miss(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
    Asked(when): Asked<When>,
) -> Answered {
    let as_of = server.moment(when.as_of).await?;
    let found = server.compute(move |server| async move {
        segments::near_miss(server.place(), &key, as_of).await
    });
    json(&found.await?)
}

/// Why a person belongs, or does not
#[utoipa::path(get, path = "/v1/segments/{key}/explain/{person_id}", tag = "segments",
    params(("key" = String, Path, example = "big-spenders"), ("person_id" = u64, Path, example = 1), When),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn explain(
    State(server): State<Server>,
    NamedPair(key, person): NamedPair<SegmentKey, u64>,
    Asked(when): Asked<When>,
) -> Answered {
    let as_of = server.moment(when.as_of).await?;
    let explained = server.compute(move |server| async move {
        segments::explain(server.place(), &key, person, as_of).await
    });
    json(&explained.await?)
}

/// Criteria to hold against a segment's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"criteria": "total_spent >= 1000"}))]
pub(crate) struct Edit {
    criteria: String,
    /// The moment to compute for; now by default.
    #[schema(value_type = Option<String>)]
    as_of: Option<GivenTime>,
}

/// Who would enter and leave if a segment had other criteria
#[utoipa::path(post, path = "/v1/segments/{key}/impact", tag = "segments", request_body = Edit,
    params(("key" = String, Path, example = "big-spenders")),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn impact(
    State(server): State<Server>,
    Named(key): Named<SegmentKey>,
    Body(edit): Body<Edit>,
) -> Answered {
    let as_of = server.moment(edit.as_of).await?;
    let impact = server.compute(move |server| async move {
        segments::impact(server.place(), &key, &edit.criteria, as_of).await
    });
    json(&impact.await?)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Several {
    /// Keys with commas between; all that were computed by default.
    keys: Option<String>,
}

/// How segments overlap, every pair once
#[utoipa::path(get, path = "/v1/segments/overlap", tag = "segments", params(Several),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn overlap(
    State(server): State<Server>,
    Asked(several): Asked<Several>,
) -> Answered {
    let keys = super::members::keys(several.keys.as_deref())?;
    json(&segments::overlap(server.place(), &keys).await?)
}
