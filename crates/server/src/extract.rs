//! Extracting from requests, with problems instead of axum's plain texts.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use rollbook_model::SegmentKey;
use serde::de::DeserializeOwned;

use crate::bodies::{self, MediaType, media_type};
use crate::problem::Problem;
use crate::state::Server;

/// The next step where a query has a `+` that was meant as one.
pub(crate) const PLUS: &str = "in a query `+` stands for a blank: write `%2B`";

/// The header by which a server tells its workers which segments they are to compute.
pub(crate) const ONLY: &str = "x-rollbook-only";

/// The segments that a worker is told to compute; all of them where it is told of none, and where
/// this is no worker.
pub(crate) struct Only(pub(crate) Vec<SegmentKey>);

impl FromRequestParts<Server> for Only {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let told = parts.headers.get(ONLY).and_then(|told| told.to_str().ok());
        let Some(told) = told.filter(|_| server.workers().is_none()) else {
            return Ok(Self(Vec::new()));
        };
        let keys = told.split(',').map(|key| parsed(key, "invalid_header"));
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
                "the body has to be JSON, and to say so",
            )
            .hint("send `content-type: application/json`"));
        }
        let text = bodies::text(&parts.headers, body, charset, server.limits()).await?;
        let invalid = |detail: String| Problem::malformed("invalid_body", detail);
        // A list of values would be taken for an object whose keys are left out.
        if text.trim_start().starts_with('[') {
            let detail = "the body has to be a JSON object, not an array";
            return Err(invalid(detail.to_owned()));
        }
        let parsed = serde_json::from_str(&text);
        parsed.map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// The query string.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Server> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let has_plus = parts.uri.query().is_some_and(|query| query.contains('+'));
        let asked = Query::from_request_parts(parts, server).await;
        let Query(asked) = asked.map_err(|error| {
            let problem = Problem::malformed("invalid_query", error.body_text());
            match has_plus {
                true => problem.hint(PLUS),
                false => problem,
            }
        })?;
        Ok(Self(asked))
    }
}

/// The one name in the path, parsed.
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

/// The two names in the path, parsed.
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

/// A text from outside in the form that the inside trusts.
pub(crate) fn parsed<T>(text: &str, code: &'static str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Problem::malformed(code, error.to_string()))
}

/// The size of a page that somebody wants, within the bounds that pages have.
pub(crate) fn page_size(wanted: u64, most: usize, of: &str) -> Result<usize, Problem> {
    let size = usize::try_from(wanted).ok();
    let size = size.filter(|size| (1..=most).contains(size));
    size.ok_or_else(|| {
        let message = format!("a page has 1 to {most} {of}, not {wanted}");
        Problem::malformed("invalid_limit", message)
    })
}
