//! Memory accounting over the server and its workers: whether there is room for one more, and which worker
//! to end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollbook_app::process_usage::{WatchedProcess, max_resident};
use rollbook_model::config::MEMORY_BESIDE_POOL;
use rollbook_model::memory::MemoryBudget;

/// Bytes allowed to the server and all workers together beside the pool of queries, including what a worker
/// still allocates until it is ended.
const OVERHEAD: u64 = 400 << 20;
/// Bytes before the limit from which on caches give way.
const MARGIN: u64 = 64 << 20;
/// Workers always get at least this fraction of the pool (one in so many), however much the server uses.
const MIN_SHARE: u64 = rollbook_model::memory::MIN_SHARE as u64;
/// Bytes reserved for a worker that starts to answer.
const PER_WORKER: u64 = MEMORY_BESIDE_POOL;
/// Bytes that a computation in the server may use without having reserved them.
const PER_COMPUTATION: u64 = 96 << 20;
/// Interval between measurements of the server and of idle workers.
pub(crate) const MEASURE_INTERVAL: Duration = Duration::from_millis(20);

/// Why a worker has to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryExcess {
    /// It exceeds the limit of one query.
    Own,
    /// All workers together exceed their limit, and it is the largest.
    Total,
}

/// What the server and its workers use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryUsage {
    /// Resident bytes of the server.
    pub(crate) server: u64,
    /// Resident bytes of all workers.
    pub(crate) workers: u64,
    /// Bytes that the server and its workers may use together.
    pub(crate) limit: u64,
    /// Workers that answer.
    pub(crate) active: usize,
    /// Workers that wait for a request.
    pub(crate) idle: usize,
}

/// Memory of the server and its workers.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    /// Bytes that the server and its workers share.
    pub(crate) pool: usize,
    /// What parts of the server reserve of them.
    shared: Option<MemoryBudget>,
    measured: Mutex<Measured>,
}

/// The last measurements.
#[derive(Debug)]
struct Measured {
    server_process: WatchedProcess,
    /// Resident bytes of the server, with the program, and when they were measured.
    server: (u64, Instant),
    /// Resident bytes of each worker, by process id, without the program, whose pages it shares with the server.
    workers: BTreeMap<u32, u64>,
    /// Idle workers.
    idle: BTreeMap<u32, WatchedProcess>,
}

impl Measured {
    /// Measures the server and idle workers again if the last time is too long ago.
    fn update(&mut self) {
        if self.server.1.elapsed() > MEASURE_INTERVAL {
            let server = self
                .server_process
                .measure()
                .map_or(self.server.0, |usage| usage.resident);
            self.server = (server, Instant::now());
            for (worker, watched) in &mut self.idle {
                if let Some(usage) = watched.measure() {
                    self.workers.insert(*worker, usage.own);
                }
            }
        }
    }
}

impl SharedMemory {
    pub(crate) fn new(pool: usize, shared: Option<MemoryBudget>) -> Self {
        let mut server_process = WatchedProcess::new(std::process::id());
        let server = server_process.measure().map_or(0, |usage| usage.resident);
        let measured = Mutex::new(Measured {
            server_process,
            server: (server, Instant::now()),
            workers: BTreeMap::new(),
            idle: BTreeMap::new(),
        });
        Self {
            pool,
            shared,
            measured,
        }
    }

