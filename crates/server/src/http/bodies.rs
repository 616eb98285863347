//! Bodies of requests: declared media type and compression, and receiving them within limits.

use std::future::Future;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use rollbook_app::{Compression, DeclaredCharset};

use crate::limits::ServeLimits;
use crate::problem::{Problem, UNKNOWN_ENCODING};

/// How long the rest of a refused body is read.
const LINGER: Duration = Duration::from_secs(1);

/// A parsed `content-type`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// In lower case, without parameters; empty if there is none.
    pub(crate) name: String,
    /// The declared character encoding.
    pub(crate) charset: Option<DeclaredCharset>,
}

/// Parses the `content-type` of a request.
///
/// # Errors
/// 415 `unknown_charset` for an unsupported encoding.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
    let value = headers.get(header::CONTENT_TYPE);
    let Some(value) = value.and_then(|value| value.to_str().ok()) else {
        return Ok(MediaType::default());
    };
    let (name, mut rest) = value.split_once(';').unwrap_or((value, ""));
    let mut charset = None;
    while let Some((key, value, behind)) = parameter(rest) {
        if charset.is_none() && key.eq_ignore_ascii_case("charset") {
            charset = Some(value.parse().map_err(unknown_charset)?);
        }
        rest = behind;
    }
    Ok(MediaType {
        name: name.trim().to_ascii_lowercase(),
        charset,
    })
}

/// The next parameter of a media type: name, value, and the rest of the text.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (key, rest) = text.split_once('=')?;
    let key = key.trim_start_matches([';', ' ', '\t']).trim_end();
    let rest = rest.trim_start();
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
        return Some((key, value, behind));
    }
    let (value, behind) = rest.split_once(';').unwrap_or((rest, ""));
    Some((key, value.trim(), behind))
}

/// The declared compression of a body; `None` if none is declared.
///
/// # Errors
/// 415 `unknown_packing` for an unsupported compression.
pub(crate) fn compression(headers: &HeaderMap) -> Result<Option<Compression>, Problem> {
    let values = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let texts = values.map(|value| value.to_str().unwrap_or("?"));
    let names = texts.flat_map(|text| text.split(','));
    let names = names.map(|name| name.trim().to_ascii_lowercase());
    let names: Vec<String> = names
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["gzip" | "x-gzip"] => Ok(Some(Compression::Gzip)),
        ["zstd"] => Ok(Some(Compression::Zstd)),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            UNKNOWN_ENCODING,
            format!(
                "a body compressed with `{}` is not supported",
                names.join(", ")
            ),
        )
        .hint("send it uncompressed, or compressed once with `content-encoding: gzip` or `zstd`")),
    }
}

/// The parts of a body as they arrive, limited in size.
pub(crate) struct Parts {
    parts: BodyDataStream,
    size: u64,
    max: u64,
}

impl Parts {
    /// A body of at most `max` bytes.
    pub(crate) fn of(body: Body, max: u64) -> Self {
        let (parts, size) = (body.into_data_stream(), 0);
        Self { parts, size, max }
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// 400 `body_broken_off` if the connection fails; 413 `body_too_large`.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(part) = self.parts.next().await else {
            return Ok(None);
        };
        let part = part.map_err(|_| incomplete_body())?;
        self.size += part.len() as u64;
        if self.size > self.max {
            self.linger().await;
            return Err(too_large(self.max));
        }
        Ok(Some(part))
    }

    /// Reads and drops the rest of a refused body for a while: a caller that is still sending when the
    /// connection is closed loses the answer (RFC 9112, 9.6).
    pub(crate) async fn linger(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.parts.next().await {} };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

/// Receives a body within its time limit.
///
/// # Errors
/// 408 `body_too_slow`; those of `receiving`.
pub(crate) async fn in_time<T>(
    limits: &ServeLimits,
    receiving: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let received = tokio::time::timeout(limits.body_time, receiving).await;
    received.map_err(|_| too_slow())?
}

