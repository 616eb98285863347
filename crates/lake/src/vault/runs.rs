//! The manifest of a vault: its current runs, and those that were replaced recently.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::state::DataFile;

/// The manifest of a vault.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) runs: Vec<DataFile>,
    /// Runs that were replaced recently: queries may be reading them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<Replaced>,
}

/// A run that was replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) at: DateTime<Utc>,
}

impl Manifest {
    /// Removes from the manifest the replaced runs that no query reads any more, and returns them.
    pub(super) fn take_expired(&mut self, now: DateTime<Utc>) -> Vec<Replaced> {
        let live: u64 = self.runs.iter().map(|run| run.size).sum();
        let all: u64 = self.replaced.iter().map(|run| run.size).sum();
        // Where values change often, replaced runs must not fill the disk.
        let time = match all > REPLACED_BYTES + 2 * live {
            true => KEEP_AT_LEAST,
            false => KEEP_AT_MOST,
        };
        let (expired, kept) = std::mem::take(&mut self.replaced)
            .into_iter()
            .partition(|run| now - run.at > time);
        self.replaced = kept;
        expired
    }
}

/// How long replaced runs stay at most and at least. Both are longer than a query takes.
const KEEP_AT_MOST: TimeDelta = TimeDelta::minutes(10);
const KEEP_AT_LEAST: TimeDelta = TimeDelta::minutes(2);
/// Replaced runs up to so many bytes stay for the longer time.
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
        for (size, paths) in [(1, vec!["11"]), (REPLACED_BYTES, vec!["11", "3"])] {
            let mut manifest = Manifest {
                runs: vec![run.clone()],
                // A run that was replaced in the future, by a fast clock, stays longer.
                replaced: [11, 3, 1, -5].map(|minutes| replaced(minutes, size)).into(),
            };
            let expired = manifest.take_expired(now);
            let expired: Vec<_> = expired.iter().map(|run| run.path.as_str()).collect();
            assert_eq!(expired, paths);
            assert_eq!(manifest.replaced.len() + expired.len(), 4);
        }
    }
}
