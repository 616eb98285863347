//! Replay: the state after a sequence of commits.

use crate::LakeError;
use crate::state::State;
use crate::state::actions::Action;
use crate::state::delta_log::{data_file, description_of};
use crate::state::record::{Cause, SnapshotRecord};

impl State {
    /// The state after one more commit.
    pub(crate) fn apply(mut self, record: &SnapshotRecord) -> Result<Self, LakeError> {
        for (name, commit) in &record.tables {
            let table = self.tables.entry(name.clone()).or_default();
            table.version = Some(commit.version);
            for line in commit.log.lines() {
                let action = serde_json::from_str(line).map_err(|error| LakeError::Damaged {
                    path: format!("{name} in snapshot {}", record.number),
                    detail: error.to_string(),
                })?;
                match action {
                    Action::Add(add) => table.files.push(data_file(&add)?),
                    Action::Metadata(metadata) => table.described = description_of(&metadata),
                    Action::Remove(removed) => {
                        table.files.retain(|file| file.path != removed.path);
                    }
                    _ => {}
                }
            }
        }
        for (name, value) in &record.named {
            match value {
                Some(value) => drop(self.named.insert(name.clone(), value.clone())),
                None => drop(self.named.remove(name)),
            }
        }
        // A retention run ends all older snapshots, so results can no longer be of one of them.
        let is_first = matches!(record.cause, Cause::Retention { .. });
        let has_rows = !record.tables.is_empty() && !matches!(record.cause, Cause::Compact { .. });
        if is_first || has_rows {
            self.data = record.number;
        }
        self.number = record.number;
        Ok(self)
    }
}
