//! Memory and processor time of a process, as the operating system counts them.
//!
//! The memory pool of a query only counts what operators report. It misses what functions allocate,
//! what planning needs, and the encoded answer.

use std::time::Duration;

use rollbook_model::config::MEMORY_BESIDE_POOL;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes that ingest needs beside its pools.
const INGEST_OVERHEAD: u64 = 1 << 30;
/// Interval between two measurements of a watched process.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(4);

/// Memory and processor time of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Resident set size in bytes.
    pub resident: u64,
    /// The same without pages that it shares with other processes, such as the program; the same where the operating
    /// system does not tell.
    pub own: u64,
    /// Accumulated processor time.
    pub busy: Duration,
}

/// A process whose usage is measured.
#[derive(Debug)]
pub struct WatchedProcess {
    system: System,
    pid: Pid,
}

impl WatchedProcess {
    /// The process with this id.
    pub fn new(pid: u32) -> Self {
        Self {
            system: System::new(),
            pid: Pid::from_u32(pid),
        }
    }

    /// Its usage now; `None` once it has ended.
    pub fn measure(&mut self) -> Option<ProcessUsage> {
        let measured = ProcessRefreshKind::nothing().with_memory().with_cpu();
        let pids = [self.pid];
        let processes = ProcessesToUpdate::Some(&pids);
        self.system
            .refresh_processes_specifics(processes, true, measured.without_tasks());
        let process = self.system.process(self.pid)?;
        let resident = process.memory();
        Some(ProcessUsage {
            resident,
            own: resident.saturating_sub(shared(self.pid.as_u32()).unwrap_or(0)),
            busy: Duration::from_millis(process.accumulated_cpu_time()),
        })
    }

    /// Kills it.
    pub fn kill(&self) {
        if let Some(process) = self.system.process(self.pid) {
            process.kill();
        }
    }
}

/// Resident bytes that a process shares with others.
fn shared(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>();
        kibibytes.ok()?.checked_mul(1024)
    };
    Some(of("RssFile:")? + of("RssShmem:")?)
}

/// Resident bytes allowed to a process whose queries have a pool of `pool` bytes.
pub fn max_resident(pool: usize) -> u64 {
    pool as u64 + MEMORY_BESIDE_POOL
}

/// Resident bytes allowed to a process that ingests: queries and the sort have a pool each; the keys of
/// a run and the files being written come on top.
pub fn max_resident_of_ingest(pool: usize) -> u64 {
    2 * pool as u64 + INGEST_OVERHEAD
}

/// Watches this process on a thread of its own, and calls `end` once more than `max` bytes are resident.
pub fn watch_own_memory(max: u64, end: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("rollbook-memory".to_owned());
    let watching = thread.spawn(move || {
        let mut own = WatchedProcess::new(std::process::id());
        while let Some(usage) = own.measure() {
            if usage.resident > max {
                return end();
            }
            std::thread::sleep(WATCH_INTERVAL);
        }
    });
    // Without the thread, the limits of the pools still apply.
    drop(watching);
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::{WatchedProcess, watch_own_memory};

    #[test]
    fn memory_and_processor_time_are_measured() {
        let mut own = WatchedProcess::new(std::process::id());
        let before = own.measure().unwrap();
        let (sender, reported) = mpsc::channel();
        watch_own_memory(before.resident + (96 << 20), move || {
            sender.send(()).unwrap();
        });
        assert!(reported.recv_timeout(Duration::from_millis(100)).is_err());
        let taken = black_box(vec![1_u8; 128 << 20]);
        reported.recv_timeout(Duration::from_secs(10)).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            black_box(&taken);
        }
        let after = own.measure().unwrap();
        assert!(after.resident > before.resident + (96 << 20));
        assert!(after.own > 96 << 20 && after.own < after.resident);
        assert!(after.busy > before.busy + Duration::from_millis(100));
        assert!(WatchedProcess::new(u32::MAX - 7).measure().is_none());
    }
}
