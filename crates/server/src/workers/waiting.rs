//! Counting requests that wait.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of requests that wait for something.
#[derive(Debug, Default)]
pub(crate) struct WaitingCount(AtomicUsize);

/// A request that waits until this is dropped, also because its caller disconnects.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl WaitingCount {
    /// One more waits.
    pub(crate) fn enter(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.0)
    }

    /// How many wait now.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::WaitingCount;

    #[test]
    fn waiting_ends_with_the_request() {
        let count = WaitingCount::default();
        let (one, other) = (count.enter(), count.enter());
        assert_eq!(count.get(), 2);
        drop(one);
        assert_eq!(count.get(), 1);
        drop(other);
        assert_eq!(count.get(), 0);
    }
}
