//! Members, page by page, all pages of one membership, or all in one answer.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::export::{self, Form};
use rollbook_app::segments::{self, Combined, Page, Pull, Refreshed, Status};
use rollbook_app::{AppError, RecordBatch};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::accept::chosen;
use crate::answers::People;
use crate::etag::is_held;
use crate::extract::{PathParam, QueryParams, page_size};
use crate::problem::Problem;
use crate::scalars::{
    self, Binary, Columns, Freshness, Key, Keys, Over, PageToken, Part, Time, Whole,
};
use crate::state::Server;

mod whole;

/// Members of a page where the caller does not say.
const PAGE: u64 = 1000;
/// Names of a list at most.
const NAMES: usize = 100;
/// The headers of a request that another answer may follow from.
const VARY: &str = "accept, accept-encoding";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Members of a page.
    #[param(value_type = Option<u64>, example = 3, default = 1000, minimum = 1, maximum = 100000)]
    limit: Option<Whole>,
    /// What the page before gave; empty for the first page.
    #[param(value_type = Option<PageToken>, inline)]
    page_token: Option<String>,
    /// All members in one answer, which is written while it is read; not as json.
    #[param(example = false)]
    stream: Option<bool>,
    /// Only those who can be reached: by the channel named, else that of the segment.
    #[param(example = false)]
    deliverable: Option<bool>,
    /// That of the segment by default.
    #[param(inline)]
    channel: Option<Over>,
    /// Only this part of them in percent, drawn by a hash of the person.
    #[param(inline)]
    sample: Option<Part>,
    /// Together with the members of these segments, keys with commas between.
    #[param(value_type = Option<Keys>, inline)]
    or: Option<String>,
    /// Of these, only the members of all of these segments.
    #[param(value_type = Option<Keys>, inline)]
    and: Option<String>,
    /// Of these, no members of these segments.
    #[param(value_type = Option<Keys>, inline)]
    not: Option<String>,
    /// Columns of `people` to give beside the id, with commas between.
    #[param(value_type = Option<Columns>, inline)]
    fields: Option<String>,
    /// sha256 gives e-mails and phones as hashes for ad platforms.
    #[param(inline)]
    hash: Option<scalars::Hash>,
    /// The form of the answer; `accept` chooses where it is left out, and json or, with `stream`, ndjson else.
    #[param(inline)]
    format: Option<Format>,
}

/// How a page is written.
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
    /// The forms of a page, each by its media types.
    const OF_PAGES: [(Self, &[&str]); 5] = [
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

    /// The one that the query names, or else of `offered` the one that the caller accepts.
    fn of(
        named: Option<Self>,
        headers: &HeaderMap,
        offered: &[(Self, &[&str])],
    ) -> Result<Self, Problem> {
        let format = named.or_else(|| chosen(headers, offered));
        format.ok_or_else(|| {
            let known: Vec<_> = offered.iter().map(|(_, names)| names[0]).collect();
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "the members cannot be given in any form that `accept` names",
            )
            .hint(&format!("accept {}", known.join(", ")))
        })
    }

    /// What it is beside JSON.
    fn form(self) -> Option<Form> {
        Some(match self {
            Self::Json => return None,
            Self::Ndjson => Form::Ndjson,
            Self::Csv => Form::Csv,
            Self::Arrow => Form::Arrow,
            Self::Parquet => Form::Parquet,
        })
    }
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct Members {
    /// Ids of persons, in order.
    members: Vec<u64>,
    /// The same persons with the columns that `fields` asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<People>>)]
    persons: Option<serde_json::Value>,
    /// Asks for the next page; null on the last one.
    next_page_token: Option<String>,
    /// Members in all.
    count: u64,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
    /// How it stood when the first page was asked for.
    #[schema(value_type = Freshness)]
    status: Status,
    /// Why it is not fresh.
    reason: Option<String>,
    /// Since when, where that is known.
    #[schema(value_type = Option<Time>)]
    since: Option<Timestamp>,
}

/// Who belongs, as of the last refresh
///
/// All pages of one pull are of one membership, whatever is taken in or refreshed meanwhile. In
/// forms other than JSON the token of the next page is in the header `x-next-page-token`.
#[utoipa::path(get, path = "/v1/segments/{key}/members", operation_id = "list_members", tag = "segments",
    params(("key" = inline(Key), Path), Which),
    responses(
        (status = 200, content(
            (Members = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Binary = "application/vnd.apache.arrow.stream"), (Binary = "application/vnd.apache.parquet"),
        )),
        (status = 304, description = "Nothing changed since the answer with that `etag`")
    ))]
