//! Bodies of requests: what they are declared to be, and how they come.

use std::future::Future;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use rollbook_app::{Compression, DeclaredCharset};

use crate::limits::ServeLimits;
use crate::problem::{Problem, UNKNOWN_PACKING};

/// How long the rest of a body is read that is refused.
const LINGER: Duration = Duration::from_secs(1);

/// What a body is, by its `content-type`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// In lower case, without parameters; empty where nothing is declared.
    pub(crate) name: String,
    /// The encoding of its text.
    pub(crate) charset: Option<DeclaredCharset>,
}

/// What the body of a request is declared to be.
///
/// # Errors
/// 415 for an encoding that is not known.
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

/// The next parameter of a media type, and what follows it.
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

/// How the body of a request is declared to be packed, where it is.
///
/// # Errors
/// 415 for what is not unpacked here.
pub(crate) fn packing(headers: &HeaderMap) -> Result<Option<Compression>, Problem> {
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
            UNKNOWN_PACKING,
            format!(
                "a body packed with `{}` is not unpacked here",
                names.join(", ")
            ),
        )
        .hint("send it as it is, or packed once with `content-encoding: gzip` or `zstd`")),
    }
}

/// The parts of a body as they come.
pub(crate) struct Parts {
    parts: BodyDataStream,
    size: u64,
    most: u64,
}

impl Parts {
    /// Those of a body of `most` bytes at most.
    pub(crate) fn of(body: Body, most: u64) -> Self {
        let (parts, size) = (body.into_data_stream(), 0);
        Self { parts, size, most }
    }

    /// The next one; `None` behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(part) = self.parts.next().await else {
            return Ok(None);
        };
        let part = part.map_err(|_| broken_off())?;
        self.size += part.len() as u64;
        if self.size > self.most {
            self.linger().await;
            return Err(too_large(self.most));
        }
        Ok(Some(part))
    }

    /// Lets a caller who is refused send on for a while. Who is still sending when the connection
    /// closes loses the answer (RFC 9112, 9.6).
    pub(crate) async fn linger(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.parts.next().await {} };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

/// Waits for a body no longer than one may take.
pub(crate) async fn in_time<T>(
    limits: &ServeLimits,
    coming: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let come = tokio::time::timeout(limits.body_time, coming).await;
    come.map_err(|_| too_slow())?
}

/// A body that fits into memory, unpacked and as text.
pub(crate) async fn text(
    headers: &HeaderMap,
    body: Body,
    charset: Option<DeclaredCharset>,
    limits: &ServeLimits,
) -> Result<String, Problem> {
    let declared = packing(headers)?;
    let most = limits.json_bytes as u64;
    let coming = async {
        let (mut parts, mut bytes) = (Parts::of(body, most), Vec::new());
        while let Some(part) = parts.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    let mut bytes = in_time(limits, coming).await?;
    is_packed_so(declared, &bytes)?;
    let packing = declared.unwrap_or_else(|| Compression::of(&bytes));
    if packing != Compression::None {
        let unpacked = packing.unpack(&bytes, most);
        bytes = unpacked.map_err(|_| damaged(packing))?;
        if bytes.len() as u64 > most {
            return Err(too_large(most));
        }
    }
    let charset = charset.unwrap_or_default();
    let text = charset.decode(&bytes).ok_or_else(|| {
        let detail = format!("the body is no text in {}", charset.name());
        Problem::malformed("invalid_body", detail)
            .hint("send UTF-8, or name its encoding: `content-type: application/json; charset=…`")
    });
    Ok(text?.into_owned())
}

/// # Errors
/// 400 where a body is not packed as it is declared to be.
pub(crate) fn is_packed_so(declared: Option<Compression>, begin: &[u8]) -> Result<(), Problem> {
    match declared {
        Some(packing) if Compression::of(begin) != packing => Err(damaged(packing)),
        _ => Ok(()),
    }
}

fn damaged(packing: Compression) -> Problem {
    let detail = format!("the body cannot be unpacked as {packing}");
    Problem::malformed("invalid_body", detail)
}

fn unknown_charset(error: rollbook_app::UnknownCharset) -> Problem {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new(status, "unknown_charset", error.to_string())
}

fn broken_off() -> Problem {
    let detail = "the body broke off before its end, or its chunks cannot be told apart";
    Problem::malformed("body_broken_off", detail)
}

pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("a body may have {limit} bytes at most, unpacked too"),
    )
    .hint("send it in parts")
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_too_slow",
        "the body did not come in time",
    )
    .hint("send smaller bodies")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use rollbook_app::Compression;

    use super::{media_type, packing};

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn media_types_are_read_whatever_case_and_order() {
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
    fn content_encodings_are_known_or_refused() {
        let check = |values: &[&str], expected: Option<Compression>| {
            let found = packing(&headers(header::CONTENT_ENCODING, values)).unwrap();
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
            let problem = packing(&headers(header::CONTENT_ENCODING, unknown)).unwrap_err();
            assert_eq!(
                (problem.status, problem.code),
                (415, "unknown_packing"),
                "{unknown:?}"
            );
        }
    }
}
