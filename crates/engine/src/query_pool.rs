//! The memory pool of a session: limited by itself, and by what everything in the process shares.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use rollbook_model::config::Limits;
use rollbook_model::memory::{MemoryBudget, MemoryUse};

use crate::error::EngineError;

/// How many of the largest consumers a message on exhausted memory names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// An operator that can spill gets this much before it has to, so that it can work at all.
const MIN_SPILLABLE: usize = 16 << 20;

/// The message for a query that is refused memory within its own limit.
const IN_USE: &str = "the memory of the process is in use by other queries";

type OwnPool = TrackConsumersPool<FairSpillPool>;

/// The pool of a session with these limits.
pub(crate) fn query_pool(limits: &Limits) -> Arc<dyn MemoryPool> {
    let own = TrackConsumersPool::new(FairSpillPool::new(limits.memory), CONSUMERS_NAMED);
    match limits.shared {
        None => Arc::new(own),
        Some(shared) => Arc::new(SharedPool {
            own,
            shared,
            is_running: AtomicBool::new(false),
        }),
    }
}

/// The error of a query that was refused memory or space for temporary files.
pub(crate) fn exhausted(message: &str, limits: &Limits) -> EngineError {
    if message.contains("disk") {
        EngineError::DiskExhausted { limit: limits.disk }
    } else if message.contains(IN_USE) {
        EngineError::MemoryInUse
    } else {
        EngineError::MemoryExhausted {
            limit: limits.memory as u64,
        }
    }
}

/// The error where so many bytes are not left in the memory of the process.
pub(crate) fn in_use(bytes: usize) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!("{IN_USE}: {bytes} bytes are not left"))
}

/// Whether an error is one of [`in_use`].
pub(crate) fn is_in_use(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(message) if message.contains(IN_USE))
}

/// A pool of its own, whose memory is also reserved in the memory of the process.
#[derive(Debug)]
struct SharedPool {
    own: OwnPool,
    shared: MemoryBudget,
    /// Whether it counts as a query that holds memory.
    is_running: AtomicBool,
}

impl SharedPool {
    fn set_running(&self, is_running: bool) {
        if self.is_running.swap(is_running, Ordering::Relaxed) != is_running {
            self.shared.set_running(is_running);
        }
    }

    /// Whether a reservation has to do with less, so that other queries get their share.
    fn exceeds_share(&self, reservation: &MemoryReservation) -> bool {
        reservation.consumer().can_spill()
            && reservation.size() > MIN_SPILLABLE
            && self.own.reserved() > self.shared.fair_share()
    }
}

impl Drop for SharedPool {
    fn drop(&mut self) {
        self.shared.shrink(MemoryUse::Queries, self.own.reserved());
        self.set_running(false);
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared({})", self.own)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.grow(MemoryUse::Queries, additional);
        self.set_running(true);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.shrink(MemoryUse::Queries, shrink);
        if self.own.reserved() == 0 {
            self.set_running(false);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        self.set_running(true);
        if !self.exceeds_share(reservation) && self.shared.try_grow(MemoryUse::Queries, additional)
        {
            return Ok(());
        }
        self.own.shrink(reservation, additional);
        if self.own.reserved() == 0 {
            self.set_running(false);
        }
        Err(in_use(additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}
