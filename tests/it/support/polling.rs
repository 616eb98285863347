//! Waits for another process or thread: checks again and again until a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The default deadline of a test.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until something is found, and gives it.
///
/// # Panics
/// Nothing was found by the deadline: the message has what was awaited and what was seen last.
pub(crate) fn found<T, S: Debug>(what: &str, look: impl FnMut() -> Result<T, S>) -> T {
    found_within(DEADLINE, look)
        .unwrap_or_else(|seen| panic!("{what}: {seen:?} after {DEADLINE:?}"))
}

/// The same until a condition holds.
///
/// # Panics
/// It does not hold by the deadline.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    found(what, || holds().then_some(()).ok_or("not so"));
}

/// Looks until something is found or the deadline has passed: then what was seen last is the error.
pub(crate) fn found_within<T, S>(
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, S>,
) -> Result<T, S> {
    let begun = Instant::now();
    loop {
        match look() {
            Err(_) if begun.elapsed() < deadline => std::thread::sleep(PAUSE),
            seen => return seen,
        }
    }
}
