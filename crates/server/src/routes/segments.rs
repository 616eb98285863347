//! Segments: list, save, delete, preview, refresh.

use axum::Json;
use axum::http::StatusCode;
use rollbook_app::segments::{
    self, Channel, Draft, ListedSegment, Percent, Refreshed, Schedule, Status,
};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::answers::{Clause, Outcome, typed};
use crate::api::scalars::{
    Freshness, Key, Label, Moment, NewKey, Over, Part, Prose, Refreshes, Time, plain,
};
use crate::http::extract::{Body, OnlySegments, PathParam};
use crate::problem::Problem;

/// A new segment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "key": "big-spenders-us",
    "name": "Big spenders in the US",
    "criteria": "total_spent >= 500 and country = 'US'"
}))]
pub(crate) struct NewSegment {
    /// The unique key.
    #[schema(value_type = NewKey)]
    key: SegmentKey,
    /// A condition on `people`, or one `select person_id …`.
    #[schema(min_length = 1, max_length = 100000, example = "total_spent >= 500")]
    criteria: String,
    name: Option<Label>,
    description: Option<Prose>,
    /// on_ingest (the default), manual, static, or an interval such as `15 minutes`.
    refresh: Option<Refreshes>,
    channel: Option<Over>,
    /// Percentage of the members that is held out, as text.
    holdout: Option<Part>,
    owner: Option<Label>,
    tags: Option<Vec<Label>>,
}

/// A revision of a segment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"criteria": "total_spent >= 1000"}))]
pub(crate) struct SegmentRevision {
    /// A condition on `people`, or one `select person_id …`.
    #[schema(min_length = 1, max_length = 100000, example = "total_spent >= 500")]
    criteria: String,
    /// Unchanged if absent, like all fields below.
    name: Option<Label>,
    description: Option<Prose>,
    refresh: Option<Refreshes>,
    channel: Option<Over>,
    /// Percentage of the members that is held out, as text.
    holdout: Option<Part>,
    owner: Option<Label>,
    tags: Option<Vec<Label>>,
}

/// Criteria to preview.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"criteria": "order_count >= 2", "as_of": "2026-01-01T00:00:00Z"}))]
pub(crate) struct PreviewRequest {
    /// A condition on `people`, or one `select person_id …`.
    #[schema(min_length = 1, max_length = 100000, example = "total_spent >= 500")]
    criteria: String,
    /// The moment to count as of; now by default.
    as_of: Option<Moment>,
}

/// Options of a refresh.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"as_of": "2026-01-01T00:00:00Z"}))]
pub(crate) struct RefreshRequest {
    /// The moment to compute as of; now by default.
    as_of: Option<Moment>,
    /// Evaluate all persons, not only those whom changes may concern.
    #[serde(default)]
    full: bool,
}

/// A segment with the size and freshness of its membership.
#[derive(Serialize, ToSchema)]
pub(crate) struct Segment {
    #[schema(value_type = Key)]
    key: SegmentKey,
    name: String,
    description: Option<String>,
    /// Null for keys that are bound.
    criteria: Option<String>,
    /// What is null because the key of the caller is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<Vec<String>>,
    revision: u64,
    #[schema(value_type = Time)]
    updated_at: Timestamp,
    #[schema(value_type = Refreshes)]
    refresh: Schedule,
    #[schema(value_type = Option<Over>)]
    channel: Option<Channel>,
    #[schema(value_type = Option<Part>)]
    holdout: Option<Percent>,
    owner: Option<String>,
    tags: Vec<String>,
    #[schema(value_type = Freshness)]
    status: Status,
    /// Why it is not fresh.
    reason: Option<String>,
    /// Since when, if known.
    #[schema(value_type = Option<Time>)]
    since: Option<Timestamp>,
    /// Number of members; null before the first refresh.
    count: Option<u64>,
    /// The snapshot of the data that was counted.
    #[schema(value_type = Option<u64>)]
    snapshot: Option<SnapshotNumber>,
    #[schema(value_type = Option<Time>)]
    as_of: Option<Timestamp>,
    #[schema(value_type = Option<Time>)]
    computed_at: Option<Timestamp>,
}

