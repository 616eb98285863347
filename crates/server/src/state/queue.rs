//! Posts that wait for the next commit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rollbook_app::idempotency::{Post, Posted};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::problem::Problem;

/// A request whose body has come, until it is answered.
pub(crate) struct Waiting {
    pub(crate) post: Post,
    pub(crate) answer: oneshot::Sender<Result<Posted, Problem>>,
    /// Holds the body.
    pub(crate) folder: TempDir,
}

/// Requests that wait for the next commit, in the order in which their bodies came.
#[derive(Default)]
pub(crate) struct Queue(Mutex<VecDeque<Waiting>>);

impl Queue {
    pub(crate) fn push(&self, one: Waiting) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(one);
    }

    pub(crate) fn take(&self, most: usize) -> Vec<Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(most);
        waiting.drain(..count).collect()
    }
}
