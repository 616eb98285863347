//! Read-only queries about segments: counts, changes, reach, calendar, explanations.

use axum::Json;
use rollbook_app::access::Right;
use rollbook_app::segments::{self, Since};
use rollbook_model::SegmentKey;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::answers::{
    Calendar, Changes, Counted, Explanation, HistoryEntry, Impact, NearMiss, Overlap, Reach,
};
use crate::api::scalars::{Beginning, Id, Identifier, Key, Keys, Moment, Over, Whole};
use crate::http::extract::{Body, PathParam, PathParamPair, QueryParams};
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsOfParams {
    /// The moment to query as of; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// Counts the members, with a checksum and the freshness
#[utoipa::path(get, path = "/v1/segments/{key}/count", operation_id = "count_members", tag = "segments",
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Counted)))]
pub(super) async fn count(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<Json<Counted>, Problem> {
    let counted = segments::count(server.workspace(), &key, server.now()).await?;
    let with_members = server.grant().rights.has(Right::Members);
    Ok(Json(Counted::of(counted, with_members)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesParams {
    /// The `until` of the answer before, or a time; the beginning by default.
    #[param(value_type = Option<Beginning>, inline)]
    since: Option<String>,
}

/// Lists who entered and left, and why
#[utoipa::path(get, path = "/v1/segments/{key}/changes", operation_id = "list_changes", tag = "segments",
    params(("key" = inline(Key), Path), ChangesParams),
    responses((status = 200, body = Changes)))]
pub(super) async fn changes(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(from): QueryParams<ChangesParams>,
) -> Result<Told<Json<Changes>>, Problem> {
    let since = from.since.as_deref().map(str::parse::<Since>).transpose();
    let since = since.map_err(|reason| Problem::malformed("invalid_since", reason))?;
    let changes = segments::changes(server.workspace(), &key, since).await?;
    let rows = changes.entered.len() + changes.left.len();
    Ok(Told(Answered::rows(rows), Json(changes.into())))
}

/// Lists the size over time, with the changes
#[utoipa::path(get, path = "/v1/segments/{key}/history", operation_id = "list_history", tag = "segments",
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Vec<HistoryEntry>)))]
pub(super) async fn history(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<Json<Vec<HistoryEntry>>, Problem> {
    let entries = segments::history(server.workspace(), &key).await?;
    Ok(Json(entries.into_iter().map(HistoryEntry::from).collect()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReachParams {
    /// The channel of the segment by default.
    #[param(inline)]
    channel: Option<Over>,
}

/// Counts the members who can be contacted, and those lost at each step
#[utoipa::path(get, path = "/v1/segments/{key}/reach", operation_id = "show_reach", tag = "segments",
    params(("key" = inline(Key), Path), ReachParams),
    responses((status = 200, body = Reach)))]
pub(super) async fn reach(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(by): QueryParams<ReachParams>,
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
pub(crate) struct CalendarParams {
    /// Days to look ahead.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 366, default = 30, example = 7)]
    days: Option<Whole>,
    /// The moment to start at; now by default.
    #[param(inline)]
    as_of: Option<Moment>,
}

/// Predicts entries and exits of the coming days, assuming no new data
#[utoipa::path(get, path = "/v1/segments/{key}/calendar", operation_id = "show_calendar", tag = "segments",
    params(("key" = inline(Key), Path), CalendarParams),
    responses((status = 200, body = Calendar)))]
pub(super) async fn calendar(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(ahead): QueryParams<CalendarParams>,
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

/// Finds near misses: persons who fail exactly one clause
#[utoipa::path(get, path = "/v1/segments/{key}/near-miss", operation_id = "list_near_misses", tag = "segments",
    params(("key" = inline(Key), Path), AsOfParams),
    responses((status = 200, body = NearMiss)))]
pub(super) async fn near_miss(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(when): QueryParams<AsOfParams>,
) -> Result<Told<Json<NearMiss>>, Problem> {
    let as_of = server.moment(when.as_of).await?;
    let found = server.compute(move |server| async move {
        segments::near_miss(server.workspace(), &key, as_of).await
    });
    let found = found.await?;
    let rows = found.clauses.iter().map(|clause| clause.sample.len());
    Ok(Told(Answered::rows(rows.sum()), Json(found.into())))
}

/// Explains why a person is a member, or is not
#[utoipa::path(get, path = "/v1/segments/{key}/explain/{person_id}", operation_id = "explain_member", tag = "segments",
    params(("key" = inline(Key), Path), ("person_id" = inline(Id), Path), AsOfParams),
    responses((status = 200, body = Explanation)))]
pub(super) async fn explain(
    Authorized(server): Authorized,
    PathParamPair(key, person): PathParamPair<SegmentKey, Identifier>,
    QueryParams(when): QueryParams<AsOfParams>,
) -> Result<Told<Json<Explanation>>, Problem> {
    let as_of = server.moment(when.as_of).await?;
    let explained = server.compute(move |server| async move {
        segments::explain(server.workspace(), &key, person.as_u64(), as_of).await
    });
    Ok(Told(Answered::rows(1), Json(explained.await?.into())))
}

/// Criteria to compare with those of a segment.
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

/// Computes who would enter and leave if a segment had other criteria
#[utoipa::path(post, path = "/v1/segments/{key}/impact", operation_id = "preview_impact", tag = "segments", request_body = ImpactRequest,
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Impact)))]
pub(super) async fn impact(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    Body(edit): Body<ImpactRequest>,
) -> Result<Told<Json<Impact>>, Problem> {
    let as_of = server.moment(edit.as_of).await?;
    let impact = server.compute(move |server| async move {
        segments::impact(server.workspace(), &key, &edit.criteria, as_of).await
    });
    let impact = impact.await?;
    let rows = impact.entered_sample.len() + impact.left_sample.len();
    Ok(Told(Answered::rows(rows), Json(impact.into())))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverlapParams {
    /// Comma-separated keys; all refreshed segments by default.
    #[param(value_type = Option<Keys>, inline)]
    keys: Option<String>,
}

/// Computes how segments overlap, pair by pair
#[utoipa::path(get, path = "/v1/segments/overlap", operation_id = "show_overlap", tag = "segments", params(OverlapParams),
    responses((status = 200, body = Overlap)))]
pub(super) async fn overlap(
    Authorized(server): Authorized,
    QueryParams(several): QueryParams<OverlapParams>,
) -> Result<Json<Overlap>, Problem> {
    let keys = crate::routes::members::keys(several.keys.as_deref())?;
    Ok(Json(
        segments::overlap(server.workspace(), &keys).await?.into(),
    ))
}
