//! Bodies that are handed on in small slices, so that a connection whose caller reads slowly takes few of them, and the
//! guard of the rest is held until then.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Bytes of a slice at most.
const SLICE: usize = 64 << 10;

/// The same body in slices.
pub(crate) fn sliced(body: Body) -> Body {
    let rest = Bytes::new();
    Body::new(SlicedBody { body, rest })
}

struct SlicedBody {
    body: Body,
    /// What was taken from `body` and not handed on.
    rest: Bytes,
}

impl HttpBody for SlicedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let size = self.rest.len().min(SLICE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::{Body, HttpBody};
    use futures::StreamExt;

    use super::{SLICE, sliced};
    use crate::network::guarded_body::guarded;

    #[tokio::test]
    async fn guard_is_held_until_the_last_slice() {
        let bytes: Vec<u8> = (0..3 * SLICE + 5).map(|at| (at % 251) as u8).collect();
        let guard = Arc::new(());
        let body = guarded(Body::from(bytes.clone()), Arc::clone(&guard));
        let body = sliced(body);
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let (mut parts, mut seen) = (body.into_data_stream(), Vec::new());
        while let Some(part) = parts.next().await {
            let part = part.unwrap();
            assert!(part.len() <= SLICE);
            assert_eq!(Arc::strong_count(&guard), 2);
            seen.extend_from_slice(&part);
            let left = (bytes.len() - seen.len()) as u64;
            assert_eq!(HttpBody::size_hint(&parts).exact(), Some(left));
        }
        drop(parts);
        assert_eq!(seen, bytes);
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