pub(super) async fn page(
    State(server): State<Server>,
    PathParam(key): PathParam<SegmentKey>,
    QueryParams(which): QueryParams<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let columns = columns(which.fields.as_deref())?;
    if which.stream == Some(true) {
        return whole::answer(server, key, which, columns, &headers).await;
    }
    let given = which.limit.map_or(PAGE, |limit| limit.0);
    let limit = page_size(given, server.limits().page, "members")?;
    let token = which
        .page_token
        .as_deref()
        .filter(|token| !token.is_empty());
    let pull = which.pull(limit)?;
    let format = Format::of(which.format, &headers, &Format::OF_PAGES)?;
    let page = segments::members_page(server.workspace(), &key, token, &pull, server.now()).await?;
    let of_page = (token, &page.members);
    let tag = tag(
        &page.refreshed,
        page.count,
        &(page.freshness.status.name(), of_page),
        &which.given(limit),
        format,
    );
    // Columns of persons may change while the membership stands.
    let is_pinned = which.fields.is_none();
    if is_pinned && is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let rows = match columns.is_empty() {
        true => None,
        false => {
            let (of, members) = (page.refreshed.clone(), page.members.clone());
            let hash = which.hash.map(|hash| hash.0);
            let found = server.compute(move |server| async move {
                segments::fields(server.workspace(), &of, &members, &columns, hash).await
            });
            Some(found.await?)
        }
    };
    let mut response = written(page, rows, format)?;
    if is_pinned && let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

impl Which {
    fn pull(&self, limit: usize) -> Result<Pull, Problem> {
        Ok(Pull {
            limit,
            deliverable: self
                .deliverable
                .unwrap_or(false)
                .then_some(self.channel.map(|over| over.0)),
            sample: self.sample.map(|part| part.0),
            combined: Combined {
                or: keys(self.or.as_deref())?,
                and: keys(self.and.as_deref())?,
                not: keys(self.not.as_deref())?,
            },
        })
    }

    /// What tells one question from another.
    fn given(&self, limit: usize) -> String {
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

/// What stands for an answer: it is another one as soon as anything in it is.
fn tag(rests_on: &Refreshed, count: u64, page: &impl Hash, given: &str, format: Format) -> String {
    let mut hash = DefaultHasher::new();
    (page, given, format!("{format:?}"), count).hash(&mut hash);
    (
        rests_on.snapshot.0,
        rests_on.revision,
        rests_on.computed_at.micros(),
        rests_on.gone(),
    )
        .hash(&mut hash);
    format!("\"{:016x}\"", hash.finish())
}

/// Names with commas between.
fn names(text: Option<&str>) -> Result<Vec<&str>, Problem> {
    let names = text.into_iter().flat_map(|text| text.split(','));
    let names: Vec<&str> = names.map(str::trim).collect();
    match names.len() {
        count if count > NAMES => Err(Problem::malformed(
            "invalid_query",
            format!("a list has {NAMES} names at most, not {count}"),
        )),
        _ => Ok(names),
    }
}

/// Columns, each once; the id of the person is there in any case.
fn columns(text: Option<&str>) -> Result<Vec<String>, Problem> {
    let mut columns: Vec<String> = Vec::new();
    for name in names(text)? {
        if name != "person_id" && !columns.iter().any(|known| known == name) {
            columns.push(name.to_owned());
        }
    }
    Ok(columns)
}

/// Keys with commas between.
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

fn written(page: Page, rows: Option<RecordBatch>, format: Format) -> Result<Response, Problem> {
    let next = page.next.as_deref();
    let headers = headers(&page.refreshed, &page.freshness, page.count, next);
    let failed = |source| Problem::from(AppError::Rows { source });
    let Some(form) = format.form() else {
        let rows = rows.map(|rows| rollbook_app::rows::json(&[rows]));
        let rows = rows.transpose().map_err(failed)?;
        let persons = rows.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let members = Members {
            members: page.members,
            persons,
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
    let bytes = export::written(form, &rows.map_err(failed)?).map_err(failed)?;
    let kind = [(header::CONTENT_TYPE, form.media_type())];
    Ok((headers, kind, bytes).into_response())
}

/// What JSON says in its envelope, for the other forms.
fn headers(
    refreshed: &Refreshed,
    freshness: &segments::Freshness,
    count: u64,
    next: Option<&str>,
) -> HeaderMap {
    let pairs = [
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
