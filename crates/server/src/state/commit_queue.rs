//! Requests that wait for the next commit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rollbook_app::ingest::idempotency::{Post, Posted};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::problem::Problem;

/// A request whose body is received, until it is answered.
pub(crate) struct QueuedPost {
    pub(crate) post: Post,
    pub(crate) answer: oneshot::Sender<Result<Posted, Problem>>,
    /// The temporary folder of the body.
    pub(crate) folder: TempDir,
}

/// Requests that wait for the next commit, in the order in which their bodies arrived.
#[derive(Default)]
pub(crate) struct CommitQueue(Mutex<VecDeque<QueuedPost>>);

impl CommitQueue {
    pub(crate) fn push(&self, one: QueuedPost) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(one);
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn take(&self, max: usize) -> Vec<QueuedPost> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(max);
        waiting.drain(..count).collect()
    }
}
