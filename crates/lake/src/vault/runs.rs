//! What a vault's manifest says: the runs that hold, and those that did a short while ago.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::state::DataFile;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) runs: Vec<DataFile>,
    /// Runs that were replaced not long ago: somebody may be reading them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<Replaced>,
}

/// A run that no longer counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) at: DateTime<Utc>,
}

impl Manifest {
    /// The replaced runs that nobody has to be able to read any more; the others stay.
    pub(super) fn take_unread(&mut self, now: DateTime<Utc>) -> Vec<Replaced> {
        let live: u64 = self.runs.iter().map(|run| run.size).sum();
        let all: u64 = self.replaced.iter().map(|run| run.size).sum();
        // Where values are written fast, their old runs shall not fill the disk.
        let time = match all > REPLACED_BYTES + 2 * live {
            true => READ_AT_LEAST,
            false => READ_AT_MOST,
        };
        let (unread, read) = std::mem::take(&mut self.replaced)
            .into_iter()
            .partition(|run| now - run.at > time);
        self.replaced = read;
        unread
    }
}

/// How long runs that were replaced are read at most, and at least: longer than queries take.
const READ_AT_MOST: TimeDelta = TimeDelta::minutes(10);
const READ_AT_LEAST: TimeDelta = TimeDelta::minutes(2);
/// Bytes of replaced runs that are left alone.
const REPLACED_BYTES: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::{Manifest, REPLACED_BYTES, Replaced};
    use crate::state::DataFile;

    #[test]
    fn replaced_runs_stay_while_they_may_be_read() {
        let now = Utc::now();
        let replaced = |minutes: i64, size: u64| Replaced {
            path: minutes.to_string(),
            size,
            at: now - TimeDelta::minutes(minutes),
        };
        let run = DataFile {
            size: 100,
            ..DataFile::default()
        };
        for (size, unread) in [(1, vec!["11"]), (REPLACED_BYTES, vec!["11", "3"])] {
            let mut manifest = Manifest {
                runs: vec![run.clone()],
                // A clock that was ahead keeps its runs for longer, and no other one's.
                replaced: [11, 3, 1, -5].map(|minutes| replaced(minutes, size)).into(),
            };
            let gone = manifest.take_unread(now);
            let gone: Vec<_> = gone.iter().map(|run| run.path.as_str()).collect();
            assert_eq!(gone, unread);
            assert_eq!(manifest.replaced.len() + gone.len(), 4);
        }
    }
}
