//! Extracting from requests, with problems instead of axum's plain texts.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::server::Server;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Server> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Server) -> Result<Self, Problem> {
        if media_type(request.headers()) != Some("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body has to be JSON, and to say so",
            )
            .hint("send `content-type: application/json`"));
        }
        let limit = server.limits().json_bytes;
        let bytes = tokio::time::timeout(
            server.limits().body_time,
            axum::body::to_bytes(request.into_body(), limit),
        );
        let bytes: Bytes = bytes
            .await
            .map_err(|_| too_slow())?
            .map_err(|_| too_large(limit as u64))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::malformed("invalid_body", error.to_string()))
    }
}

/// The query string.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Server> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let Query(asked) = Query::from_request_parts(parts, server)
            .await
            .map_err(|error| Problem::malformed("invalid_query", error.body_text()))?;
        Ok(Self(asked))
    }
}

/// The one name in the path, parsed.
pub(crate) struct Named<T>(pub(crate) T);

impl<T> FromRequestParts<Server> for Named<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, server)
            .await
            .map_err(|error| Problem::malformed("invalid_path", error.body_text()))?;
        Ok(Self(parsed(&text, "invalid_path")?))
    }
}

/// The two names in the path, parsed.
pub(crate) struct NamedPair<A, B>(pub(crate) A, pub(crate) B);

impl<A, B> FromRequestParts<Server> for NamedPair<A, B>
where
    A: FromStr,
    A::Err: std::fmt::Display,
    B: FromStr,
    B::Err: std::fmt::Display,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, server).await;
        let Path((one, other)) =
            texts.map_err(|error| Problem::malformed("invalid_path", error.body_text()))?;
        Ok(Self(
            parsed(&one, "invalid_path")?,
            parsed(&other, "invalid_path")?,
        ))
    }
}

/// A text from outside in the form that the inside trusts.
pub(crate) fn parsed<T>(text: &str, code: &'static str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Problem::malformed(code, error.to_string()))
}

/// The content type without its parameters, in lower case where it is a known one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("a body may have {limit} bytes at most"),
    )
    .hint("send it in parts, or take files in with `rollbook ingest`")
}

pub(crate) fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_too_slow",
        "the body did not come in time",
    )
    .hint("send smaller bodies")
}
