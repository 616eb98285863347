//! What the server and its workers have in memory together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollbook_app::usage::{Watched, most_resident};
use rollbook_model::config::MEMORY_BESIDE_POOL;

/// What the server and all workers may have beside the pool of queries. A worker that has too much
/// takes more until it is ended.
const BESIDE: u64 = 400 << 20;
/// Workers may have a part of the pool, however much the server has.
const LEAST_PART: u64 = 4;
/// Room for a worker that is about to answer.
const EACH: u64 = MEMORY_BESIDE_POOL;
/// How often it is looked at what the server itself has.
const OWN_LOOK: Duration = Duration::from_millis(20);

/// Why a worker has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// It has more than one query may use.
    Alone,
    /// All together have, and it has most of them.
    Together,
}

impl Had {
    fn look(&mut self) {
        if self.server.1.elapsed() > OWN_LOOK {
            let server = self
                .own
                .look()
                .map_or(self.server.0, |usage| usage.resident);
            self.server = (server, Instant::now());
            for (worker, watched) in &mut self.waiting {
                if let Some(usage) = watched.look() {
                    self.workers.insert(*worker, usage.resident);
                }
            }
        }
    }
}

/// What the server and its workers have in memory.
#[derive(Debug)]
pub(crate) struct Together {
    /// Bytes of the pool of a query.
    pub(crate) pool: usize,
    had: Mutex<Had>,
}

#[derive(Debug)]
struct Had {
    own: Watched,
    /// What the server has, and when that was.
    server: (u64, Instant),
    /// What each worker has, by its number.
    workers: BTreeMap<u32, u64>,
    /// Those that wait for a question.
    waiting: BTreeMap<u32, Watched>,
}

impl Together {
    pub(crate) fn new(pool: usize) -> Self {
        let mut own = Watched::process(std::process::id());
        let server = own.look().map_or(0, |usage| usage.resident);
        let had = Mutex::new(Had {
            own,
            server: (server, Instant::now()),
            workers: BTreeMap::new(),
            waiting: BTreeMap::new(),
        });
        Self { pool, had }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Had) -> T) -> T {
        what(&mut self.had.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is room for one more worker to answer, beside those that do so already.
    pub(crate) fn has_room(&self) -> bool {
        self.with(|had| {
            had.look();
            let answering = had.workers.iter();
            let answering = answering.filter(|(worker, _)| !had.waiting.contains_key(worker));
            let each: Vec<u64> = answering
                .map(|(_, resident)| (*resident).max(EACH))
                .collect();
            let most = most_together(self.pool as u64, had.server.0);
            each.is_empty() || each.iter().sum::<u64>() + EACH <= most
        })
    }

    /// Notes what a worker has, and tells whether it has to end. Where all have too much, those that
    /// wait for a question are ended first.
    pub(crate) fn note(&self, worker: u32, resident: u64) -> Option<TooMuch> {
        let alone = most_resident(self.pool);
        self.with(|had| {
            had.look();
            had.workers.insert(worker, resident);
            if resident > alone {
                return Some(TooMuch::Alone);
            }
            let most = most_together(self.pool as u64, had.server.0);
            if had.workers.values().sum::<u64>() > most {
                for (waiting, mut watched) in std::mem::take(&mut had.waiting) {
                    had.workers.remove(&waiting);
                    // Nobody has waited for it yet, so that its number is nobody else's.
                    if watched.look().is_some() {
                        watched.kill();
                    }
                }
            }
            let goes = is_largest_beyond(&had.workers, worker, most);
            goes.then_some(match had.workers.len() {
                1 => TooMuch::Alone,
                _ => TooMuch::Together,
            })
        })
    }

    /// A worker waits for a question from now on.
    pub(crate) fn waits(&self, worker: u32) {
        self.with(|had| had.waiting.insert(worker, Watched::process(worker)));
    }

    /// A worker does so no longer; whether it was left alone till now.
    pub(crate) fn resumes(&self, worker: u32) -> bool {
        self.with(|had| had.waiting.remove(&worker).is_some())
    }

    /// A worker has ended.
    pub(crate) fn left(&self, worker: u32) {
        self.with(|had| {
            had.waiting.remove(&worker);
            had.workers.remove(&worker);
        });
    }
}

/// What workers may have together beside a server that has so much.
fn most_together(pool: u64, server: u64) -> u64 {
    let left = (pool + BESIDE).saturating_sub(server);
    left.max(pool / LEAST_PART)
}

/// Whether workers have more than `most` together, and one of them the most.
fn is_largest_beyond(workers: &BTreeMap<u32, u64>, worker: u32, most: u64) -> bool {
    let together: u64 = workers.values().sum();
    let largest = workers.iter().max_by_key(|(_, resident)| **resident);
    together > most && largest.is_some_and(|(largest, _)| *largest == worker)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{BESIDE, Together, TooMuch, is_largest_beyond, most_together};

    #[test]
    fn largest_worker_is_stopped_first() {
        let mut workers = BTreeMap::from([(1, 100), (2, 300), (3, 200)]);
        let goes = |workers: &BTreeMap<u32, u64>, most| {
            let each = workers.keys().copied();
            each.filter(|one| is_largest_beyond(workers, *one, most))
                .collect::<Vec<_>>()
        };
        assert_eq!(goes(&workers, 600), [0; 0]);
        assert_eq!(goes(&workers, 599), [2]);
        workers.remove(&2);
        assert_eq!(goes(&workers, 599), [0; 0]);
        assert_eq!(goes(&workers, 250), [3]);
        // Of two that have the same, one goes.
        workers.insert(4, 200);
        assert_eq!(goes(&workers, 250), [4]);
    }

    #[test]
    fn memory_of_the_server_is_not_available_to_workers() {
        let (pool, mib) = (1 << 30, 1 << 20);
        assert_eq!(most_together(pool, 200 * mib), pool + BESIDE - 200 * mib);
        assert_eq!(most_together(pool, 4 * pool), pool / 4);
        let together = Together::new(1 << 30);
        assert!(together.has_room());
        assert_eq!(together.note(1, 600 * mib), None);
        assert!(together.has_room());
        assert_eq!(together.note(3, 650 * mib), None);
        assert!(!together.has_room());
        together.left(3);
        assert_eq!(together.note(2, 3 << 30), Some(TooMuch::Alone));
        assert_eq!(together.note(2, 1000 * mib), Some(TooMuch::Together));
        together.left(1);
        assert_eq!(together.note(2, 1000 * mib), None);
        // A worker that waits is ended before one that answers.
        let mut waiting = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        together.note(waiting.id(), 600 * mib);
        together.waits(waiting.id());
        assert_eq!(together.note(2, 1000 * mib), None);
        assert!(!waiting.wait().unwrap().success());
        assert!(!together.resumes(waiting.id()));
    }
}
