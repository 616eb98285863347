//! The memory that everything in a server shares: queries, caches, and answers that are being sent.
//!
//! It is an account, not an allocator: each part reserves what it is about to use, and is refused once nothing is
//! left. Caches reserve too, and give way to everything else.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Worker processes always get at least this fraction (one in so many), and so does everything else together.
pub const MIN_SHARE: usize = 4;
/// A cache gives way to another cache only if it was not used for this time.
const IDLE_CACHE: Duration = Duration::from_secs(60);

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryUse {
    /// Queries, with the sorting of rows that are ingested.
    Queries,
    /// What speeds up later queries, and gives way to everything else.
    Caches,
    /// Rows and encoded answers until they are sent.
    Answers,
}

impl MemoryUse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queries, Self::Caches, Self::Answers];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::Caches => "caches",
            Self::Answers => "answers",
        }
    }
}

/// Something that can do without the memory that it reserved.
pub trait GiveWay: Send + Sync {
    /// Drops what it holds, unless it is being changed at the moment.
    fn give_way(&self);

    /// When it was last of use.
    fn last_used(&self) -> Instant;
}

/// The memory of one process, which all its parts share. There is one for each server; it is never freed.
#[derive(Clone, Copy)]
pub struct MemoryBudget(&'static Account);

struct Account {
    limit: usize,
    /// Bytes that are reserved, in total and by [`MemoryUse`].
    reserved: AtomicUsize,
    by_use: [AtomicUsize; 3],
    /// Bytes that worker processes use.
    workers: AtomicUsize,
    /// Bytes that this process uses without having reserved them, beyond what is normal.
    excess: AtomicUsize,
    /// Queries that hold memory.
    running: AtomicUsize,
    caches: Mutex<Vec<Weak<dyn GiveWay>>>,
}

impl MemoryBudget {
    /// `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Box::leak(Box::new(Account {
            limit,
            reserved: AtomicUsize::new(0),
            by_use: Default::default(),
            workers: AtomicUsize::new(0),
            excess: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            caches: Mutex::default(),
        })))
    }

    /// All bytes, with those of worker processes.
    pub fn limit(self) -> usize {
        self.0.limit
    }

    /// Bytes that can be reserved in total.
    pub fn room(self) -> usize {
        let beside_workers = self
            .0
            .limit
            .saturating_sub(self.0.workers.load(Ordering::Relaxed));
        let excess = self.0.excess.load(Ordering::Relaxed);
        // Never nothing: memory that was freed may be measured for a long time.
        let least = self.0.limit / MIN_SHARE;
        beside_workers.max(least).saturating_sub(excess).max(least)
    }

    /// Bytes that could be reserved now; caches give way.
    pub fn available(self) -> usize {
        let caches = self.reserved_for(MemoryUse::Caches);
        (self.room() + caches).saturating_sub(self.reserved())
    }

    /// Bytes that are reserved.
    pub fn reserved(self) -> usize {
        self.0.reserved.load(Ordering::Relaxed)
    }

    /// Bytes that are reserved for a use.
    pub fn reserved_for(self, usage: MemoryUse) -> usize {
        self.0.by_use[usage as usize].load(Ordering::Relaxed)
    }

    /// Sets the bytes that worker processes use, and those that this process uses without having reserved them.
    /// Caches give way if less is left than was reserved.
    pub fn set_measured(self, workers: usize, excess: usize) {
        self.0.workers.store(workers, Ordering::Relaxed);
        self.0.excess.store(excess, Ordering::Relaxed);
        let is_too_much = || self.reserved() > self.room();
        if self.reserved_for(MemoryUse::Caches) > 0 && is_too_much() {
            self.reclaim(Duration::ZERO, |_| !is_too_much());
        }
    }

    /// Reserves further bytes, if they are left; caches give way.
    pub fn try_grow(self, usage: MemoryUse, bytes: usize) -> bool {
        if self.try_add(usage, bytes) {
            return true;
        }
        if self.reserved_for(MemoryUse::Caches) == 0 {
            return false;
        }
        let min_idle = match usage {
            MemoryUse::Caches => IDLE_CACHE,
            MemoryUse::Queries | MemoryUse::Answers => Duration::ZERO,
        };
        let mut is_reserved = false;
        self.reclaim(min_idle, |own| {
            is_reserved = own.try_add(usage, bytes);
            is_reserved
        });
        is_reserved
    }

    fn try_add(self, usage: MemoryUse, bytes: usize) -> bool {
        let room = self.room();
        let added =
            self.0
                .reserved
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                    let reserved = reserved.checked_add(bytes)?;
                    (reserved <= room).then_some(reserved)
                });
        if added.is_ok() {
            self.0.by_use[usage as usize].fetch_add(bytes, Ordering::Relaxed);
        }
        added.is_ok()
    }

    /// Reserves further bytes, even if they are not left.
    pub fn grow(self, usage: MemoryUse, bytes: usize) {
        self.0.reserved.fetch_add(bytes, Ordering::Relaxed);
        self.0.by_use[usage as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns bytes that were reserved.
    pub fn shrink(self, usage: MemoryUse, bytes: usize) {
        self.0.by_use[usage as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.0.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that a query begins to hold memory, or ceases to.
    pub fn set_running(self, is_running: bool) {
        match is_running {
            true => self.0.running.fetch_add(1, Ordering::Relaxed),
            false => self.0.running.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Bytes that a query may reserve as long as it could do with less, so that each of those that run gets as much.
    pub fn fair_share(self) -> usize {
        let of_others = self.reserved_for(MemoryUse::Answers);
        let running = self.0.running.load(Ordering::Relaxed).max(1);
        self.room().saturating_sub(of_others) / running
    }

    /// Lets all caches give way.
    pub fn drop_caches(self) {
        if self.reserved_for(MemoryUse::Caches) > 0 {
            self.reclaim(Duration::ZERO, |_| false);
        }
    }

    /// Adds a cache, which is asked to give way. It reserves its memory itself.
    pub fn add_cache(self, cache: Weak<dyn GiveWay>) {
        let mut caches = self.caches();
        caches.retain(|known| known.strong_count() > 0);
        caches.push(cache);
    }

    fn caches(self) -> MutexGuard<'static, Vec<Weak<dyn GiveWay>>> {
        self.0.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets caches give way that were not used for some time, those first that were unused longest, until it `is_enough`.
    fn reclaim(self, min_idle: Duration, mut is_enough: impl FnMut(Self) -> bool) {
        let mut caches: Vec<Arc<dyn GiveWay>> =
            self.caches().iter().filter_map(Weak::upgrade).collect();
        caches.retain(|cache| cache.last_used().elapsed() >= min_idle);
        caches.sort_by_key(|cache| cache.last_used());
        for cache in caches {
            cache.give_way();
            if is_enough(self) {
                return;
            }
        }
    }
}

impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for MemoryBudget {}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit", &self.limit())
            .field("reserved", &self.reserved())
            .finish_non_exhaustive()
    }
}

/// Bytes that are reserved until this is dropped.
#[derive(Debug)]
pub struct MemoryReservation {
    /// `None` where nothing bounds the memory of the process.
    budget: Option<MemoryBudget>,
    usage: MemoryUse,
    bytes: usize,
}

impl MemoryReservation {
    /// Of no bytes yet.
    pub fn empty(budget: Option<MemoryBudget>, usage: MemoryUse) -> Self {
        Self {
            budget,
            usage,
            bytes: 0,
        }
    }

    /// The bytes that are reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes it to so many bytes, if they are left; else it stays as it is.
    pub fn try_resize(&mut self, bytes: usize) -> bool {
        if let Some(budget) = self.budget {
            match bytes.checked_sub(self.bytes) {
                Some(more) if more > 0 && !budget.try_grow(self.usage, more) => return false,
                Some(_) => {}
                None => budget.shrink(self.usage, self.bytes - bytes),
            }
        }
        self.bytes = bytes;
        true
    }

    /// Changes it to so many bytes, even if they are not left.
    pub fn resize(&mut self, bytes: usize) {
        if let Some(budget) = self.budget {
            match bytes.checked_sub(self.bytes) {
                Some(more) => budget.grow(self.usage, more),
                None => budget.shrink(self.usage, self.bytes - bytes),
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, Weak};
    use std::time::{Duration, Instant};

    use super::{GiveWay, MemoryBudget, MemoryReservation, MemoryUse};

    struct Cache(Mutex<MemoryReservation>, Instant);

    impl Cache {
        fn of(budget: MemoryBudget, bytes: usize, last_used: Instant) -> Arc<Self> {
            let mut reservation = MemoryReservation::empty(Some(budget), MemoryUse::Caches);
            assert!(reservation.try_resize(bytes));
            let own = Arc::new(Self(Mutex::new(reservation), last_used));
            let weak: Weak<Self> = Arc::downgrade(&own);
            budget.add_cache(weak);
            own
        }

        fn bytes(&self) -> usize {
            self.0.lock().unwrap().bytes()
        }
    }

    impl GiveWay for Cache {
        fn give_way(&self) {
            self.0.lock().unwrap().resize(0);
        }

        fn last_used(&self) -> Instant {
            self.1
        }
    }

    #[test]
    fn memory_is_shared_until_nothing_is_left() {
        let budget = MemoryBudget::new(100);
        let mut query = MemoryReservation::empty(Some(budget), MemoryUse::Queries);
        let mut answer = MemoryReservation::empty(Some(budget), MemoryUse::Answers);
        assert!(query.try_resize(60) && answer.try_resize(40));
        assert!(!query.try_resize(61));
        assert_eq!((query.bytes(), budget.reserved()), (60, 100));
        assert!(query.try_resize(10));
        assert_eq!(budget.reserved_for(MemoryUse::Queries), 10);
        drop(answer);
        assert_eq!(budget.reserved(), 10);
        assert!(query.try_resize(100));
        query.resize(130);
        drop(query);
        assert_eq!(budget.reserved(), 0);
        let mut unbounded = MemoryReservation::empty(None, MemoryUse::Answers);
        assert!(unbounded.try_resize(1 << 60));
    }

    #[test]
    fn workers_and_unreserved_memory_leave_less() {
        let budget = MemoryBudget::new(100);
        budget.set_measured(30, 0);
        assert_eq!(budget.room(), 70);
        budget.set_measured(200, 0);
        assert_eq!(budget.room(), 25);
        budget.set_measured(30, 40);
        assert_eq!(budget.room(), 30);
        assert!(!budget.try_grow(MemoryUse::Queries, 31));
        budget.set_measured(30, 90);
        assert_eq!(budget.room(), 25);
        budget.set_measured(0, 0);
        assert!(budget.try_grow(MemoryUse::Queries, 100));
    }

    #[test]
    fn running_queries_get_equal_shares() {
        let budget = MemoryBudget::new(100);
        assert_eq!(budget.fair_share(), 100);
        budget.set_running(true);
        budget.set_running(true);
        assert_eq!(budget.fair_share(), 50);
        budget.grow(MemoryUse::Answers, 20);
        assert_eq!(budget.fair_share(), 40);
        budget.set_running(false);
        assert_eq!(budget.fair_share(), 80);
    }

    #[test]
    fn caches_give_way_the_one_unused_longest_first() {
        let budget = MemoryBudget::new(100);
        let now = Instant::now();
        let (new, old) = (
            Cache::of(budget, 30, now),
            Cache::of(budget, 30, now - Duration::from_secs(30)),
        );
        // Not to a cache, as long as they are used.
        assert_eq!(budget.available(), 100);
        assert!(!budget.try_grow(MemoryUse::Caches, 50));
        assert_eq!((new.bytes(), old.bytes()), (30, 30));
        assert!(budget.try_grow(MemoryUse::Queries, 50));
        assert_eq!((new.bytes(), old.bytes()), (30, 0));
        assert!(!budget.try_grow(MemoryUse::Queries, 60));
        assert_eq!((new.bytes(), budget.reserved()), (0, 50));
        let idle = Cache::of(budget, 50, now - Duration::from_secs(3600));
        assert!(budget.try_grow(MemoryUse::Caches, 50));
        assert_eq!(idle.bytes(), 0);
        // What was measured leaves less than is reserved.
        let other = Cache::of(MemoryBudget::new(100), 40, now);
        budget.shrink(MemoryUse::Caches, 50);
        let own = Cache::of(budget, 40, now);
        budget.set_measured(5, 0);
        assert_eq!(own.bytes(), 40);
        budget.set_measured(20, 0);
        assert_eq!((own.bytes(), other.bytes()), (0, 40));
    }
}