/// A JSON body as text, decompressed and decoded.
///
/// # Errors
/// 400 if it is incomplete, or cannot be decompressed or decoded; 408 if it is too slow; 413 if it is too
/// large; 415 if its compression is not supported.
pub(crate) async fn text(
    headers: &HeaderMap,
    body: Body,
    charset: Option<DeclaredCharset>,
    limits: &ServeLimits,
) -> Result<String, Problem> {
    let declared = compression(headers)?;
    let max = limits.json_bytes as u64;
    let receiving = async {
        let (mut parts, mut bytes) = (Parts::of(body, max), Vec::new());
        while let Some(part) = parts.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    let mut bytes = in_time(limits, receiving).await?;
    check_compression(declared, &bytes)?;
    let compression = declared.unwrap_or_else(|| Compression::of(&bytes));
    if compression != Compression::None {
        let decompressed = compression.unpack(&bytes, max);
        bytes = decompressed.map_err(|_| damaged(compression))?;
        if bytes.len() as u64 > max {
            return Err(too_large(max));
        }
    }
    let charset = charset.unwrap_or_default();
    let text = charset.decode(&bytes).ok_or_else(|| {
        let detail = format!("the body is not valid {}", charset.name());
        Problem::malformed("invalid_body", detail)
            .hint("send UTF-8, or name its encoding: `content-type: application/json; charset=…`")
    });
    Ok(text?.into_owned())
}

/// Checks the declared compression against the first bytes of a body.
///
/// # Errors
/// 400 `invalid_body` if they differ.
pub(crate) fn check_compression(
    declared: Option<Compression>,
    begin: &[u8],
) -> Result<(), Problem> {
    match declared {
        Some(compression) if Compression::of(begin) != compression => Err(damaged(compression)),
        _ => Ok(()),
    }
}

fn damaged(compression: Compression) -> Problem {
    let detail = format!("the body cannot be decompressed as {compression}");
    Problem::malformed("invalid_body", detail)
}

fn unknown_charset(error: rollbook_app::UnknownCharset) -> Problem {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new(status, "unknown_charset", error.to_string())
}

fn incomplete_body() -> Problem {
    let detail = "the body ended early, or its chunks are malformed";
    Problem::malformed("body_broken_off", detail)
}

pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("a body may have at most {limit} bytes, compressed or not"),
    )
    .hint("send it in parts")
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_too_slow",
        "the body was not received in time",
    )
    .hint("send smaller bodies")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use rollbook_app::Compression;

    use super::{compression, media_type};

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn media_types_are_parsed() {
        let check = |value: &str, name: &str, charset: Option<&str>| {
            let found = media_type(&headers(header::CONTENT_TYPE, &[value])).unwrap();
            let found_charset = found.charset.map(|charset| charset.name());
            assert_eq!(
                (found.name.as_str(), found_charset),
                (name, charset),
                "{value}"
            );
        };
        check("Text/CSV", "text/csv", None);
        check("text/csv; charset=utf-8", "text/csv", Some("UTF-8"));
        check(
            "text/csv;Charset=\"ISO-8859-2\"",
            "text/csv",
            Some("ISO-8859-2"),
        );
        check(
            "text/csv ; header=present ; CHARSET = latin1 ",
            "text/csv",
            Some("windows-1252"),
        );
        check(
            "text/csv; a=\"x; charset=koi8-r\"; charset=big5",
            "text/csv",
            Some("Big5"),
        );
        check("text/csv; header=present", "text/csv", None);
        check("text/csv;", "text/csv", None);
        let none = media_type(&HeaderMap::new()).unwrap();
        assert_eq!(none.name, "");
        for unknown in [
            "text/csv; charset=utf-7",
            "text/csv; charset=",
            "text/csv; charset=\"x",
        ] {
            let problem = media_type(&headers(header::CONTENT_TYPE, &[unknown])).unwrap_err();
            assert_eq!(
                (problem.status, problem.code),
                (415, "unknown_charset"),
                "{unknown}"
            );
        }
    }

    #[test]
    fn unsupported_compressions_are_refused() {
        let check = |values: &[&str], expected: Option<Compression>| {
            let found = compression(&headers(header::CONTENT_ENCODING, values)).unwrap();
            assert_eq!(found, expected, "{values:?}");
        };
        check(&[], None);
        check(&["identity"], None);
        check(&["GZIP"], Some(Compression::Gzip));
        check(&["x-gzip"], Some(Compression::Gzip));
        check(&["identity, zstd"], Some(Compression::Zstd));
        for unknown in [
            &["br"][..],
            &["deflate"],
            &["gzip, gzip"],
            &["gzip", "br"],
            &["utf-8"],
        ] {
            let problem = compression(&headers(header::CONTENT_ENCODING, unknown)).unwrap_err();
            assert_eq!(
                (problem.status, problem.code),
                (415, "unknown_packing"),
                "{unknown:?}"
            );
        }
    }
}
