//! Limits of calls: counting a call, refusing one too many, and telling callers what is left to them.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::DeclaredCharset;
use rollbook_app::access::{Caller, Grant};
use rollbook_app::ingest::count_rows as count_rows_of;

use crate::answered::Answered;
use crate::limits::{Allowance, OverLimit, RunningCall};
use crate::network::ClientAddress;
use crate::network::guarded_body::guarded;
use crate::problem::Problem;
use crate::state::Server;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A call that counts as running until it is dropped.
pub(super) struct Call {
    allowance: Option<Allowance>,
    /// What is kept until the answer is sent; nothing for callers without limits.
    running: Vec<RunningCall>,
    /// The trial key of the caller, if they have one.
    trial: Option<String>,
}

impl Call {
    /// Counts a call of a caller with a key. Callers that need no key have no limits.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn begin(server: &Server, grant: &Grant) -> Result<Self, OverLimit> {
        let caller = match grant.caller() {
            Caller::Local => {
                let (allowance, running, trial) = (None, Vec::new(), None);
                return Ok(Self {
                    allowance,
                    running,
                    trial,
                });
            }
            Caller::Key(prefix) => prefix.to_string(),
            // No prefix has a colon.
            Caller::Subject(subject) => format!("sub:{subject}"),
        };
        let (allowance, running) = server.call_limits().begin(&caller)?;
        let (running, trial) = (vec![running], grant.trial_key().map(ToString::to_string));
        Ok(Self {
            allowance,
            running,
            trial,
        })
    }

    /// Counts the rows of an answer to a trial key, before anything of it is sent.
    ///
    /// # Errors
    /// They are too many for this hour: nothing of the answer may be sent.
    pub(super) fn count_rows(&self, server: &Server, answer: &HeaderMap) -> Result<(), OverLimit> {
        let rows = Answered::of(answer).rows;
        match (&self.trial, rows) {
            (Some(key), Some(rows)) => count_rows(server, key, rows),
            _ => Ok(()),
        }
    }

    /// Counts the call as one of a tenant, too.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn of_tenant(mut self, server: &Server) -> Result<Self, OverLimit> {
        if !self.running.is_empty() {
            let running = server.call_limits().begin_of_tenant(server.tenant())?;
            self.running.push(running);
        }
        Ok(self)
    }

    /// Tells the caller what is left. The call is running until its answer is sent.
    pub(super) fn tell(self, mut response: Response) -> Response {
        if let Some(allowance) = &self.allowance {
            tell(allowance, response.headers_mut());
        }
        match self.running.is_empty() {
            true => response,
            false => response.map(|body| guarded(body, self.running)),
        }
    }
}

fn count_rows(server: &Server, key: &str, rows: u64) -> Result<(), OverLimit> {
    let counted = server
        .call_limits()
        .trial_rows
        .count(key, rows, Instant::now());
    counted.map_err(|allowance| OverLimit::Rows { rows, allowance })
}

/// Counts the rows of a body that the holder of a trial key has sent, before any of them is ingested.
///
/// # Errors
/// They are too many for this hour.
pub(crate) async fn count_body(
    server: &Server,
    body: &Path,
    charset: Option<DeclaredCharset>,
) -> Result<(), OverLimit> {
    let limit = server.call_limits().trial_rows.limit();
    let Some((key, limit)) = server.grant().trial_key().zip(limit) else {
        return Ok(());
    };
    let body = body.to_owned();
    let counting = tokio::task::spawn_blocking(move || count_rows_of(&body, charset, limit));
    count_rows(server, key.as_str(), counting.await.unwrap_or(u64::MAX))
}

/// Counts a call without a valid key.
///
/// # Errors
/// The client has made one too many.
pub(super) fn count_unauthenticated(server: &Server, call: &Extensions) -> Result<(), OverLimit> {
    let client = call.get::<ClientAddress>();
    client.map_or(Ok(()), |client| {
        server.call_limits().count_unauthenticated(client.0)
    })
}

/// Counts a call of a route that needs no key.
///
/// # Errors
/// The client has made one too many.
pub(super) fn count_open(server: &Server, call: &Extensions) -> Result<(), OverLimit> {
    let client = call.get::<ClientAddress>();
    client.map_or(Ok(()), |client| server.call_limits().count_open(client.0))
}

impl IntoResponse for OverLimit {
    fn into_response(self) -> Response {
        let (detail, hint, allowance) = match self {
            Self::Rate(allowance) => {
                let limit = allowance.limit;
                let detail = format!("more than {limit} calls were made within the time for them");
                let hint = "wait as long as `retry-after` says, then send the request again";
                (detail, hint, Some(allowance))
            }
            Self::Rows { rows, allowance } => {
                let limit = allowance.limit;
                let detail = format!(
                    "a trial key sends and gets at most {limit} rows an hour: {} are possible now, not {rows}",
                    allowance.remaining
                );
                let hint = "wait as long as `retry-after` says, or send and ask for fewer rows";
                (detail, hint, Some(allowance))
            }
            Self::Running { max, of } => {
                let detail = format!("{max} requests {of} are running already");
                let hint = "send the request again once one of them is answered";
                (detail, hint, None)
            }
        };
        let wait = allowance.map_or(Duration::ZERO, |allowance| allowance.reset);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
        let mut response = problem.hint(hint).into_response();
        let headers = response.headers_mut();
        let wait = HeaderValue::from(seconds(wait).max(1));
        headers.insert(header::RETRY_AFTER, wait);
        if let Some(allowance) = allowance {
            tell(&allowance, headers);
        }
        response
    }
}

fn tell(allowance: &Allowance, headers: &mut HeaderMap) {
    headers.insert(LIMIT, HeaderValue::from(allowance.limit));
    headers.insert(REMAINING, HeaderValue::from(allowance.remaining));
    headers.insert(RESET, HeaderValue::from(seconds(allowance.reset)));
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::{IntoResponse, Response};

    use super::{Allowance, OverLimit, seconds};

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        Some(response.headers().get(name)?.to_str().unwrap())
    }

    #[test]
    fn refused_calls_are_told_when_to_come_back() {
        let check = |milliseconds, expected| {
            let reset = Duration::from_millis(milliseconds);
            let (limit, remaining) = (100, 0);
            let over = OverLimit::Rate(Allowance {
                limit,
                remaining,
                reset,
            });
            let response = over.into_response();
            assert_eq!(response.status(), 429);
            assert_eq!(header(&response, "retry-after"), Some(expected));
            assert_eq!(header(&response, "ratelimit-limit"), Some("100"));
            assert_eq!(header(&response, "ratelimit-remaining"), Some("0"));
        };
        check(0, "1");
        check(1, "1");
        check(1000, "1");
        check(1001, "2");
        let response = OverLimit::Running {
            max: 3,
            of: "with this key",
        }
        .into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after"), Some("1"));
        assert_eq!(header(&response, "ratelimit-limit"), None);
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (milliseconds, expected) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
        }
    }
}