/// Members of previewed criteria.
#[derive(Serialize, ToSchema)]
pub(crate) struct Previewed {
    count: u64,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// Some member ids.
    sample: Vec<u64>,
    /// The number of persons that each `and` clause matches; empty for a query.
    clauses: Vec<Clause>,
    /// Probable mistakes in the criteria.
    warnings: Vec<String>,
}

/// A refreshed membership.
#[derive(Serialize, ToSchema)]
pub(crate) struct Membership {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    count: u64,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    revision: u64,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
    /// Number of persons who entered.
    entered: u64,
    /// Number of persons who left.
    left: u64,
}

impl From<ListedSegment> for Segment {
    fn from(listed: ListedSegment) -> Self {
        let definition = listed.definition;
        Self {
            key: definition.key,
            name: definition.name,
            description: definition.description,
            criteria: (!listed.is_masked).then_some(definition.criteria),
            masked: listed.is_masked.then(|| vec!["criteria".to_owned()]),
            revision: definition.revision,
            updated_at: definition.updated_at,
            refresh: definition.refresh,
            channel: definition.channel,
            holdout: definition.holdout,
            owner: definition.owner,
            tags: definition.tags,
            status: listed.freshness.status,
            reason: listed.freshness.reason,
            since: listed.freshness.since,
            count: listed.count,
            snapshot: listed.snapshot,
            as_of: listed.as_of,
            computed_at: listed.computed_at,
        }
    }
}

impl From<Refreshed> for Membership {
    fn from(refreshed: Refreshed) -> Self {
        Self {
            segment: refreshed.segment,
            count: refreshed.count,
            snapshot: refreshed.snapshot,
            revision: refreshed.revision,
            as_of: refreshed.as_of,
            computed_at: refreshed.computed_at,
            entered: 0,
            left: 0,
        }
    }
}

fn texts(labels: Vec<Label>) -> Vec<String> {
    labels.into_iter().map(|label| label.0.0).collect()
}

/// Lists all segments, by key
#[utoipa::path(get, path = "/v1/segments", operation_id = "list_segments", tag = "segments",
    responses((status = 200, body = Vec<Segment>)))]
pub(super) async fn list(Authorized(server): Authorized) -> Result<Json<Vec<Segment>>, Problem> {
    let listed = segments::list(server.workspace(), server.now()).await?;
    Ok(Json(listed.into_iter().map(Segment::from).collect()))
}

/// Creates a segment
#[utoipa::path(post, path = "/v1/segments", operation_id = "create_segment", tag = "segments", request_body = NewSegment,
    responses((status = 201, body = Segment)))]
pub(super) async fn create(
    Authorized(server): Authorized,
    Body(new): Body<NewSegment>,
) -> Result<Told<(StatusCode, Json<Segment>)>, Problem> {
    let at = server.now();
    let draft = Draft {
        name: plain(new.name),
        description: plain(new.description),
        refresh: new.refresh.map(|given| given.0),
        channel: new.channel.map(|given| given.0),
        holdout: new.holdout.map(|given| given.0),
        owner: plain(new.owner),
        tags: new.tags.map(texts),
        ..Draft::new(new.key, new.criteria)
    };
    let saved = server.compute(move |server| async move {
        let created = segments::create(server.workspace(), &draft, at).await?;
        segments::saved(server.workspace(), created, at).await
    });
    let saved: Segment = saved.await?.into();
    let told = Answered {
        segment: Some(saved.key.to_string()),
        ..Answered::default()
    };
    Ok(Told(told, (StatusCode::CREATED, Json(saved))))
}

