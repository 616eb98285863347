//! All members in one answer, written while it is read: whoever reads slowly holds up the writing,
//! and no more than some parts of it are ever in memory.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use roaring::RoaringTreemap;
use rollbook_app::export::{Exporter, Form, ids};
use rollbook_app::segments::{self, Hashing, Refreshed};
use rollbook_app::{AppError, RecordBatch};
use rollbook_model::SegmentKey;
use tokio::sync::mpsc;

use super::{Format, Which, headers, not_modified, tag};
use crate::etag::is_held;
use crate::problem::Problem;
use crate::state::Server;

/// Ids that are written at once.
const IDS: usize = 8_192;
/// The same of persons with columns, each of which costs a look at the lake.
const PERSONS: usize = 50_000;
/// Rows of a row group of Parquet.
const ROW_GROUP: usize = 131_072;

/// Parts of an answer on their way: few, so that a slow reader is waited for.
type Parts = mpsc::Sender<Result<Bytes, Problem>>;

pub(super) async fn answer(
    server: Server,
    key: SegmentKey,
    which: Which,
    columns: Vec<String>,
    given: &HeaderMap,
) -> Result<Response, Problem> {
    let format = Format::of(which.format, given, &Format::OF_PAGES[1..])?;
    let form = format
        .form()
        .filter(|_| which.page_token.as_deref().is_none_or(str::is_empty) && which.limit.is_none());
    let form = form.ok_or_else(|| {
        let message = "all members at once have no pages and are no json: leave out `limit` and \
                       `page_token`, and ask for ndjson, csv, arrow or parquet";
        Problem::malformed("invalid_stream", message.to_owned())
    })?;
    let pull = which.pull(0)?;
    let pulled = segments::members_pulled(server.workspace(), &key, &pull, server.now());
    let (refreshed, standing, members) = pulled.await?;
    // What else is looked at may change while the membership stands.
    let is_pinned = columns.is_empty() && pull.is_of_all();
    let of_all = ("all", standing.status.name());
    let tag = tag(&refreshed, members.len(), &of_all, &which.given(0), format);
    if is_pinned && is_held(given, &tag) {
        return Ok(not_modified(tag));
    }
    let answered = headers(&refreshed, &standing, members.len(), None);
    let wanted = Wanted {
        server,
        refreshed,
        columns,
        hash: which.hash.map(|hash| hash.0),
        form,
    };
    let (sender, mut receiver) = mpsc::channel(2);
    tokio::spawn(async move { wanted.write(&members, sender).await });
    // What is wrong with the question is told as such, before the answer begins.
    let first = receiver.recv().await.transpose()?;
    let rest = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    // Whoever packs it asks once more at its end.
    let body = stream::iter(first.map(Ok)).chain(rest).fuse();
    let body = Body::from_stream(body.map_err(|problem| io::Error::other(problem.detail)));
    let kind = [(header::CONTENT_TYPE, form.media_type())];
    let mut response = (answered, kind, body).into_response();
    if is_pinned && let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// What is to be written.
struct Wanted {
    server: Server,
    refreshed: Refreshed,
    columns: Vec<String>,
    hash: Option<Hashing>,
    form: Form,
}

impl Wanted {
    async fn write(&self, members: &RoaringTreemap, parts: Parts) {
        if let Err(problem) = self.try_write(members, &parts).await {
            // The connection is broken off, so that nobody takes a part for the whole.
            let _ = parts.send(Err(problem)).await;
        }
    }

    async fn try_write(&self, members: &RoaringTreemap, parts: &Parts) -> Result<(), Problem> {
        let failed = |source| Problem::from(AppError::Rows { source });
        let most = match (self.columns.is_empty(), self.form) {
            (_, Form::Parquet) => ROW_GROUP,
            (true, _) => IDS,
            (false, _) => PERSONS,
        };
        let mut ids = members.iter();
        // Made with the first rows, from which the columns are known.
        let mut exporter: Option<Exporter> = None;
        loop {
            let some: Vec<u64> = ids.by_ref().take(most).collect();
            let is_last = some.len() < most;
            let rows = self.rows(some).await?;
            let writer = match &mut exporter {
                Some(known) => known,
                none => none.insert(Exporter::new(self.form, &rows.schema()).map_err(failed)?),
            };
            let bytes = writer.write(&rows).map_err(failed)?;
            // Sending fails where nobody reads any longer.
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
