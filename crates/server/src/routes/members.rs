//! Members of a segment: pages from one membership, or a stream of all members.

mod parts;
mod stream;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::access::Right;
use rollbook_app::rows::export::{self, ExportFormat};
use rollbook_app::segments::{self, MemberPage, Pull, Refreshed, SetOperations, Status};
use rollbook_app::{AppError, RecordBatch};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::access::Authorized;
use crate::answered::Answered;
use crate::api::answers::People;
use crate::api::scalars::{
    self, Binary, Columns, Freshness, Key, Keys, Over, PageToken, Part, Time, Whole,
};
use crate::http::accept::chosen;
use crate::http::etag::is_current;
use crate::http::extract::{PathParam, QueryParams, page_size};
use crate::problem::Problem;

/// Members per page by default.
const DEFAULT_LIMIT: u64 = 1000;
/// Names in a comma-separated list at most.
const MAX_NAMES: usize = 100;
/// Request headers that the answer depends on.
const VARY: &str = "accept, accept-encoding";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembersParams {
    /// Members per page.
    #[param(value_type = Option<u64>, example = 3, default = 1000, minimum = 1, maximum = 100000)]
    limit: Option<Whole>,
    /// The token from the page before; empty for the first page.
    #[param(value_type = Option<PageToken>, inline)]
    page_token: Option<String>,
    /// All members in one answer, which is streamed; not available as json.
    #[param(example = false)]
    stream: Option<bool>,
    /// Only members who can be contacted over `channel`.
    #[param(example = false)]
    deliverable: Option<bool>,
    /// The channel of the segment by default.
    #[param(inline)]
    channel: Option<Over>,
    /// Only a sample of this size in percent, drawn by a hash of the person id.
    #[param(inline)]
    sample: Option<Part>,
    /// Union with the members of these segments, comma-separated keys.
    #[param(value_type = Option<Keys>, inline)]
    or: Option<String>,
    /// Then intersection with the members of each of these segments.
    #[param(value_type = Option<Keys>, inline)]
    and: Option<String>,
    /// Then without the members of these segments.
    #[param(value_type = Option<Keys>, inline)]
    not: Option<String>,
    /// Columns of `people` to return beside the id, comma-separated.
    #[param(value_type = Option<Columns>, inline)]
    fields: Option<String>,
    /// `sha256` hashes e-mail addresses and phone numbers for ad platforms.
    #[param(inline)]
    hash: Option<scalars::Hash>,
    /// Format of the answer; by default the one that `accept` prefers, else json, or ndjson with `stream`.
    #[param(inline)]
    format: Option<Format>,
}

/// Format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Ndjson,
    Csv,
    Arrow,
    Parquet,
}

impl Format {
    /// The formats of a page with their media types.
    const ALL: [(Self, &[&str]); 5] = [
        (Self::Json, &["application/json"]),
        (
            Self::Ndjson,
            &[
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
            ],
        ),
        (Self::Csv, &["text/csv"]),
        (Self::Arrow, &["application/vnd.apache.arrow.stream"]),
        (Self::Parquet, &["application/vnd.apache.parquet"]),
    ];

    /// The requested format, else the one of `offered` that the caller accepts.
    fn of(
        requested: Option<Self>,
        headers: &HeaderMap,
        offered: &[(Self, &[&str])],
    ) -> Result<Self, Problem> {
        let format = requested.or_else(|| chosen(headers, offered));
        format.ok_or_else(|| {
            let known: Vec<_> = offered.iter().map(|(_, names)| names[0]).collect();
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "the members are not available in any format that `accept` names",
            )
            .hint(&format!("accept {}", known.join(", ")))
        })
    }

    /// The export format; `None` for JSON.
    fn export_format(self) -> Option<ExportFormat> {
        Some(match self {
            Self::Json => return None,
            Self::Ndjson => ExportFormat::Ndjson,
            Self::Csv => ExportFormat::Csv,
            Self::Arrow => ExportFormat::Arrow,
            Self::Parquet => ExportFormat::Parquet,
        })
    }
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct Members {
    /// Person ids in order.
    members: Vec<u64>,
    /// The same persons with the columns of `fields`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<People>>)]
    persons: Option<Box<RawValue>>,
    /// Columns of `fields` that are null because the key of the caller is not for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<Vec<String>>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
    /// Number of members on all pages.
    count: u64,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
    /// The freshness when the first page was requested.
    #[schema(value_type = Freshness)]
    status: Status,
    /// Why it is not fresh.
    reason: Option<String>,
    /// Since when, if known.
    #[schema(value_type = Option<Time>)]
    since: Option<Timestamp>,
}

