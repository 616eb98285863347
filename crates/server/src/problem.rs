//! Errors as programs read them: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::{AppError, Kind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::next_step::as_route;

/// The code of a body that is packed in a way that is not known; the answer names those that are.
pub(crate) const UNKNOWN_PACKING: &str = "unknown_packing";

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The HTTP status.
    #[schema(example = 404)]
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) title: &'static str,
    /// The situation, for programs.
    #[schema(example = "unknown_segment")]
    pub(crate) code: &'static str,
    /// The situation, for people.
    pub(crate) detail: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Where in the SQL it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Place>,
}

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Place {
    line: u64,
    column: u64,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            code,
            detail: detail.into(),
            hint: None,
            position: None,
        }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// Something that is no fault of the request, and that is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong here; the log has the details",
        )
    }

    pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let (code, kind) = error.code();
        let status = match kind {
            Kind::Malformed => StatusCode::BAD_REQUEST,
            Kind::Missing => StatusCode::NOT_FOUND,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Gone => StatusCode::GONE,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Unprocessable | Kind::Excessive => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Storage => StatusCode::INSUFFICIENT_STORAGE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if kind == Kind::Internal {
            // All of it is in the log, and nothing of it outside.
            tracing::error!(code, error = %error, "a request failed through no fault of its own");
            return Self::new(
                status,
                code,
                "something went wrong here; the log has the details",
            )
            .hint("try again; if it stays, report it with the `x-request-id` of this answer");
        }
        if kind == Kind::Storage {
            tracing::error!(code, error = %error, "the lake's disk took nothing");
            return Self::new(
                status,
                code,
                "the disk of the lake cannot take anything now",
            )
            .hint("nothing was changed; send it again when that is mended");
        }
        let mut problem = Self::new(status, code, error.to_string());
        problem.hint = error.next_step().as_ref().and_then(as_route);
        problem.position = error.position().map(|at| Place {
            line: at.line,
            column: at.column,
        });
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = self.code;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if code == UNKNOWN_PACKING {
            let known = HeaderValue::from_static("gzip, zstd");
            headers.insert(header::ACCEPT_ENCODING, known);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Nobody has time for a request.
pub(crate) fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many requests are waiting",
    )
    .hint("try again in a moment")
}
