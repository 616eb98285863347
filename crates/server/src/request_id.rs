//! The id of a request, by which its log lines and its record are found.

use axum::extract::Request;
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
