//! What requests may use.

use std::time::Duration;

use rollbook_model::config::{SERVE_BODY_BYTES, SERVE_BODY_SECONDS};

/// What one request, and all together, may use.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Bytes of a body of rows.
    pub body_bytes: u64,
    /// Bytes of a JSON body.
    pub json_bytes: usize,
    /// Time in which a body has to come.
    pub body_time: Duration,
    /// Time in which an answer begins.
    pub answer_time: Duration,
    /// Requests that compute at once; others wait for their turn.
    pub computing: usize,
    /// Requests at once, waiting ones among them; others are turned away.
    pub requests: usize,
    /// Connections at once; beyond that the one that has waited longest for a request is closed.
    pub connections: usize,
    /// Time in which a connection has to say what it asks for; the next time too.
    pub head_time: Duration,
    /// Time in which a caller has to take some of an answer.
    pub read_time: Duration,
    /// Members of a page at most.
    pub page: usize,
    /// Time that running requests get when the server stops.
    pub farewell: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            body_bytes: SERVE_BODY_BYTES,
            json_bytes: 1 << 20,
            body_time: Duration::from_secs(SERVE_BODY_SECONDS),
            answer_time: Duration::from_secs(120),
            computing: 4,
            requests: 512,
            connections: 640,
            head_time: Duration::from_secs(30),
            read_time: Duration::from_secs(60),
            page: 100_000,
            farewell: Duration::from_secs(20),
        }
    }
}