/// Lists the members as of the last refresh
///
/// All pages are from the membership of the first page, whatever is ingested or refreshed meanwhile. In
/// formats other than JSON the token of the next page is in the header `x-next-page-token`, and the names of masked
/// columns are in `x-masked-columns`.
#[utoipa::path(get, path = "/v1/segments/{key}/members", operation_id = "list_members", tag = "segments",
    params(("key" = inline(Key), Path), MembersParams),
    responses(
        (status = 200, content(
            (Members = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Binary = "application/vnd.apache.arrow.stream"), (Binary = "application/vnd.apache.parquet"),
        )),
        (status = 304, description = "Unchanged since the answer with that `etag`")
    ))]
pub(super) async fn page(
    Authorized(server): Authorized,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(params): QueryParams<MembersParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let columns = columns(params.fields.as_deref())?;
    if params.stream == Some(true) {
        server.grant().require(&[Right::Export])?;
        return stream::answer(server, key, params, columns, &headers).await;
    }
    let given = params.limit.map_or(DEFAULT_LIMIT, |limit| limit.0);
    let limit = page_size(given, server.limits().page, "members")?;
    let token = params
        .page_token
        .as_deref()
        .filter(|token| !token.is_empty());
    let pull = params.pull(limit)?;
    let format = Format::of(params.format, &headers, &Format::ALL)?;
    let page = match pull.is_of_all() || token.is_some() {
        true => {
            segments::members_page(server.workspace(), &key, token, &pull, server.now()).await?
        }
        // A query selects the members.
        false => {
            let page = server.compute(move |server| async move {
                segments::members_page(server.workspace(), &key, None, &pull, server.now()).await
            });
            page.await?
        }
    };
    let of_page = (token, &page.members);
    let tag = tag(
        &page.refreshed,
        page.count,
        &(page.freshness.status.name(), of_page),
        &params.fingerprint(limit),
        format,
    );
    // Columns may change while the membership does not.
    let has_etag = params.fields.is_none();
    if has_etag && is_current(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let masked = server.grant().masked(&columns);
    let rows = match columns.is_empty() {
        true => None,
        false => {
            let (of, members) = (page.refreshed.clone(), page.members.clone());
            let hash = params.hash.map(|hash| hash.0);
            let found = server.compute(move |server| async move {
                segments::fields(server.workspace(), &of, &members, &columns, hash).await
            });
            Some(found.await?)
        }
    };
    let count = page.members.len();
    let mut response = encode(page, rows, &masked, format)?;
    Answered::rows(count).tell(response.headers_mut());
    if has_etag && let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

impl MembersParams {
    fn pull(&self, limit: usize) -> Result<Pull, Problem> {
        Ok(Pull {
            limit,
            deliverable: self
                .deliverable
                .unwrap_or(false)
                .then_some(self.channel.map(|over| over.0)),
            channel: self.channel.map(|over| over.0),
            sample: self.sample.map(|part| part.0),
            combined: SetOperations {
                or: keys(self.or.as_deref())?,
                and: keys(self.and.as_deref())?,
                not: keys(self.not.as_deref())?,
            },
        })
    }

    /// The parameters as text, for the entity tag.
    fn fingerprint(&self, limit: usize) -> String {
        format!(
            "{limit} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.deliverable,
            self.channel,
            self.sample,
            self.or,
            self.and,
            self.not,
            self.fields,
            self.hash
        )
    }
}

fn not_modified(tag: String) -> Response {
    let headers = [(header::ETAG, tag), (header::VARY, VARY.to_owned())];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

/// The entity tag of an answer: differs if anything in the answer does.
fn tag(
    refreshed: &Refreshed,
    count: u64,
    page: &impl Hash,
    params: &str,
    format: Format,
) -> String {
    let mut hash = DefaultHasher::new();
    (page, params, format!("{format:?}"), count).hash(&mut hash);
    (
        refreshed.snapshot.0,
        refreshed.revision,
        refreshed.computed_at.micros(),
        refreshed.gone(),
    )
        .hash(&mut hash);
    format!("\"{:016x}\"", hash.finish())
}

/// Splits a comma-separated list of names.
///
/// # Errors
/// 400 `invalid_query` if there are too many.
fn names(text: Option<&str>) -> Result<Vec<&str>, Problem> {
    let names = text.into_iter().flat_map(|text| text.split(','));
    let names: Vec<&str> = names.map(str::trim).collect();
    match names.len() {
        count if count > MAX_NAMES => Err(Problem::malformed(
            "invalid_query",
            format!("a list has at most {MAX_NAMES} names, not {count}"),
        )),
        _ => Ok(names),
    }
}

/// The columns without duplicates and without `person_id`, which is always returned.
fn columns(text: Option<&str>) -> Result<Vec<String>, Problem> {
    let mut columns: Vec<String> = Vec::new();
    for name in names(text)? {
        if name != "person_id" && !columns.iter().any(|known| known == name) {
            columns.push(name.to_owned());
        }
    }
    Ok(columns)
}

/// Parses a comma-separated list of keys.
pub(super) fn keys(text: Option<&str>) -> Result<Vec<SegmentKey>, Problem> {
    let keys = names(text)?.into_iter();
    keys.map(|key| {
        let wrong = |error: rollbook_model::InvalidName| {
            Problem::malformed("invalid_name", error.to_string())
        };
        key.parse().map_err(wrong)
    })
    .collect()
}

fn encode(
    page: MemberPage,
    rows: Option<RecordBatch>,
    masked: &[String],
    format: Format,
) -> Result<Response, Problem> {
    let next = page.next.as_deref();
    let headers = headers(&page.refreshed, &page.freshness, page.count, next, masked);
    let failed = |source| Problem::from(AppError::Rows { source });
    let Some(format) = format.export_format() else {
        let rows = rows.map(|rows| rollbook_app::rows::json(&[rows]));
        let rows = rows.transpose().map_err(failed)?;
        let persons = rows.and_then(|bytes| String::from_utf8(bytes).ok());
        let persons = persons.and_then(|text| RawValue::from_string(text).ok());
        let members = Members {
            members: page.members,
            persons,
            masked: (!masked.is_empty()).then(|| masked.to_vec()),
            next_page_token: page.next,
            count: page.count,
            snapshot: page.refreshed.snapshot,
            revision: page.refreshed.revision,
            computed_at: page.refreshed.computed_at,
            status: page.freshness.status,
            reason: page.freshness.reason,
            since: page.freshness.since,
        };
        return Ok((headers, Json(members)).into_response());
    };
    let rows = rows.map_or_else(|| export::ids(&page.members), Ok);
    let bytes = export::write_all(format, &rows.map_err(failed)?).map_err(failed)?;
    let kind = [(header::CONTENT_TYPE, format.media_type())];
    Ok((headers, kind, bytes).into_response())
}

/// Headers with the metadata of a page, for formats other than JSON.
fn headers(
    refreshed: &Refreshed,
    freshness: &segments::Freshness,
    count: u64,
    next: Option<&str>,
    masked: &[String],
) -> HeaderMap {
    let masked = (!masked.is_empty()).then(|| masked.join(","));
    let pairs = [
        ("x-masked-columns", masked),
        ("x-next-page-token", next.map(str::to_owned)),
        ("x-count", Some(count.to_string())),
        ("x-snapshot", Some(refreshed.snapshot.to_string())),
        ("x-revision", Some(refreshed.revision.to_string())),
        ("x-computed-at", Some(refreshed.computed_at.to_string())),
        ("x-status", Some(freshness.status.name().to_owned())),
        ("x-reason", freshness.reason.clone()),
        ("x-since", freshness.since.map(|since| since.to_string())),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
    for (name, value) in pairs {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}
