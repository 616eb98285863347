//! Ingest of rows from a request body.

use std::path::Path as FilePath;

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::ingest::Ingested;
use rollbook_app::ingest::idempotency::{KnownBy, Post, answered, release};
use rollbook_app::ingest::wal::entry_of;
use rollbook_app::{AppError, Compression};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{Authorized, count_body};
use crate::api::scalars::{Header, Provider, Source};
use crate::http::bodies::{
    MediaType, Parts, check_compression, compression, in_time, media_type, too_large,
};
use crate::http::extract::parsed;
use crate::problem::Problem;
use crate::state::Server;
use crate::state::commit_queue::QueuedPost;
use crate::tasks::commits::commit_queued;
use crate::tasks::wal::append_entry;

/// Bytes of the longest magic number of a compression.
const MAGIC_BYTES: usize = 4;
/// Characters of an idempotency key at most.
const MAX_KEY_CHARS: usize = 255;
/// Characters of a `prefer` header at most.
const MAX_PREFER_CHARS: usize = 255;
/// The preference of callers who do not wait for the commit.
const RESPOND_ASYNC: &str = "respond-async";

/// Result of an ingest.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The snapshot that holds the rows.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The id of the ingest run, which concurrent requests may share; `rollbook ingest undo` undoes all of it.
    #[schema(pattern = "^[A-Za-z0-9-]{1,64}$", value_type = String)]
    batch: BatchId,
    tables: Vec<TableCounts>,
    /// Unknown statuses, with what their rows count as; reported once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unknown_statuses: Vec<UnknownStatus>,
}

/// Rows with an unknown status.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnknownStatus {
    table: String,
    column: String,
    status: String,
    rows: u64,
    counts_as: String,
}

/// Rows of one table; `read` is the sum of `accepted`, `unchanged` and `quarantined`.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableCounts {
    table: String,
    read: u64,
    accepted: u64,
    unchanged: u64,
    quarantined: u64,
    /// Rows that refer to an order that is not in the lake, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_order: Option<u64>,
}

/// Rows that are durable and will be in a snapshot soon.
#[derive(Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    /// The id of the request; its quarantined rows are listed under a file of this name.
    #[schema(pattern = "^[A-Za-z0-9-]{1,64}$", value_type = String)]
    batch: BatchId,
    /// Objects of the journal (write-ahead log) that wait for the next snapshot.
    journal_objects: u64,
    /// Bytes of these objects.
    journal_bytes: u64,
}

/// Ingests rows; they are committed when the answer arrives
///
/// The source is the file name without extension, such as `orders`: it selects the mapping that reads the
/// body. Rows of a trial key are counted before any of them is ingested. A request with an `Idempotency-Key` that is sent again is executed once and gets the first answer
/// again; a rejected request frees its key.
///
/// The body is decoded by the `charset` of the content type; without one, the encoding is detected. Bodies
/// may be compressed with gzip or zstd.
///
/// With `Prefer: respond-async` the answer is 202 as soon as the body is durable in the journal, a
/// write-ahead log. The rows are in a snapshot some seconds later, those of one source in the order of their
/// requests. Invalid rows are quarantined then.
#[utoipa::path(post, path = "/v1/ingest/{provider}/{source}", operation_id = "ingest_rows", tag = "data",
    params(
        ("provider" = inline(Provider), Path),
        ("source" = inline(Source), Path),
        ("Idempotency-Key" = inline(Option<Header>), Header, description = "Identifies the request when it is repeated",
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
    Authorized(server): Authorized,
    Path((provider, source)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let provider: ProviderName = parsed(&provider, "invalid_path")?;
    let known_by = known_by(&headers)?;
    let is_async = prefers_async(&headers)?;
    if is_async && server.state().wal.is_full() {
        return Err(wal_full());
    }
    server.check_rows_quota().await?;
    let content_type = media_type(&headers)?;
    let compression = compression(&headers)?;
    let name = file_name(&source, &content_type)?;
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let max = server.limits().body_bytes;
    if announced.is_some_and(|length| length > max) {
        // A caller that expects `100 Continue` has not sent the body.
        if !headers.contains_key(header::EXPECT) {
            Parts::of(body, max).linger().await;
        }
        return Err(too_large(max));
    }
    let internal = |source| Problem::from(AppError::TemporaryFolder { source });
    let folder = tempfile::tempdir().map_err(internal)?;
    let path = folder.path().join(name);
    receive(&server, body, &path, compression).await?;
    if let Err(over) = count_body(&server, &path, content_type.charset).await {
        return Ok(over.into_response());
    }
    let pending = server.begin_rows(&path, content_type.charset).await?;
    let (batch, at) = (server.new_batch(), server.now());
    let folder_of = server
        .mappings()
        .map(|folder| folder.join(provider.as_str()));
    let request = Post {
        provider,
        mappings: folder_of.filter(|folder| folder.is_dir()),
        body: path,
        charset: content_type.charset,
        known_by,
        batch,
        at,
    };
    if is_async {
        let acknowledged = append_to_wal(&server, request).await;
        if acknowledged.is_ok()
            && let Some(pending) = pending
        {
            server.state().wal.keep(pending);
        }
        return acknowledged;
    }
    let (answer, committed) = oneshot::channel();
    server.state().commit_queue.push(QueuedPost {
        post: request,
        answer,
        folder,
    });
    // A separate task, so that a caller who disconnects does not abort the commit.
    // It commits requests of other callers too.
    tokio::spawn(commit_queued(server.with_all_rights()));
    let posted = committed.await.map_err(|_| Problem::internal())??;
    drop(pending);
    Ok(Json(accepted(posted.ingested)).into_response())
}

/// Appends the rows to the write-ahead log, unless the request was answered before.
async fn append_to_wal(server: &Server, request: Post) -> Result<Response, Problem> {
    let batch = request.batch.clone();
    let after = server.state().snapshot();
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
    match server.run_blocking(work).await? {
        Ok(entry) => append_entry(server, entry).await?,
        Err(posted) => return Ok(Json(accepted(posted.ingested)).into_response()),
    }
    let (journal_objects, journal_bytes) = server.state().wal.unfolded();
    let body = Json(Acknowledged {
        batch,
        journal_objects,
        journal_bytes,
    });
    let applied = [("preference-applied", RESPOND_ASYNC)];
    Ok((StatusCode::ACCEPTED, applied, body).into_response())
}

/// Whether the caller prefers an answer before the commit (RFC 7240).
fn prefers_async(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut is_async = false;
    for value in headers.get_all("prefer") {
        let value = value.to_str().ok();
        let value = value.filter(|value| value.len() <= MAX_PREFER_CHARS);
        let value = value.ok_or_else(|| {
            let detail =
                format!("the header `prefer` has at most {MAX_PREFER_CHARS} ASCII characters");
            Problem::malformed("invalid_prefer", detail)
                .hint("send `prefer: respond-async`, or leave it out")
        })?;
        let mut all = value.split([',', ';']);
        is_async |= all.any(|preference| preference.trim().eq_ignore_ascii_case(RESPOND_ASYNC));
    }
    Ok(is_async)
}

fn wal_full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "journal_full",
        "the journal is full: it grows faster than it is committed",
    )
    .hint("send it again in a few seconds")
}