/// Shows one segment
#[utoipa::path(get, path = "/v1/segments/{key}", operation_id = "show_segment", tag = "segments",
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Segment)))]
pub(super) async fn show(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<Json<Segment>, Problem> {
    let shown = segments::show(server.workspace(), &key, server.now()).await?;
    Ok(Json(shown.into()))
}

/// Saves a segment, or a new revision of one
#[utoipa::path(put, path = "/v1/segments/{key}", operation_id = "put_segment", tag = "segments", request_body = SegmentRevision,
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Segment)))]
pub(super) async fn replace(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    Body(change): Body<SegmentRevision>,
) -> Result<Json<Segment>, Problem> {
    let at = server.now();
    let draft = Draft {
        name: plain(change.name),
        description: plain(change.description),
        refresh: change.refresh.map(|given| given.0),
        channel: change.channel.map(|given| given.0),
        holdout: change.holdout.map(|given| given.0),
        owner: plain(change.owner),
        tags: change.tags.map(texts),
        ..Draft::new(key, change.criteria)
    };
    let saved = server.compute(move |server| async move {
        let put = segments::put(server.workspace(), &draft, at).await?;
        segments::saved(server.workspace(), put, at).await
    });
    Ok(Json(saved.await?.into()))
}

/// Deletes a segment; earlier snapshots keep it
#[utoipa::path(delete, path = "/v1/segments/{key}", operation_id = "delete_segment", tag = "segments",
    params(("key" = inline(Key), Path, example = "lapsed")),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn remove(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
) -> Result<StatusCode, Problem> {
    let at = server.now();
    let deleted = server.run_blocking(move |server| async move {
        segments::delete(server.workspace(), &key, at).await
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Counts the members of criteria, without saving anything
#[utoipa::path(post, path = "/v1/segments/preview", operation_id = "preview_criteria", tag = "segments", request_body = PreviewRequest,
    responses((status = 200, body = Previewed)))]
pub(super) async fn preview(
    Authorized(server): Authorized,
    Body(trial): Body<PreviewRequest>,
) -> Result<Told<Json<Previewed>>, Problem> {
    let now = server.now();
    let counted = server.compute(move |server| async move {
        let as_of = match trial.as_of {
            Some(_) => server.moment(trial.as_of).await?,
            None => segments::default_as_of(server.workspace(), now).await?,
        };
        segments::preview(server.workspace(), &trial.criteria, as_of).await
    });
    let counted = counted.await?;
    let rows = Answered::rows(counted.sample.len());
    let previewed = Previewed {
        count: counted.count,
        snapshot: counted.snapshot,
        as_of: counted.as_of,
        sample: counted.sample,
        clauses: counted.clauses.into_iter().map(Clause::from).collect(),
        warnings: counted.warnings,
    };
    Ok(Told(rows, Json(previewed)))
}

/// Refreshes a segment
#[utoipa::path(post, path = "/v1/segments/{key}/refresh", operation_id = "refresh_segment", tag = "segments", request_body = RefreshRequest,
    params(("key" = inline(Key), Path)),
    responses((status = 200, body = Membership)))]
pub(super) async fn refresh(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    Body(moment): Body<RefreshRequest>,
) -> Result<Json<Membership>, Problem> {
    let now = server.now();
    let as_of = match moment.as_of {
        Some(_) => server.moment(moment.as_of).await?,
        None => now,
    };
    let refreshed = server.compute(move |server| async move {
        segments::refresh_one(server.workspace(), &key, as_of, now, moment.full).await
    });
    let done = refreshed.await?;
    Ok(Json(Membership {
        entered: done.entered,
        left: done.left,
        ..done.refreshed.into()
    }))
}

/// Refreshes all segments, and returns the outcome of each
#[utoipa::path(post, path = "/v1/segments/refresh", operation_id = "refresh_segments", tag = "segments", request_body = RefreshRequest,
    responses((status = 200, body = Vec<Outcome>)))]
pub(super) async fn refresh_all(
    Authorized(server): Authorized,
    OnlySegments(keys): OnlySegments,
    Body(moment): Body<RefreshRequest>,
) -> Result<Json<Vec<Outcome>>, Problem> {
    let now = server.now();
    let as_of = match moment.as_of {
        Some(_) => server.moment(moment.as_of).await?,
        None => now,
    };
    let refreshed = server.compute(move |server| async move {
        segments::refresh(server.workspace(), &keys, as_of, now, moment.full).await
    });
    let rows = refreshed.await?;
    let rights = server.grant().rights;
    let rows = rows.iter().map(|outcome| outcome.row(rights)).collect();
    Ok(Json(typed(Value::Array(rows))?))
}
