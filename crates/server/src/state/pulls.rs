//! Running streams of members, and how much each may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Streams together should hold at most this fraction of the memory of the server (one in so many).
const SHARE: usize = 8;
/// Bounds of the bytes of rows that a stream holds at a time.
const MIN_BYTES: usize = 256 << 10;
const MAX_BYTES: usize = 16 << 20;

/// The number of running streams of members.
#[derive(Debug, Default)]
pub(crate) struct Pulls(AtomicUsize);

/// A running stream.
#[derive(Debug)]
pub(crate) struct RunningPull(Arc<Pulls>);

impl RunningPull {
    /// One more.
    pub(crate) fn begin(pulls: &Arc<Pulls>) -> Self {
        pulls.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pulls))
    }

    /// Bytes of rows that this stream should hold at a time, so that all running ones stay within their share of
    /// `memory`.
    pub(crate) fn share_of(&self, memory: usize) -> usize {
        let running = self.0.0.load(Ordering::Relaxed).max(1);
        (memory / SHARE / running).clamp(MIN_BYTES, MAX_BYTES)
    }
}

impl Drop for RunningPull {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::RunningPull;

    #[test]
    fn running_pulls_share() {
        let (pulls, memory) = (Arc::default(), 2 << 30);
        let one = RunningPull::begin(&pulls);
        assert_eq!(one.share_of(memory), 16 << 20);
        let others: Vec<_> = (1..512).map(|_| RunningPull::begin(&pulls)).collect();
        assert_eq!(one.share_of(memory), 512 << 10);
        assert_eq!(one.share_of(128 << 20), 256 << 10);
        drop(others);
        assert_eq!(one.share_of(memory), 16 << 20);
    }
}
