//! Questions about segments: counts, changes, reasons, reach.

use axum::Json;
use axum::extract::State;
use rollbook_app::segments::{self, Since};
use rollbook_model::SegmentKey;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::answers::{
    Calendar, Changes, Counted, Explanation, HistoryEntry, Impact, NearMiss, Overlap, Reach,
};
use crate::extract::{Body, PathParam, PathParamPair, QueryParams};
use crate::problem::Problem;
use crate::scalars::{Beginning, Id, Identifier, Key, Keys, Moment, Over, Whole};
use crate::state::Server;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// The moment to look from; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// How many belong, with a checksum and whether it is up to date
#[utoipa::path(get, path = "/v1/segments/{key}/count", operation_id = "count_members", tag = "segments",
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Counted)))]
pub(super) async fn count(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<Json<Counted>, Problem> {
    Ok(Json(
        segments::count(server.workspace(), &key, server.now())
            .await?
            .into(),
    ))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// What the answer before gave as `until`, or a time; the beginning by default.
    #[param(value_type = Option<Beginning>, inline)]
    since: Option<String>,
}

/// Who came and who went, and why
#[utoipa::path(get, path = "/v1/segments/{key}/changes", operation_id = "list_changes", tag = "segments",
    params(("key" = inline(Key), Path), From),
    responses((status = 200, body = Changes)))]
pub(super) async fn changes(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(from): QueryParams<From>,
) -> Result<Json<Changes>, Problem> {
    let since = from.since.as_deref().map(str::parse::<Since>).transpose();
    let since = since.map_err(|reason| Problem::malformed("invalid_since", reason))?;
    Ok(Json(
        segments::changes(server.workspace(), &key, since)
            .await?
            .into(),
    ))
}

/// How large it was, and what changed that
#[utoipa::path(get, path = "/v1/segments/{key}/history", operation_id = "list_history", tag = "segments",
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Vec<HistoryEntry>)))]
pub(super) async fn history(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<Json<Vec<HistoryEntry>>, Problem> {
    let entries = segments::history(server.workspace(), &key).await?;
    Ok(Json(entries.into_iter().map(HistoryEntry::from).collect()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByChannel {
    /// That of the segment by default.
    #[param(inline)]
    channel: Option<Over>,
}

/// How many can be reached, and what holds the others back
#[utoipa::path(get, path = "/v1/segments/{key}/reach", operation_id = "show_reach", tag = "segments",
    params(("key" = inline(Key), Path), ByChannel),
    responses((status = 200, body = Reach)))]
pub(super) async fn reach(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(by): QueryParams<ByChannel>,
) -> Result<Json<Reach>, Problem> {
    let now = server.now();
    let reach = server.compute(move |server| async move {
        segments::reach(server.workspace(), &key, by.channel.map(|over| over.0), now).await
    });
    Ok(Json(reach.await?.into()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ahead {
    /// Days to look ahead.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 366, default = 30, example = 7)]
    days: Option<Whole>,
    /// The moment to begin at; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// Who comes and goes over the coming days if nothing happens
#[utoipa::path(get, path = "/v1/segments/{key}/calendar", operation_id = "show_calendar", tag = "segments",
    params(("key" = inline(Key), Path), Ahead),
    responses((status = 200, body = Calendar)))]
pub(super) async fn calendar(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(ahead): QueryParams<Ahead>,
) -> Result<Json<Calendar>, Problem> {
    let as_of = server.moment(ahead.as_of).await?;
    let given = ahead.days.map_or(30, |days| days.0);
    let days = u32::try_from(given)
        .ok()
        .filter(|days| (1..=366).contains(days));
    let days = days.ok_or_else(|| {
        let message = format!("a calendar has 1 to 366 days, not {given}");
        Problem::malformed("invalid_days", message)
    })?;
    let calendar = server.compute(move |server| async move {
        segments::calendar(server.workspace(), &key, days, as_of).await
    });
    Ok(Json(calendar.await?.into()))
}

/// Who fails one clause and no other
#[utoipa::path(get, path = "/v1/segments/{key}/near-miss", operation_id = "list_near_misses", tag = "segments",
    params(("key" = inline(Key), Path), When),
    responses((status = 200, body = NearMiss)))]
pub(super) async fn near_miss(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(when): QueryParams<When>,
) -> Result<Json<NearMiss>, Problem> {
    let as_of = server.moment(when.as_of).await?;
    let found = server.compute(move |server| async move {
        segments::near_miss(server.workspace(), &key, as_of).await
    });
    Ok(Json(found.await?.into()))
}

/// Why a person belongs, or does not
#[utoipa::path(get, path = "/v1/segments/{key}/explain/{person_id}", operation_id = "explain_member", tag = "segments",
    params(("key" = inline(Key), Path), ("person_id" = inline(Id), Path), When),
    responses((status = 200, body = Explanation)))]
pub(super) async fn explain(
    State(server): State<Server>,
    PathParamPair(key, person): PathParamPair<SegmentKey, Identifier>,
    QueryParams(when): QueryParams<When>,
) -> Result<Json<Explanation>, Problem> {
    let as_of = server.moment(when.as_of).await?;
    let explained = server.compute(move |server| async move {
        segments::explain(server.workspace(), &key, person.number(), as_of).await
    });
    Ok(Json(explained.await?.into()))
}

/// Criteria to hold against a segment's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"criteria": "total_spent >= 1000"}))]
pub(crate) struct ImpactRequest {
    /// A condition on `people`, or one `select person_id …`.
    #[schema(min_length = 1, max_length = 100000, example = "total_spent >= 500")]
    criteria: String,
    /// The moment to compute for; now by default.
    as_of: Option<Moment>,
}

/// Who would enter and leave if a segment had other criteria
#[utoipa::path(post, path = "/v1/segments/{key}/impact", operation_id = "preview_impact", tag = "segments", request_body = ImpactRequest,
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Impact)))]
pub(super) async fn impact(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    Body(edit): Body<ImpactRequest>,
) -> Result<Json<Impact>, Problem> {
    let as_of = server.moment(edit.as_of).await?;
    let impact = server.compute(move |server| async move {
        segments::impact(server.workspace(), &key, &edit.criteria, as_of).await
    });
    Ok(Json(impact.await?.into()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Several {
    /// Keys with commas between; all that were computed by default.
    #[param(value_type = Option<Keys>, inline)]
    keys: Option<String>,
}

/// How segments overlap, every pair once
#[utoipa::path(get, path = "/v1/segments/overlap", operation_id = "show_overlap", tag = "segments", params(Several),
    responses((status = 200, body = Overlap)))]
pub(super) async fn overlap(
    State(server): State<Server>,
    QueryParams(several): QueryParams<Several>,
) -> Result<Json<Overlap>, Problem> {
    let keys = super::members::keys(several.keys.as_deref())?;
    Ok(Json(
        segments::overlap(server.workspace(), &keys).await?.into(),
    ))
}