fn known_by(headers: &HeaderMap) -> Result<KnownBy, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(KnownBy::Nothing);
    };
    match value.to_str() {
        Ok(text) if !text.trim().is_empty() && text.len() <= MAX_KEY_CHARS => {
            Ok(KnownBy::Key(text.to_owned()))
        }
        _ => Err(Problem::malformed(
            "invalid_idempotency_key",
            format!("an idempotency key has 1 to {MAX_KEY_CHARS} ASCII characters"),
        )),
    }
}

/// The file name of the body: the source, with the extension of its format.
fn file_name(source: &str, content_type: &MediaType) -> Result<String, Problem> {
    let extension = match content_type.name.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/json" => "ndjson",
        "text/csv" => "csv",
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unknown_format",
                "the body has to be NDJSON or CSV, with the matching `content-type`",
            )
            .hint("send `content-type: application/x-ndjson` or `text/csv`"));
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if source.is_empty() || source.len() > 100 || !source.chars().all(plain) {
        return Err(Problem::malformed(
            "invalid_path",
            "a source consists of letters, digits, `_` and `-`",
        ));
    }
    Ok(format!("{source}.{extension}"))
}

/// Writes the body to a file, within the limits of size and time.
async fn receive(
    server: &Server,
    body: Body,
    path: &FilePath,
    compression: Option<Compression>,
) -> Result<(), Problem> {
    let limits = server.limits();
    let internal = |source| Problem::from(AppError::TemporaryFolder { source });
    let writing = async {
        let mut file = tokio::fs::File::create(path).await.map_err(internal)?;
        let mut parts = Parts::of(body, limits.body_bytes);
        let mut begin = Vec::with_capacity(MAGIC_BYTES);
        while let Some(part) = parts.next().await? {
            let missing = MAGIC_BYTES - begin.len();
            begin.extend_from_slice(&part[..part.len().min(missing)]);
            file.write_all(&part).await.map_err(internal)?;
        }
        check_compression(compression, &begin)?;
        file.flush().await.map_err(internal)?;
        // The limit also applies to the decompressed size.
        let (compression, max) = (Compression::of(&begin), limits.body_bytes);
        if compression == Compression::None {
            return Ok(());
        }
        let path = path.to_owned();
        let measured = tokio::task::spawn_blocking(move || compression.is_within(&path, max)).await;
        match measured
            .map_err(|_| Problem::internal())?
            .map_err(internal)?
        {
            true => Ok(()),
            false => Err(too_large(max)),
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
