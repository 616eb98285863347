//! In-memory state of the write-ahead log: entries to append, and the size of what is not folded yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rollbook_app::Entry;
use rollbook_model::config::{JOURNAL_MEBIBYTES, JOURNAL_SLACK};
use tokio::sync::{Mutex as Turn, Notify, oneshot};

use crate::problem::Problem;
use crate::state::usage::PendingRows;

/// Bytes of bodies per appended object at most, unless it holds one body only.
const MAX_OBJECT_BYTES: usize = 4 << 20;

/// Entries that wait to be appended, and counters of appended objects that are not folded yet.
pub(crate) struct WalBuffer {
    pending: Mutex<VecDeque<PendingEntry>>,
    /// Rows of acknowledged requests that are in no snapshot yet, for quotas.
    rows: Mutex<Vec<PendingRows>>,
    /// Number of the next object; `None` until the log was listed.
    pub(crate) next: Turn<Option<u64>>,
    pub(crate) objects: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Bytes at which the log is folded at once.
    pub(crate) limit: AtomicU64,
    pub(crate) is_due: Notify,
}

/// An entry that waits to be appended, and the sender that acknowledges it.
pub(crate) struct PendingEntry {
    pub(crate) entry: Entry,
    pub(crate) acknowledge: oneshot::Sender<Result<(), Problem>>,
}

impl Default for WalBuffer {
    fn default() -> Self {
        Self {
            pending: Mutex::default(),
            rows: Mutex::default(),
            next: Turn::default(),
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(u64::from(JOURNAL_MEBIBYTES) << 20),
            is_due: Notify::new(),
        }
    }
}

impl WalBuffer {
    /// Counts the rows of an acknowledged request until the log is folded.
    pub(crate) fn keep(&self, rows: PendingRows) {
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(rows);
    }

    /// The rows of requests that were acknowledged up to now: they are being folded, and count until this is dropped.
    pub(crate) fn take_rows(&self) -> Vec<PendingRows> {
        std::mem::take(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Objects that are not folded yet, and their bytes.
    pub(crate) fn unfolded(&self) -> (u64, u64) {
        let objects = self.objects.load(Ordering::Relaxed);
        (objects, self.bytes.load(Ordering::Relaxed))
    }

    /// Whether folding is so far behind that new entries are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.unfolded().1
            >= self
                .limit
                .load(Ordering::Relaxed)
                .saturating_mul(JOURNAL_SLACK)
    }

    /// Adds an entry.
    pub(crate) fn push(&self, one: PendingEntry) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.push_back(one);
    }

    /// Whether no entry is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are pending.
    pub(crate) fn len(&self) -> usize {
        let pending = self.pending.lock();
        pending.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes the entries of the next object.
    pub(crate) fn take(&self) -> Vec<PendingEntry> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(one) = pending.front() {
            bytes += one.entry.body.len();
            if !taken.is_empty() && bytes > MAX_OBJECT_BYTES {
                break;
            }
            taken.extend(pending.pop_front());
        }
        taken
    }
}
