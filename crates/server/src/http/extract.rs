//! Extractors of parameters and bodies, with problems instead of axum's plain text errors.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use rollbook_model::SegmentKey;
use serde::de::DeserializeOwned;

use crate::http::bodies::{self, MediaType, media_type};
use crate::problem::Problem;
use crate::state::Server;

/// Hint for query strings with a `+`, which stands for a blank.
pub(crate) const PLUS_HINT: &str = "in a query string `+` stands for a blank: write `%2B`";

/// Header in which the server names the segments that a worker is to refresh.
pub(crate) const SEGMENTS_HEADER: &str = "x-rollbook-only";

/// The segments that a worker is to refresh; empty, which means all, if the header is missing or this process
/// is no worker.
pub(crate) struct OnlySegments(pub(crate) Vec<SegmentKey>);

impl FromRequestParts<Server> for OnlySegments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let value = parts
            .headers
            .get(SEGMENTS_HEADER)
            .and_then(|value| value.to_str().ok());
        let Some(value) = value.filter(|_| server.workers().is_none()) else {
            return Ok(Self(Vec::new()));
        };
        let keys = value.split(',').map(|key| parsed(key, "invalid_header"));
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Server> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Server) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let MediaType { name, charset } = media_type(&parts.headers)?;
        if name != "application/json" {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body has to be JSON, with the matching `content-type`",
            )
            .hint("send `content-type: application/json`"));
        }
        let text = bodies::text(&parts.headers, body, charset, server.limits()).await?;
        let invalid = |detail: String| Problem::malformed("invalid_body", detail);
        // serde would accept an array for a struct.
        if text.trim_start().starts_with('[') {
            let detail = "the body has to be a JSON object, not an array";
            return Err(invalid(detail.to_owned()));
        }
        let parsed = serde_json::from_str(&text);
        parsed.map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// The parsed query string.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Server> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let has_plus = parts.uri.query().is_some_and(|query| query.contains('+'));
        let parsed = Query::from_request_parts(parts, server).await;
        let Query(params) = parsed.map_err(|error| {
            let problem = Problem::malformed("invalid_query", error.body_text());
            match has_plus {
                true => problem.hint(PLUS_HINT),
                false => problem,
            }
        })?;
        Ok(Self(params))
    }
}

/// The one parameter of the path, parsed.
pub(crate) struct PathParam<T>(pub(crate) T);

impl<T> FromRequestParts<Server> for PathParam<T>
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

/// The two parameters of the path, parsed.
pub(crate) struct PathParamPair<A, B>(pub(crate) A, pub(crate) B);

impl<A, B> FromRequestParts<Server> for PathParamPair<A, B>
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

/// Parses a text of a request.
///
/// # Errors
/// 400 with this code.
pub(crate) fn parsed<T>(text: &str, code: &'static str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Problem::malformed(code, error.to_string()))
}

/// Checks a requested page size.
///
/// # Errors
/// 400 `invalid_limit` unless it is from 1 to `max`.
pub(crate) fn page_size(requested: u64, max: usize, of: &str) -> Result<usize, Problem> {
    let size = usize::try_from(requested).ok();
    let size = size.filter(|size| (1..=max).contains(size));
    size.ok_or_else(|| {
        let message = format!("a page has 1 to {max} {of}, not {requested}");
        Problem::malformed("invalid_limit", message)
    })
}
