//! How long snapshots stay, and what goes when they have gone.
//!
//! A snapshot expires when it is older than the retention, unless it has a name. First the records
//! go, then whatever nothing retained names any more, if it is old enough to be nobody's next
//! commit. A crash in between leaves files without a record: the next collection finds them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollbook_model::{SnapshotNumber, Timestamp, tables};
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::json::to_json;
use crate::lake::Lake;
use crate::state::State;
use crate::state::delta_log;
use crate::state::record::{self, STATE_EVERY, SnapshotRecord};
use crate::storage::lease::Live;
use crate::storage::{Listed, Put};
use crate::table::key_index;
use crate::vault::{self, Vault};

const KEPT: &str = "_kept";
/// Folders of immutable objects that the named values of a state point to.
const OBJECTS: [&str; 6] = [
    "_definitions",
    "_identity",
    "_ledger",
    "_members",
    "_models",
    "_scores",
];

/// A snapshot that stays as long as it has a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    number: SnapshotNumber,
    kept_at: Timestamp,
    /// All that opening it takes: its own record and those before may be gone.
    state: State,
}

/// What a collection removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VacuumReport {
    /// Records of snapshots.
    pub snapshots: u64,
    /// Files and objects that nothing names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Personal values of nobody: of runs that never came to their commit.
    pub values: u64,
}

/// How a collection is done.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Snapshots older than this expire.
    pub snapshots: Duration,
    /// What nothing names is left alone for this long.
    pub garbage: Duration,
    /// Only count.
    pub dry_run: bool,
}

