//! Posts that are in the journal and in no snapshot yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rollbook_app::Entry;
use rollbook_model::config::{JOURNAL_MEBIBYTES, JOURNAL_SLACK};
use tokio::sync::{Mutex as Turn, Notify, oneshot};

use crate::problem::Problem;

/// Bytes of bodies that are appended as one object at most, unless it is one body.
const OBJECT_BYTES: usize = 4 << 20;

/// What this server has appended and not folded yet, and who waits to be acknowledged.
pub(crate) struct Journal {
    gathering: Mutex<VecDeque<Gathered>>,
    /// The number of the next object; none before the journal has been looked at.
    pub(crate) next: Turn<Option<u64>>,
    pub(crate) objects: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Bytes at which folding does not wait any longer.
    pub(crate) limit: AtomicU64,
    pub(crate) is_due: Notify,
}

/// An entry that waits to be durable, and who waits for that.
pub(crate) struct Gathered {
    pub(crate) entry: Entry,
    pub(crate) acknowledge: oneshot::Sender<Result<(), Problem>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            gathering: Mutex::default(),
            next: Turn::default(),
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(u64::from(JOURNAL_MEBIBYTES) << 20),
            is_due: Notify::new(),
        }
    }
}

impl Journal {
    /// Objects that wait to be folded, and their bytes.
    pub(crate) fn ahead(&self) -> (u64, u64) {
        let objects = self.objects.load(Ordering::Relaxed);
        (objects, self.bytes.load(Ordering::Relaxed))
    }

    /// Whether folding is so far behind that nothing more should come.
    pub(crate) fn is_full(&self) -> bool {
        self.ahead().1
            >= self
                .limit
                .load(Ordering::Relaxed)
                .saturating_mul(JOURNAL_SLACK)
    }

    pub(crate) fn push(&self, one: Gathered) {
        let mut gathering = self
            .gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        gathering.push_back(one);
    }

    pub(crate) fn is_nobody_waiting(&self) -> bool {
        let gathering = self.gathering.lock();
        gathering.unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Those that are appended next, together.
    pub(crate) fn take(&self) -> Vec<Gathered> {
        let mut gathering = self
            .gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(one) = gathering.front() {
            bytes += one.entry.body.len();
            if !taken.is_empty() && bytes > OBJECT_BYTES {
                break;
            }
            taken.extend(gathering.pop_front());
        }
        taken
    }
}
