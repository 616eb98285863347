//! The memory of a cache: reserved in the memory that the process shares, and given up when others need it.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use datafusion::error::{DataFusionError, Result};
use rollbook_model::memory::{GiveWay, MemoryBudget, MemoryReservation, MemoryUse};

use super::{Contents, PeopleCache};
use crate::query_pool::in_use;

/// How long nothing is cached after the cache gave way.
const PAUSE: Duration = Duration::from_secs(10);

/// What a cache may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheLimit {
    /// Its largest size in bytes.
    pub(crate) max_bytes: usize,
    /// The memory that it shares.
    pub(crate) shared: Option<MemoryBudget>,
}

/// The bytes of rows that are being read.
pub(super) struct ByteBudget {
    max_bytes: usize,
    reservation: MemoryReservation,
}

impl ByteBudget {
    pub(super) fn new(limit: CacheLimit) -> Self {
        Self {
            max_bytes: limit.max_bytes,
            reservation: MemoryReservation::empty(limit.shared, MemoryUse::Caches),
        }
    }

    /// Takes further bytes.
    ///
    /// # Errors
    /// `ResourcesExhausted` if they exceed the size of the cache, or the memory that it shares.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        let bytes = self.reservation.bytes() + bytes;
        if bytes > self.max_bytes {
            let message = "the rows exceed the size of the cache".to_owned();
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        match self.reservation.try_resize(bytes) {
            true => Ok(()),
            false => Err(in_use(bytes)),
        }
    }
}

/// What a cache has reserved, and since when it has not to fill itself.
#[derive(Debug)]
pub(super) struct CacheMemory {
    reservation: MemoryReservation,
    paused_at: Option<Instant>,
}

impl CacheMemory {
    pub(super) fn new(shared: Option<MemoryBudget>) -> Self {
        Self {
            reservation: MemoryReservation::empty(shared, MemoryUse::Caches),
            paused_at: None,
        }
    }

    /// Reserves so many bytes instead of those before; false if they are not left.
    pub(super) fn try_reserve(&mut self, bytes: usize) -> bool {
        self.reservation.try_resize(bytes)
    }
}

impl PeopleCache {
    fn memory(&self) -> MutexGuard<'_, CacheMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_used(&self) -> MutexGuard<'_, Instant> {
        self.last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// This cache, which gives way to others that need the memory.
    pub fn into_shared(self) -> Arc<Self> {
        let cache = Arc::new(self);
        if let Some(shared) = cache.limit.shared {
            let weak: Weak<Self> = Arc::downgrade(&cache);
            shared.add_cache(weak);
        }
        cache
    }

    /// Whether it gave way a moment ago, and has to stay empty.
    pub(super) fn is_paused(&self) -> bool {
        let paused_at = self.memory().paused_at;
        paused_at.is_some_and(|paused_at| paused_at.elapsed() < PAUSE)
    }

    pub(super) fn set_used(&self) {
        *self.last_used() = Instant::now();
    }

    /// Reserves the memory of the contents, or empties them if it is not left; returns whether they stay.
    pub(super) fn reserve(&self, contents: &mut Contents) -> bool {
        let is_reserved = self.memory().try_reserve(contents.bytes());
        if !is_reserved {
            self.clear(contents);
        }
        is_reserved
    }

    /// Drops the contents, and caches nothing for a while.
    pub(super) fn clear(&self, contents: &mut Contents) {
        *contents = Contents {
            is_loading: contents.is_loading,
            exceeds_limit: contents.exceeds_limit,
            ..Contents::default()
        };
        let mut memory = self.memory();
        memory.reservation.resize(0);
        memory.paused_at = Some(Instant::now());
    }
}

impl GiveWay for PeopleCache {
    fn give_way(&self) {
        if let Ok(mut contents) = self.contents.try_lock() {
            self.clear(&mut contents);
        }
    }

    fn last_used(&self) -> Instant {
        *self.last_used()
    }
}
