//! Errors of the API: `application/problem+json` (RFC 9457).

mod next_step;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::access::{Right, Rights};
use rollbook_app::{AppError, ErrorClass};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::next_step::as_route;

/// Header with the code of an error, from a worker to the server, which counts it and removes the header.
pub(crate) const CODE_HEADER: HeaderName = HeaderName::from_static("x-rollbook-code");

/// The code of an unsupported `content-encoding`; the answer lists the supported ones.
pub(crate) const UNKNOWN_ENCODING: &str = "unknown_packing";

/// The code where other requests use what one needs.
pub(crate) const BUSY: &str = "busy";

/// An error and what to do about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The HTTP status.
    #[schema(example = 404)]
    pub(crate) status: u16,
    /// The HTTP status as text.
    pub(crate) title: &'static str,
    /// Stable code of the error, for programs.
    #[schema(example = "unknown_segment")]
    pub(crate) code: &'static str,
    /// Description of the error, for people.
    pub(crate) detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Position in the SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Place>,
}

/// Position in a text; line and column from 1.
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

    /// An error that is no fault of the request; details are in the log only.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; the server log has the details",
        )
    }

    /// A request that a page of another site may have made.
    pub(crate) fn cross_site() -> Self {
        let detail = "a page of another site made this request";
        Self::new(StatusCode::FORBIDDEN, "cross_site", detail)
            .hint("send the request from a program, or from a page of this server")
    }

    /// A route without this method.
    pub(crate) fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this route does not support this method",
        )
        .hint("`GET /openapi.json` lists them all")
    }

    /// The problem of an error, for a caller with these rights: without values of the data unless they may read
    /// personal ones.
    pub(crate) fn for_rights(error: AppError, rights: Rights) -> Self {
        let with_values = rights.has(Right::Pii);
        let detail = (!with_values).then(|| (error.to_string(), error.message(false)));
        let mut problem = Self::from(error);
        // Details of internal errors are replaced already.
        if let Some((message, valueless)) = detail
            && problem.detail == message
        {
            problem.detail = valueless;
        }
        problem
    }

    /// A request that everybody in between could have read.
    pub(crate) fn not_encrypted() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "not_encrypted",
            "the connection is not encrypted",
        )
        .hint("send the request to the proxy of this server; its operator names proxies with `--trusted-proxies`")
    }

    pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let (code, class) = error.code();
        let status = match class {
            ErrorClass::Malformed => StatusCode::BAD_REQUEST,
            ErrorClass::Missing => StatusCode::NOT_FOUND,
            ErrorClass::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorClass::Forbidden => StatusCode::FORBIDDEN,
            ErrorClass::Gone => StatusCode::GONE,
            ErrorClass::Conflict => StatusCode::CONFLICT,
            ErrorClass::Unprocessable | ErrorClass::Excessive => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorClass::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorClass::Storage => StatusCode::INSUFFICIENT_STORAGE,
            ErrorClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if class == ErrorClass::Internal {
            // Details go to the log and not to the caller.
            tracing::error!(code, error = %error, "a request failed with an internal error");
            return Self::new(
                status,
                code,
                "internal error; the server log has the details",
            )
            .hint("try again; if the error persists, report it with the `x-request-id` of this answer");
        }
        if class == ErrorClass::Storage {
            tracing::error!(code, error = %error, "storage of the lake is full or read-only");
            return Self::new(status, code, "the storage of the lake is full or read-only")
                .hint("nothing was changed; send the request again once that is fixed");
        }
        // The location of the lake is not for callers.
        let detail = match error.is_no_lake() {
            true => "nothing was ingested for this tenant yet".to_owned(),
            false => error.to_string(),
        };
        let mut problem = Self::new(status, code, detail);
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
        headers.insert(CODE_HEADER, HeaderValue::from_static(code));
        if code == UNKNOWN_ENCODING {
            let known = HeaderValue::from_static("gzip, zstd");
            headers.insert(header::ACCEPT_ENCODING, known);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3.
            let scheme = match code {
                "invalid_token" => "Bearer error=\"invalid_token\"",
                _ => "Bearer",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Too many requests are waiting.
pub(crate) fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        BUSY,
        "too many requests are waiting",
    )
    .hint("try again in a moment")
}

/// Other requests use the memory of the server.
pub(crate) fn memory_in_use() -> Problem {
    Problem::from(AppError::memory_in_use())
}
