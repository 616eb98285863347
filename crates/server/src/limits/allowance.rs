//! What is left to a caller.

use std::time::Duration;

/// What is left to a caller after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Calls that are possible at once if none was made before.
    pub(crate) limit: u32,
    /// Calls that are possible now.
    pub(crate) remaining: u32,
    /// Time until `limit` calls are possible again; with none remaining, until one is.
    pub(crate) reset: Duration,
}
