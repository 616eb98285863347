//! Rows that come in as a request's body.

use std::path::Path as FilePath;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::idempotency::{KnownBy, Post, answered, release};
use rollbook_app::ingest::Ingested;
use rollbook_app::wal::entry_of;
use rollbook_app::{AppError, Compression};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::bodies::{MediaType, Parts, in_time, is_packed_so, media_type, packing, too_large};
use crate::extract::parsed;
use crate::journal::acknowledge;
use crate::posts::take_turn;
use crate::problem::Problem;
use crate::scalars::{Header, Provider, Source};
use crate::state::Server;
use crate::state::queue::Waiting;

/// Bytes by which a packing is known.
const MAGIC: usize = 4;
/// Characters of an idempotency key at most.
const KEY_CHARS: usize = 255;
/// Characters that a preference may have.
const MOST_PREFERRED: usize = 255;
/// What a caller prefers who does not wait for the commit.
const ASYNC: &str = "respond-async";

/// What became of the rows.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The snapshot that holds the rows.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The run, which requests that come at once may share; `rollbook ingest undo` takes back all
    /// of it by this name.
    #[schema(pattern = "^[A-Za-z0-9-]{1,64}$", value_type = String)]
    batch: BatchId,
    tables: Vec<TableCounts>,
    /// Statuses that nothing here knows, with what their rows count as; told once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unknown_statuses: Vec<UnknownStatus>,
}

/// Rows with a status that nothing here knows.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnknownStatus {
    table: String,
    column: String,
    status: String,
    rows: u64,
    counts_as: String,
}

/// Rows of one table: `read` is the sum of the others.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableCounts {
    table: String,
    read: u64,
    accepted: u64,
    unchanged: u64,
    quarantined: u64,
    /// Rows that name an order which is not in the lake, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_order: Option<u64>,
}

/// Rows that are durable, and will be in a snapshot soon.
#[derive(Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    /// The request: what goes to quarantine is listed with a file of this name.
    #[schema(pattern = "^[A-Za-z0-9-]{1,64}$", value_type = String)]
    batch: BatchId,
    /// Objects of the journal that wait for the next snapshot.
    journal_objects: u64,
    /// Their bytes.
    journal_bytes: u64,
}

/// Takes rows in; they are committed when the answer comes
///
/// The source is what a file would be called, such as `orders`: the mapping whose pattern it fits
/// reads the body. With an `Idempotency-Key` a request that is sent again is done once and gets
/// the first answer again; one that is refused gives its key back.
///
/// A `charset` of the content type is obeyed; without one the encoding is found out. Bodies may be
/// packed with gzip or zstd.
///
/// With `Prefer: respond-async` the answer is 202 and comes as soon as the body is durable in the
/// journal; the rows are in a snapshot some seconds later, those of one source in the order of
/// their requests. Rows that fail are in quarantine then.
#[utoipa::path(post, path = "/v1/ingest/{provider}/{source}", operation_id = "ingest_rows", tag = "data",
    params(
        ("provider" = inline(Provider), Path),
        ("source" = inline(Source), Path),
        ("Idempotency-Key" = inline(Option<Header>), Header, description = "Names the request",
            example = "orders-2026-01-05"),
        ("Prefer" = Option<String>, Header, pattern = "^[ -~]*$", max_length = 255, example = "respond-async",
            description = "`respond-async` acknowledges before the rows are in a snapshot"),
    ),
    request_body(content(
        (String = "application/x-ndjson", example =
            "{\"external_id\":\"web-1\",\"person_external_id\":\"P1\",\"type\":\"page_viewed\",\"channel\":\"web\",\"occurred_at\":\"2026-01-05T10:00:00Z\"}"),
        (String = "text/csv", example =
            "external_id,person_external_id,type,channel,occurred_at\nweb-2,P1,page_viewed,web,2026-01-05T10:00:00Z\n"),
    )),
    responses((status = 200, body = Accepted), (status = 202, body = Acknowledged)))]
