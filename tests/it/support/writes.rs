//! The progress of a process, measured by the files that it writes: for tests that interrupt it at one of
//! many moments.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, SystemTime};

use super::polling::found_within;

/// A file that was seen; a replaced one counts as another.
type Seen = (PathBuf, u64, Option<SystemTime>);

/// The files written below a folder since a moment.
pub(crate) struct Writes {
    folder: PathBuf,
    before: HashSet<Seen>,
    since: HashSet<Seen>,
}

impl Writes {
    /// Starts counting. The folder need not exist yet.
    pub(crate) fn since_now(folder: &Path) -> Self {
        let mut before = HashSet::new();
        list(folder, &mut before);
        Self {
            folder: folder.to_owned(),
            before,
            since: HashSet::new(),
        }
    }

    /// The number seen so far. Files created and deleted between two calls are not counted.
    pub(crate) fn count(&mut self) -> usize {
        let mut all = HashSet::new();
        list(&self.folder, &mut all);
        all.retain(|file| !self.before.contains(file));
        self.since.extend(all);
        self.since.len()
    }

    /// Waits until this many were seen or the process has ended; returns whether it was still running.
    pub(crate) fn reach(&mut self, count: usize, process: &mut Child) -> bool {
        let patience = Duration::from_secs(120);
        let reached = found_within(patience, || match process.try_wait().unwrap() {
            Some(_) => Ok(false),
            None if self.count() >= count => Ok(true),
            None => Err(self.since.len()),
        });
        reached.unwrap_or_else(|seen| panic!("{seen} of {count} files after {patience:?}"))
    }

    /// The number that a process writes until it ends by itself.
    pub(crate) fn until_end(&mut self, process: &mut Child) -> usize {
        self.reach(usize::MAX, process);
        assert!(process.wait().unwrap().success());
        self.count()
    }

    /// Waits as [`Writes::reach`] does, and kills the process.
    pub(crate) fn reach_and_kill(&mut self, count: usize, process: &mut Child) -> bool {
        let was_running = self.reach(count, process);
        // It may have ended since.
        let _ = process.kill();
        process.wait().unwrap();
        was_running
    }
}

/// Files may be deleted while they are listed.
fn list(folder: &Path, files: &mut HashSet<Seen>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(about) if about.is_dir() => list(&entry.path(), files),
            Ok(about) => drop(files.insert((entry.path(), about.len(), about.modified().ok()))),
            Err(_) => {}
        }
    }
}