impl Lake {
    /// Gives a snapshot a name, under which it stays.
    pub async fn keep_snapshot(
        &self,
        number: SnapshotNumber,
        name: &str,
        at: Timestamp,
    ) -> Result<(), LakeError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || name.len() > 64 || !name.chars().all(allowed)
        {
            let problem = format!("`{name}` is not a name of letters, digits, `-`, `_` and `.`");
            return Err(LakeError::Name { problem });
        }
        let state = self.state(number).await?;
        let kept = Kept {
            number,
            kept_at: at,
            state,
        };
        let path = self.path(&format!("{KEPT}/{name}.json"));
        if self.store().put_new(&path, &to_json(&kept)?).await? == Put::Exists {
            return Err(LakeError::Name {
                problem: format!("there is a snapshot called `{name}` already"),
            });
        }
        // Whoever was removing things may not have seen the name: what it removed is gone.
        self.wait_for_collectors().await?;
        match self.must_have(&kept.state.all_objects()).await {
            Err(LakeError::MissingObject { .. }) => {
                self.store().delete(&path).await?;
                Err(LakeError::Expired { number })
            }
            done => done,
        }
    }

    /// Takes a name away; the snapshot expires like any other from now on.
    pub async fn release_snapshot(&self, name: &str) -> Result<SnapshotNumber, LakeError> {
        let Some(number) = self.named_snapshots().await?.get(name).copied() else {
            return Err(LakeError::Name {
                problem: format!("there is no snapshot called `{name}`"),
            });
        };
        let path = self.path(&format!("{KEPT}/{name}.json"));
        self.store().delete(&path).await?;
        Ok(number)
    }

    /// The snapshots that have a name, by name.
    pub async fn named_snapshots(&self) -> Result<BTreeMap<String, SnapshotNumber>, LakeError> {
        let kept = self.kept_documents().await?;
        Ok(kept
            .into_iter()
            .map(|(name, kept)| (name, kept.number))
            .collect())
    }

    /// The state of a snapshot that has a name.
    pub(crate) async fn kept_state(
        &self,
        number: SnapshotNumber,
    ) -> Result<Option<State>, LakeError> {
        let mut kept = self.kept_documents().await?.into_iter();
        Ok(kept.find_map(|(_, kept)| (kept.number == number).then_some(kept.state)))
    }

    async fn kept_documents(&self) -> Result<Vec<(String, Kept)>, LakeError> {
        let mut found = Vec::new();
        for name in self.list(KEPT).await? {
            // One that was released since the listing is not kept.
            let document: Option<Kept> = self.find_document(&format!("{KEPT}/{name}")).await?;
            if let Some(kept) = &document {
                kept.state.must_be_inside()?;
            }
            let name = name.trim_end_matches(".json").to_owned();
            found.extend(document.map(|kept| (name, kept)));
        }
        Ok(found)
    }

    /// Shows `visit` the state of every snapshot that has a name, then those of all from `from` on
    /// that have not expired, oldest first.
    pub(crate) async fn each_retained(
        &self,
        from: SnapshotNumber,
        mut visit: impl FnMut(&State) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        for (_, kept) in self.kept_documents().await? {
            visit(&kept.state)?;
        }
        let (oldest, newest) = self.span().await?;
        let Some(mut state) = self.first_state(oldest.max(from), newest).await? else {
            return Ok(());
        };
        visit(&state)?;
        while state.number < newest {
            let next = state.number.next();
            state = match self.find_record(next).await? {
                Some(record) => state.apply(&record)?,
                None => match self.first_state(next, newest).await? {
                    Some(state) => state,
                    None => return Ok(()),
                },
            };
            visit(&state)?;
        }
        Ok(())
    }

    /// The earliest state that the records which are left give.
    async fn first_state(
        &self,
        oldest: SnapshotNumber,
        newest: SnapshotNumber,
    ) -> Result<Option<State>, LakeError> {
        let mut number = oldest;
        while number <= newest && number.0 > 0 {
            match self.replay(number).await {
                Ok(state) => return Ok(Some(state)),
                Err(LakeError::Expired { .. }) => number = number.next(),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Lets old snapshots expire and removes what nothing names any more, nor may name: what a run
    /// has written that is still alive is spared, however old it is.
    pub async fn vacuum(&self, how: Retention, at: Timestamp) -> Result<VacuumReport, LakeError> {
        let mut collected = VacuumReport::default();
        let lease = match how.dry_run {
            true => None,
            false => Some(self.lease_of_collector().await),
        };
        let live = self.live_leases().await?;
        let (_, seen) = self.span().await?;
        let from = self.expire(how, at, &mut collected).await?;
        self.forget_strangers(how, at, &live, &mut collected)
            .await?;
        let mut garbage = self.garbage(how, at, from).await?;
        // Runs that ended meanwhile have committed what they wrote, or not at all.
        let live = live.with(self.live_leases().await?);
        let named = self.named_now(seen.max(from)).await?;
        garbage.retain(|found| !named.contains(&found.named) && !found.may_be_of(&live));
        collected.files = garbage.len() as u64;
        collected.bytes = garbage.iter().map(|found| found.object.size).sum();
        if !how.dry_run {
            let paths = garbage.into_iter().map(|found| found.object.path);
            self.store().delete_all(&paths.collect::<Vec<_>>()).await?;
        }
        drop(lease);
        Ok(collected)
    }

    /// Forgets personal values that were put for a commit which never came.
    async fn forget_strangers(
        &self,
        how: Retention,
        at: Timestamp,
        live: &Live,
        collected: &mut VacuumReport,
    ) -> Result<(), LakeError> {
        let limit = i64::try_from(how.garbage.as_micros()).unwrap_or(i64::MAX);
        let until = at.micros().saturating_sub(limit);
        let until = DateTime::from_timestamp_micros(until).unwrap_or(DateTime::UNIX_EPOCH);
        let until = live.since().map_or(until, |since| until.min(since));
        let head = self.head().await?;
        for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
            let vault = Vault::new(self, def);
            let orphaned_keys = vault.orphaned_keys(&head, until).await?;
            collected.values += orphaned_keys
                .iter()
                .map(|keys| keys.num_rows() as u64)
                .sum::<u64>();
            if !how.dry_run {
                vault.erase(&orphaned_keys).await?;
            }
        }
        Ok(())
    }

    /// Removes records before the whole state that the oldest retained snapshot is replayed from;
    /// the first that is left.
    async fn expire(
        &self,
        how: Retention,
        at: Timestamp,
        collected: &mut VacuumReport,
    ) -> Result<SnapshotNumber, LakeError> {
        let (oldest, newest) = self.span().await?;
        let mut first = oldest;
        while first < newest {
            let record = self.find_record(first).await?;
            let is_young = |record: SnapshotRecord| {
                let age = at.micros().saturating_sub(record.committed_at.micros());
                u128::try_from(age).unwrap_or(0) <= how.snapshots.as_micros()
            };
            if record.is_some_and(is_young) {
                break;
            }
            first = first.next();
        }
        let base = (first.0 - first.0 % STATE_EVERY).max(oldest.0);
        for number in oldest.0..base {
            collected.snapshots += 1;
            if !how.dry_run {
                let path = record::path(self.tenant().as_str(), SnapshotNumber(number));
                self.store().delete(&path).await?;
            }
        }
        Ok(SnapshotNumber(base))
    }

    /// What the snapshots from `from` on name, those that have a name, and the vaults.
    async fn named_now(&self, from: SnapshotNumber) -> Result<HashSet<String>, LakeError> {
        let mut named = HashSet::new();
        let note = |state: &State| {
            named.extend(state.all_objects().into_iter().map(|(below, _)| below));
            Ok(())
        };
        self.each_retained(from, note).await?;
        named.extend(vault::read(self).await?);
        Ok(named)
    }

    /// What lies in the tenant's folder, is old enough, and is named by nothing retained.
    /// Retained are the snapshots from `from` on.
    async fn garbage(
        &self,
        how: Retention,
        at: Timestamp,
        from: SnapshotNumber,
    ) -> Result<Vec<Garbage>, LakeError> {
        let live = self.named_now(from).await?;
        let mut checkpoints = BTreeMap::new();
        for def in tables::TABLES {
            if let Some(newest) = self.newest_checkpoint(def.name).await? {
                checkpoints.insert(def.name, delta_log::checkpoint_path(def.name, newest));
            }
        }
        let root = self.path("");
        let mut garbage = Vec::new();
        for object in self.store().walk(self.tenant().as_str()).await? {
            let below = object.path.strip_prefix(&root).unwrap_or_default();
            let (folder, rest) = below.split_once('/').unwrap_or(("", below));
            let name = rest.rsplit('/').next().unwrap_or(rest);
            let is_staged = name.starts_with(".staged-");
            let of_keys = key_index::data_file_of(&object);
            // Of checkpoints the newest one is enough; names have the length of their versions.
            let is_checkpoint = name.ends_with(".checkpoint.parquet");
            let is_newest = checkpoints
                .get(folder)
                .is_none_or(|newest| below >= newest.as_str());
            if is_checkpoint && is_newest {
                continue;
            }
            let is_data = match folder {
                "_vault" => name.ends_with(".parquet") || name.ends_with(".page"),
                _ if tables::table(folder).is_none() => false,
                _ => name.ends_with(".parquet") || of_keys.is_some(),
            };
            let limit = match folder {
                _ if is_staged || is_data => how.garbage,
                "_answers" => how.snapshots,
                folder if OBJECTS.contains(&folder) => how.snapshots.max(how.garbage),
                _ => continue,
            };
            // The index of a file's keys goes with it, and so does its copy in order of time.
            let file = of_keys.as_deref().and_then(|path| path.strip_prefix(&root));
            let named = file.unwrap_or(below).to_owned();
            if !live.contains(&named) && is_older(object.modified, limit, at) {
                let is_by_name = is_data && folder != "_vault";
                garbage.push(Garbage {
                    object,
                    named,
                    is_by_name,
                });
            }
        }
        Ok(garbage)
    }
}

/// What nothing named when it was looked at.
#[derive(Debug)]
struct Garbage {
    object: Listed,
    /// What names it, or the file that it lies beside, relative to the tenant's folder.
    named: String,
    /// Whether the name tells which run wrote it.
    is_by_name: bool,
}

impl Garbage {
    /// Whether a live run may still name it.
    fn may_be_of(&self, live: &Live) -> bool {
        let is_young = live
            .since()
            .is_some_and(|since| self.object.modified >= since);
        live.may_name(&self.named) || is_young && !self.is_by_name
    }
}

fn is_older(modified: DateTime<Utc>, limit: Duration, at: Timestamp) -> bool {
    let age = at.micros().saturating_sub(modified.timestamp_micros());
    u128::try_from(age).is_ok_and(|age| age > limit.as_micros())
}