pub(super) async fn post_rows(
    State(server): State<Server>,
    Path((provider, source)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let provider: ProviderName = parsed(&provider, "invalid_path")?;
    let known_by = key(&headers)?;
    let may_wait = prefers_async(&headers)?;
    if may_wait && server.journal().is_full() {
        return Err(journal_full());
    }
    let kind = media_type(&headers)?;
    let packing = packing(&headers)?;
    let name = file_name(&source, &kind)?;
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = server.limits().body_bytes;
    if announced.is_some_and(|length| length > most) {
        // Who asks before sending sends nothing.
        if !headers.contains_key(header::EXPECT) {
            Parts::of(body, most).linger().await;
        }
        return Err(too_large(most));
    }
    let internal = |source| Problem::from(AppError::TemporaryFolder { source });
    let folder = tempfile::tempdir().map_err(internal)?;
    let path = folder.path().join(name);
    receive(&server, body, &path, packing).await?;
    let (batch, at) = (server.new_batch(), server.now());
    let folder_of = server
        .mappings()
        .map(|folder| folder.join(provider.as_str()));
    let request = Post {
        provider,
        mappings: folder_of.filter(|folder| folder.is_dir()),
        body: path,
        charset: kind.charset,
        known_by,
        batch,
        at,
    };
    if may_wait {
        return acknowledged(&server, request).await;
    }
    let (answer, committed) = oneshot::channel();
    server.queue().push(Waiting {
        post: request,
        answer,
        folder,
    });
    // On a task of its own: a caller who hangs up must not stop a commit half way.
    tokio::spawn(take_turn(server.clone()));
    let posted = committed.await.map_err(|_| Problem::internal())??;
    Ok(Json(accepted(posted.ingested)).into_response())
}

/// Appends the rows to the journal, unless the request was answered before.
async fn acknowledged(server: &Server, request: Post) -> Result<Response, Problem> {
    let batch = request.batch.clone();
    let after = SnapshotNumber(server.metrics().snapshot.get());
    let work = move |server: Server| async move {
        match answered(server.workspace(), &request).await? {
            Some(posted) => Ok(Err(posted)),
            None => match entry_of(&request, Uuid::new_v4().to_string(), after) {
                Ok(entry) => Ok(Ok(entry)),
                Err(refused) => {
                    release(server.workspace(), &request).await?;
                    Err(refused)
                }
            },
        }
    };
    match server.work(work).await? {
        Ok(entry) => acknowledge(server, entry).await?,
        Err(posted) => return Ok(Json(accepted(posted.ingested)).into_response()),
    }
    let (journal_objects, journal_bytes) = server.journal().ahead();
    let body = Json(Acknowledged {
        batch,
        journal_objects,
        journal_bytes,
    });
    let applied = [("preference-applied", ASYNC)];
    Ok((StatusCode::ACCEPTED, applied, body).into_response())
}

/// Whether the caller is content with rows that are durable (RFC 7240).
fn prefers_async(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut is_async = false;
    for value in headers.get_all("prefer") {
        let value = value.to_str().ok();
        let value = value.filter(|value| value.len() <= MOST_PREFERRED);
        let value = value.ok_or_else(|| {
            let detail =
                format!("the header `prefer` has {MOST_PREFERRED} characters of ASCII at most");
            Problem::malformed("invalid_prefer", detail)
                .hint("send `prefer: respond-async`, or leave it out")
        })?;
        let mut all = value.split([',', ';']);
        is_async |= all.any(|preference| preference.trim().eq_ignore_ascii_case(ASYNC));
    }
    Ok(is_async)
}

fn journal_full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "journal_full",
        "more is waiting in the journal than can be taken in",
    )
    .hint("send it again in a few seconds")
}

fn key(headers: &HeaderMap) -> Result<KnownBy, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(KnownBy::Nothing);
    };
    match value.to_str() {
        Ok(text) if !text.trim().is_empty() && text.len() <= KEY_CHARS => {
            Ok(KnownBy::Key(text.to_owned()))
        }
        _ => Err(Problem::malformed(
            "invalid_idempotency_key",
            format!("an idempotency key has 1 to {KEY_CHARS} characters of ASCII"),
        )),
    }
}

/// What the body would be called as a file: the source, and an ending that tells its format.
fn file_name(source: &str, kind: &MediaType) -> Result<String, Problem> {
    let ending = match kind.name.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/json" => "ndjson",
        "text/csv" => "csv",
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unknown_format",
                "the body has to be NDJSON or CSV, and to say so",
            )
            .hint("send `content-type: application/x-ndjson` or `text/csv`"));
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if source.is_empty() || source.len() > 100 || !source.chars().all(plain) {
        return Err(Problem::malformed(
            "invalid_path",
            "a source is named with letters, digits, `_` and `-`",
        ));
    }
    Ok(format!("{source}.{ending}"))
}

/// Writes the body to a file, within the limits of size and time.
async fn receive(
    server: &Server,
    body: Body,
    path: &FilePath,
    packing: Option<Compression>,
) -> Result<(), Problem> {
    let limits = server.limits();
    let internal = |source| Problem::from(AppError::TemporaryFolder { source });
    let writing = async {
        let mut file = tokio::fs::File::create(path).await.map_err(internal)?;
        let mut parts = Parts::of(body, limits.body_bytes);
        let mut begin = Vec::with_capacity(MAGIC);
        while let Some(part) = parts.next().await? {
            let missing = MAGIC - begin.len();
            begin.extend_from_slice(&part[..part.len().min(missing)]);
            file.write_all(&part).await.map_err(internal)?;
        }
        is_packed_so(packing, &begin)?;
        file.flush().await.map_err(internal)?;
        // A little that unpacks to much is much.
        let (packing, most) = (Compression::of(&begin), limits.body_bytes);
        if packing == Compression::None {
            return Ok(());
        }
        let path = path.to_owned();
        let measured = tokio::task::spawn_blocking(move || packing.is_within(&path, most)).await;
        match measured
            .map_err(|_| Problem::internal())?
            .map_err(internal)?
        {
            true => Ok(()),
            false => Err(too_large(most)),
        }
    };
    in_time(limits, writing).await
}

fn accepted(ingested: Ingested) -> Accepted {
    let counts = ingested.tables.into_iter().map(|counts| TableCounts {
        table: counts.table,
        read: counts.read,
        accepted: counts.accepted,
        unchanged: counts.unchanged,
        quarantined: counts.quarantined,
        without_order: (counts.without_order > 0).then_some(counts.without_order),
    });
    let unknown = ingested
        .unknown_statuses
        .into_iter()
        .map(|unknown| UnknownStatus {
            table: unknown.table,
            column: unknown.column,
            status: unknown.status,
            rows: unknown.rows,
            counts_as: unknown.counts_as,
        });
    Accepted {
        snapshot: ingested.snapshot,
        batch: ingested.batch,
        tables: counts.collect(),
        unknown_statuses: unknown.collect(),
    }
}