    fn with<T>(&self, edit: impl FnOnce(&mut Measured) -> T) -> T {
        edit(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the caches of the server give way to workers.
    pub(crate) fn drop_caches(&self) {
        if let Some(shared) = self.shared {
            shared.drop_caches();
        }
    }

    /// Measures again, and leaves to parts of the server what the rest does not use.
    fn update(&self, measured: &mut Measured) {
        measured.update();
        if let Some(shared) = self.shared {
            let workers = measured.workers.values().sum();
            let reserved = shared.reserved() as u64;
            let (workers, excess) = beside(self.pool as u64, measured.server.0, workers, reserved);
            let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
            shared.set_measured(bytes(workers), bytes(excess));
        }
    }

    /// Whether there is room for one more active worker.
    pub(crate) fn has_room(&self) -> bool {
        self.with(|measured| {
            self.update(measured);
            let active = measured.workers.iter();
            let active = active.filter(|(worker, _)| !measured.idle.contains_key(worker));
            let each: Vec<u64> = active
                .map(|(_, resident)| (*resident).max(PER_WORKER))
                .collect();
            let max = max_of_workers(self.pool as u64, measured.server.0);
            each.is_empty() || each.iter().sum::<u64>() + PER_WORKER <= max
        })
    }

    /// Records the resident bytes of a worker, and returns whether it has to be ended. If all workers together
    /// exceed the limit, idle ones are killed first.
    pub(crate) fn record(&self, worker: u32, resident: u64) -> Option<MemoryExcess> {
        let own_limit = max_resident(self.pool);
        self.with(|measured| {
            measured.workers.insert(worker, resident);
            self.update(measured);
            if resident > own_limit {
                return Some(MemoryExcess::Own);
            }
            let max = max_of_workers(self.pool as u64, measured.server.0);
            if measured.workers.values().sum::<u64>() > max {
                for (worker, mut watched) in std::mem::take(&mut measured.idle) {
                    measured.workers.remove(&worker);
                    // It was not reaped yet, so its process id is not reused.
                    if watched.measure().is_some() {
                        watched.kill();
                    }
                }
            }
            let is_largest = is_largest_of_too_many(&measured.workers, worker, max);
            is_largest.then_some(match measured.workers.len() {
                1 => MemoryExcess::Own,
                _ => MemoryExcess::Total,
            })
        })
    }

    /// Whether the server can compute so many answers at once, with what is usually not reserved for them.
    pub(crate) fn has_room_to_compute(&self, count: u64) -> bool {
        let usage = self.usage();
        usage.server + usage.workers + count * PER_COMPUTATION <= usage.limit
    }

    /// The memory of the server and its workers now.
    pub(crate) fn usage(&self) -> MemoryUsage {
        self.with(|measured| {
            self.update(measured);
            MemoryUsage {
                server: measured.server.0,
                workers: measured.workers.values().sum(),
                limit: self.pool as u64 + OVERHEAD,
                active: measured.workers.len().saturating_sub(measured.idle.len()),
                idle: measured.idle.len(),
            }
        })
    }

    /// Marks a worker as idle.
    pub(crate) fn set_idle(&self, worker: u32) {
        self.with(|measured| measured.idle.insert(worker, WatchedProcess::new(worker)));
    }

    /// Marks a worker as active; false if it was killed meanwhile.
    pub(crate) fn set_active(&self, worker: u32) -> bool {
        self.with(|measured| measured.idle.remove(&worker).is_some())
    }

    /// Removes a worker that has ended.
    pub(crate) fn remove(&self, worker: u32) {
        self.with(|measured| {
            measured.idle.remove(&worker);
            measured.workers.remove(&worker);
        });
    }
}

/// Bytes that all workers may use together, given the resident bytes of the server.
fn max_of_workers(pool: u64, server: u64) -> u64 {
    let left = (pool + OVERHEAD).saturating_sub(server);
    left.max(pool / MIN_SHARE)
}

/// Bytes of the pool that workers use, and those that the server uses without having reserved them. Both count from
/// where the caches of the server have to give way, before a worker is ended.
fn beside(pool: u64, server: u64, workers: u64, reserved: u64) -> (u64, u64) {
    let unreserved = (server + workers).saturating_sub(OVERHEAD - MARGIN + reserved);
    let of_workers = unreserved.min(workers);
    (of_workers.max(pool / MIN_SHARE), unreserved - of_workers)
}

/// Whether all workers together exceed `max`, and `worker` is the largest.
fn is_largest_of_too_many(workers: &BTreeMap<u32, u64>, worker: u32, max: u64) -> bool {
    let total: u64 = workers.values().sum();
    let largest = workers.iter().max_by_key(|(_, resident)| **resident);
    total > max && largest.is_some_and(|(largest, _)| *largest == worker)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rollbook_model::memory::{MemoryBudget, MemoryUse};

    use super::{
        MARGIN, MemoryExcess, OVERHEAD, SharedMemory, beside, is_largest_of_too_many,
        max_of_workers,
    };

    #[test]
    fn largest_worker_is_ended_first() {
        let mut workers = BTreeMap::from([(1, 100), (2, 300), (3, 200)]);
        let ended = |workers: &BTreeMap<u32, u64>, max| {
            let each = workers.keys().copied();
            each.filter(|one| is_largest_of_too_many(workers, *one, max))
                .collect::<Vec<_>>()
        };
        assert_eq!(ended(&workers, 600), [0; 0]);
        assert_eq!(ended(&workers, 599), [2]);
        workers.remove(&2);
        assert_eq!(ended(&workers, 599), [0; 0]);
        assert_eq!(ended(&workers, 250), [3]);
        // Of two of the same size, one is ended.
        workers.insert(4, 200);
        assert_eq!(ended(&workers, 250), [4]);
    }

    #[test]
    fn workers_and_unreserved_memory_leave_less_to_the_server() {
        let mib = |count: u64| count << 20;
        let normal = (OVERHEAD - MARGIN) >> 20;
        let beside = |server, workers, reserved| {
            let (workers, excess) = beside(mib(1000), mib(server), mib(workers), mib(reserved));
            (workers >> 20, excess >> 20)
        };
        assert_eq!(beside(100, 100, 0), (250, 0));
        assert_eq!(beside(100 + 700, 100, 700), (250, 0));
        assert_eq!(beside(100, normal - 100 + 300, 0), (300, 0));
        assert_eq!(beside(normal + 100 + 700, 0, 700), (250, 100));
        let budget = MemoryBudget::new(1 << 30);
        let memory = SharedMemory::new(1 << 30, Some(budget));
        memory.usage();
        assert_eq!(budget.room(), 3 << 28);
        memory.record(1, mib(2000));
        assert_eq!(budget.room(), 1 << 28);
        memory.remove(1);
        assert!(budget.try_grow(MemoryUse::Queries, 1 << 27));
    }

    #[test]
    fn memory_of_the_server_counts_against_workers() {
        let (pool, mib) = (1 << 30, 1 << 20);
        assert_eq!(max_of_workers(pool, 200 * mib), pool + OVERHEAD - 200 * mib);
        assert_eq!(max_of_workers(pool, 4 * pool), pool / 4);
        let memory = SharedMemory::new(1 << 30, None);
        assert!(memory.has_room());
        assert_eq!(memory.record(1, 600 * mib), None);
        let usage = memory.usage();
        assert!(usage.server > 0 && usage.limit == pool + OVERHEAD);
        assert_eq!((usage.workers, usage.active, usage.idle), (600 * mib, 1, 0));
        assert!(memory.has_room());
        assert_eq!(memory.record(3, 650 * mib), None);
        assert!(!memory.has_room());
        memory.remove(3);
        assert_eq!(memory.record(2, 3 << 30), Some(MemoryExcess::Own));
        assert_eq!(memory.record(2, 1000 * mib), Some(MemoryExcess::Total));
        memory.remove(1);
        assert_eq!(memory.record(2, 1000 * mib), None);
        // Idle workers are killed before active ones.
        let mut waiting = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        memory.record(waiting.id(), 600 * mib);
        memory.set_idle(waiting.id());
        assert_eq!(memory.record(2, 1000 * mib), None);
        assert!(!waiting.wait().unwrap().success());
        assert!(!memory.set_active(waiting.id()));
    }
}
