//! What a process uses, as the system counts it.
//!
//! A pool counts what operators say that they take. What functions make, what an answer becomes
//! and what planning needs, the system alone counts.

use std::time::Duration;

use rollbook_model::config::MEMORY_BESIDE_POOL;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What taking rows in needs beside its pools.
const BESIDE_INGEST: u64 = 1 << 30;
/// How often who watches looks.
pub const LOOK: Duration = Duration::from_millis(4);

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of it that are in memory.
    pub resident: u64,
    /// Time that it has kept processors.
    pub busy: Duration,
}

/// A process that is watched.
#[derive(Debug)]
pub struct Watched {
    system: System,
    pid: Pid,
}

impl Watched {
    /// The process with a number.
    pub fn process(pid: u32) -> Self {
        Self {
            system: System::new(),
            pid: Pid::from_u32(pid),
        }
    }

    /// What it uses now; `None` once it has ended.
    pub fn look(&mut self) -> Option<Usage> {
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        let which = [self.pid];
        let which = ProcessesToUpdate::Some(&which);
        self.system
            .refresh_processes_specifics(which, true, what.without_tasks());
        let process = self.system.process(self.pid)?;
        Some(Usage {
            resident: process.memory(),
            busy: Duration::from_millis(process.accumulated_cpu_time()),
        })
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(process) = self.system.process(self.pid) {
            process.kill();
        }
    }
}

/// Bytes that a process may have in memory whose queries have a pool of so many.
pub fn most_resident(pool: usize) -> u64 {
    pool as u64 + MEMORY_BESIDE_POOL
}

/// Bytes that a process may have in memory that takes rows in: its sort has a pool too, and the keys
/// of a run and the files that are written are beside both.
pub fn most_of_ingest(pool: usize) -> u64 {
    2 * pool as u64 + BESIDE_INGEST
}

/// Watches this process on a thread of its own. Once it has more than `most` bytes in memory,
/// `then` is done, which should end it.
pub fn watch_own_memory(most: u64, then: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("rollbook-memory".to_owned());
    let watching = thread.spawn(move || {
        let mut own = Watched::process(std::process::id());
        while let Some(usage) = own.look() {
            if usage.resident > most {
                return then();
            }
            std::thread::sleep(LOOK);
        }
    });
    // Without a thread there are the pool's own limits.
    drop(watching);
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::{Watched, watch_own_memory};

    #[test]
    fn memory_use_is_measured() {
        let mut own = Watched::process(std::process::id());
        let before = own.look().unwrap();
        let (sender, told) = mpsc::channel();
        watch_own_memory(before.resident + (96 << 20), move || {
            sender.send(()).unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(100)).is_err());
        let taken = black_box(vec![1_u8; 128 << 20]);
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            black_box(&taken);
        }
        let after = own.look().unwrap();
        assert!(after.resident > before.resident + (96 << 20));
        assert!(after.busy > before.busy + Duration::from_millis(100));
        assert!(Watched::process(u32::MAX - 7).look().is_none());
    }
}
