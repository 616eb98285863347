//! Memory and processor time of a process and of those that it started.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Size of a page of memory.
const PAGE_KIB: u64 = 4;
/// Time between two samples.
const SAMPLES: Duration = Duration::from_millis(10);

/// Peak memory of a process and its children, sampled by a thread.
pub(crate) struct PeakMemory {
    end: Sender<()>,
    sampling: JoinHandle<u64>,
}

impl PeakMemory {
    /// Starts sampling.
    pub(crate) fn watch(root: u32) -> Self {
        let (end, is_over) = channel();
        let sampling = std::thread::spawn(move || {
            let mut peak = 0;
            loop {
                peak = peak.max(usage(root).0);
                if is_over.recv_timeout(SAMPLES) != Err(RecvTimeoutError::Timeout) {
                    return peak;
                }
            }
        });
        Self { end, sampling }
    }

    /// Stops sampling; returns the peak in mebibytes.
    pub(crate) fn peak(self) -> u64 {
        drop(self.end);
        self.sampling.join().unwrap()
    }
}

/// Resident mebibytes of a process and its children, and their processor time in ticks. They run the same program, so
/// that its pages, which the operating system holds once, are counted once: for the process that has most of them.
pub(crate) fn usage(root: u32) -> (u64, u64) {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut of = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Ok(pid) = name.to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        children
            .entry(fields[1].parse().unwrap())
            .or_default()
            .push(pid);
        let (own, shared) = resident(&entry.path().join("statm")).unwrap_or_default();
        of.insert(pid, (own, shared, number(11) + number(12)));
    }
    let (mut own, mut shared, mut ticks, mut todo) = (0, 0, 0, vec![root]);
    while let Some(pid) = todo.pop() {
        let of_one = of.get(&pid).copied().unwrap_or_default();
        own += of_one.0;
        shared = shared.max(of_one.1);
        ticks += of_one.2;
        todo.extend(children.remove(&pid).unwrap_or_default());
    }
    ((own + shared) * PAGE_KIB / 1024, ticks)
}

/// Resident pages of a process: its own, and those of files, which it shares.
fn resident(statm: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(statm).ok()?;
    let mut pages = text
        .split(' ')
        .skip(1)
        .map_while(|pages| pages.parse().ok());
    let (all, shared): (u64, u64) = (pages.next()?, pages.next()?);
    Some((all - shared, shared))
}
