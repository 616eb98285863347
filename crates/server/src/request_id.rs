//! How log, metrics and records name a request: its id, by which its lines are found, and its method.

use axum::extract::Request;
use axum::http::Method;
use uuid::Uuid;

/// The header of the id, in requests and in answers.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// Characters of a caller's request id at most.
const MAX_REQUEST_ID_CHARS: usize = 64;

/// The id of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// The caller's request id if it is valid, else a new one.
    pub(crate) fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID);
        let given = given.and_then(|id| id.to_str().ok());
        let plain = |id: &&str| {
            !id.is_empty()
                && id.len() <= MAX_REQUEST_ID_CHARS
                && id
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let id = given.filter(plain).map(str::to_owned);
        Self(id.unwrap_or_else(|| Uuid::now_v7().to_string()))
    }
}

/// The name of a method; unknown ones, which may be of any length, are `other`.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
