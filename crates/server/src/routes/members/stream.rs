//! Streaming all members in one answer. The next part is made once the reader has taken the one before, so that a slow
//! reader holds one part, however long the answer is.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use rollbook_app::segments;
use rollbook_model::SegmentKey;

use super::parts::MemberParts;
use super::{Format, MembersParams, headers, not_modified, tag};
use crate::answered::Answered;
use crate::http::etag::is_current;
use crate::problem::Problem;
use crate::state::Server;

/// Answers with a stream of all members.
///
/// # Errors
/// 400 `invalid_stream` with parameters of pages or as json; 406 if no format is acceptable; those of
/// [`segments::selected_members`]; those of the first part.
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
    // Other data may change while the membership does not.
    let has_etag = columns.is_empty() && pull.is_of_all();
    let (refreshed, freshness, members) = match pull.is_of_all() {
        true => segments::selected_members(server.workspace(), &key, &pull, server.now()).await?,
        // A query selects the members.
        false => {
            let selected = server.compute(move |server| async move {
                segments::selected_members(server.workspace(), &key, &pull, server.now()).await
            });
            selected.await?
        }
    };
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
    let count = usize::try_from(members.len()).unwrap_or(usize::MAX);
    let hash = params.hash.map(|hash| hash.0);
    let mut parts = MemberParts::new(server, refreshed, members, columns, hash, form);
    // Errors of the first part are answered as problems, before the stream begins.
    let first = parts.next().await?;
    let rest = stream::try_unfold(parts, |mut parts| async move {
        let next = parts.next().await?;
        Ok::<_, Problem>(next.map(|bytes| (bytes, parts)))
    });
    // Compression polls once more after the end. An error aborts the connection, so that the caller notices that the
    // answer is incomplete.
    let body = stream::iter(first.map(Ok)).chain(rest).fuse();
    let body = Body::from_stream(body.map_err(|problem| io::Error::other(problem.detail)));
    let kind = [(header::CONTENT_TYPE, form.media_type())];
    let mut response = (answered, kind, body).into_response();
    Answered::rows(count).tell(response.headers_mut());
    if has_etag && let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
