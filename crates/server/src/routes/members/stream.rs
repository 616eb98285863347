//! Streaming all members in one answer: a slow reader slows down the writer, so memory stays bounded.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringTreemap;
use rollbook_app::rows::export::{ExportFormat, Exporter, ids};
use rollbook_app::segments::{self, Hashing, Refreshed};
use rollbook_app::{AppError, RecordBatch};
use rollbook_model::SegmentKey;
use tokio::sync::mpsc;

use super::{Format, MembersParams, headers, not_modified, tag};
use crate::answered::Answered;
use crate::http::etag::is_current;
use crate::problem::Problem;
use crate::state::Server;

/// Ids per part.
const IDS_PER_PART: usize = 8_192;
/// Persons per part if columns are requested: each part is a query.
const PERSONS_PER_PART: usize = 50_000;
/// Rows per Parquet row group.
const ROW_GROUP_ROWS: usize = 131_072;

/// Channel of parts, of small capacity, so that the writer waits for a slow reader.
type PartSender = mpsc::Sender<Result<Bytes, Problem>>;

/// Answers with a stream of all members.
///
/// # Errors
/// 400 `invalid_stream` with parameters of pages or as json; 406 if no format is acceptable; those of
/// [`segments::selected_members`]; those of encoding the first part.
pub(super) async fn answer(
    server: Server,
    key: SegmentKey,
    params: MembersParams,
    columns: Vec<String>,
    request_headers: &HeaderMap,
) -> Result<Response, Problem> {
    let format = Format::of(params.format, request_headers, &Format::ALL[1..])?;
    let form = format.export_format().filter(|_| {
        params.page_token.as_deref().is_none_or(str::is_empty) && params.limit.is_none()
    });
    let form = form.ok_or_else(|| {
        let message = "a stream has no pages and is not available as json: leave out `limit` and \
                       `page_token`, and request ndjson, csv, arrow or parquet";
        Problem::malformed("invalid_stream", message.to_owned())
    })?;
    let pull = params.pull(0)?;
    let pulled = segments::selected_members(server.workspace(), &key, &pull, server.now());
    let (refreshed, freshness, members) = pulled.await?;
    // Other data may change while the membership does not.
    let has_etag = columns.is_empty() && pull.is_of_all();
    let of_all = ("all", freshness.status.name());
    let tag = tag(
        &refreshed,
        members.len(),
        &of_all,
        &params.fingerprint(0),
        format,
    );
    if has_etag && is_current(request_headers, &tag) {
        return Ok(not_modified(tag));
    }
    let masked = server.grant().masked(&columns);
    let answered = headers(&refreshed, &freshness, members.len(), None, &masked);
    let stream = MemberStream {
        server,
        refreshed,
        columns,
        hash: params.hash.map(|hash| hash.0),
        format: form,
    };
    let count = usize::try_from(members.len()).unwrap_or(usize::MAX);
    let (sender, mut receiver) = mpsc::channel(2);
    tokio::spawn(async move { stream.write(&members, sender).await });
    // Errors of the first part are answered as problems, before the stream begins.
    let first = receiver.recv().await.transpose()?;
    let rest = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    // Compression polls once more after the end.
    let body = futures::stream::iter(first.map(Ok)).chain(rest).fuse();
    let body = Body::from_stream(body.map_err(|problem| io::Error::other(problem.detail)));
    let kind = [(header::CONTENT_TYPE, form.media_type())];
    let mut response = (answered, kind, body).into_response();
    Answered::rows(count).tell(response.headers_mut());
    if has_etag && let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The members to stream, and how to encode them.
struct MemberStream {
    server: Server,
    refreshed: Refreshed,
    columns: Vec<String>,
    hash: Option<Hashing>,
    format: ExportFormat,
}

impl MemberStream {
    async fn write(&self, members: &RoaringTreemap, parts: PartSender) {
        if let Err(problem) = self.try_write(members, &parts).await {
            // The error aborts the connection, so that the caller notices that the answer is incomplete.
            let _ = parts.send(Err(problem)).await;
        }
    }

    async fn try_write(&self, members: &RoaringTreemap, parts: &PartSender) -> Result<(), Problem> {
        let failed = |source| Problem::from(AppError::Rows { source });
        let max = match (self.columns.is_empty(), self.format) {
            (_, ExportFormat::Parquet) => ROW_GROUP_ROWS,
            (true, _) => IDS_PER_PART,
            (false, _) => PERSONS_PER_PART,
        };
        let mut ids = members.iter();
        // Made with the first rows, which have the columns.
        let mut exporter: Option<Exporter> = None;
        loop {
            let some: Vec<u64> = ids.by_ref().take(max).collect();
            let is_last = some.len() < max;
            let rows = self.rows(some).await?;
            let writer = match &mut exporter {
                Some(known) => known,
                none => none.insert(Exporter::new(self.format, &rows.schema()).map_err(failed)?),
            };
            let bytes = writer.write(&rows).map_err(failed)?;
            // Sending fails if the caller disconnected.
            if parts.send(Ok(bytes.into())).await.is_err() {
                return Ok(());
            }
            if is_last {
                break;
            }
        }
        if let Some(exporter) = exporter {
            let bytes = exporter.end().map_err(failed)?;
            let _ = parts.send(Ok(bytes.into())).await;
        }
        Ok(())
    }

    async fn rows(&self, members: Vec<u64>) -> Result<RecordBatch, Problem> {
        if self.columns.is_empty() {
            return Ok(ids(&members).map_err(|source| AppError::Rows { source })?);
        }
        let (of, columns, hash) = (self.refreshed.clone(), self.columns.clone(), self.hash);
        let found = self.server.compute(move |server| async move {
            segments::fields(server.workspace(), &of, &members, &columns, hash).await
        });
        found.await
    }
}
