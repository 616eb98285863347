//! Vacuum: snapshots expire, and objects that no retained snapshot refers to are deleted.
//!
//! A snapshot expires when it is older than the retention, unless it has a name. Vacuum deletes the
//! records of expired snapshots first, then the objects that nothing refers to any more. It spares
//! young objects and those of live writers, since the next commit may refer to them. A crash in
//! between leaves unreferenced objects, which the next vacuum finds.

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
use crate::state::value_name::ObjectFolder;
use crate::storage::lease::LiveLeases;
use crate::storage::{Listed, Put};
use crate::table::key_index;
use crate::vault::{self, Vault};

/// The folder of the snapshots that have a name.
pub(super) const FOLDER: &str = "_kept";

/// A snapshot that has a name and does not expire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NamedSnapshot {
    pub(super) number: SnapshotNumber,
    kept_at: Timestamp,
    /// The whole state: the records that it was replayed from may be deleted.
    pub(super) state: State,
}

/// What vacuum deleted, or would delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VacuumReport {
    /// Records of snapshots.
    pub snapshots: u64,
    /// Files and objects that no retained snapshot refers to.
    pub files: u64,
    /// Bytes of these files and objects.
    pub bytes: u64,
    /// Personal values that no row refers to: their ingest run was never committed.
    pub values: u64,
}

/// What vacuum keeps.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Snapshots older than this expire.
    pub snapshots: Duration,
    /// Unreferenced objects younger than this are spared.
    pub garbage: Duration,
    /// Whether vacuum only counts and deletes nothing.
    pub dry_run: bool,
}

impl Lake {
    /// Gives a snapshot a name: it does not expire as long as it has one.
    ///
    /// # Errors
    /// - [`LakeError::SnapshotName`]: the name is invalid or taken.
    /// - [`LakeError::NoSnapshot`]: the lake has no snapshot of this number.
    /// - [`LakeError::Expired`]: the snapshot, or an object of it, is deleted already.
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn keep_snapshot(
        &self,
        number: SnapshotNumber,
        name: &str,
        at: Timestamp,
    ) -> Result<(), LakeError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || name.len() > 64 || !name.chars().all(allowed)
        {
            let problem =
                format!("`{name}` is not a name: use up to 64 letters, digits, `-`, `_` and `.`");
            return Err(LakeError::SnapshotName { problem });
        }
        let state = self.state(number).await?;
        let named = NamedSnapshot {
            number,
            kept_at: at,
            state,
        };
        let path = self.path(&format!("{FOLDER}/{name}.json"));
        if self.store().put_new(&path, &to_json(&named)?).await? == Put::Exists {
            return Err(LakeError::SnapshotName {
                problem: format!("there is a snapshot called `{name}` already"),
            });
        }
        // A vacuum that runs now may not see the name, and delete objects of the snapshot.
        self.wait_for_vacuums().await?;
        match self.check_exist(&named.state.all_objects()).await {
            Err(LakeError::MissingObject { .. }) => {
                self.store().delete(&path).await?;
                Err(LakeError::Expired { number })
            }
            done => done,
        }
    }

    /// Removes the name of a snapshot, which then expires like any other. Returns its number.
    ///
    /// # Errors
    /// - [`LakeError::SnapshotName`]: no snapshot has this name.
    /// - [`LakeError::Damaged`]: the stored snapshot of a name cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in it leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn release_snapshot(&self, name: &str) -> Result<SnapshotNumber, LakeError> {
        let Some(number) = self.named_snapshots().await?.get(name).copied() else {
            return Err(LakeError::SnapshotName {
                problem: format!("there is no snapshot called `{name}`"),
            });
        };
        let path = self.path(&format!("{FOLDER}/{name}.json"));
        self.store().delete(&path).await?;
        Ok(number)
    }

    /// The snapshots that have a name, by name.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the stored snapshot of a name cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in it leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn named_snapshots(&self) -> Result<BTreeMap<String, SnapshotNumber>, LakeError> {
        let named = self.named_documents().await?;
        Ok(named
            .into_iter()
            .map(|(name, named)| (name, named.number))
            .collect())
    }

    /// The state of a snapshot that has a name.
    pub(crate) async fn named_state(
        &self,
        number: SnapshotNumber,
    ) -> Result<Option<State>, LakeError> {
        let mut named = self.named_documents().await?.into_iter();
        Ok(named.find_map(|(_, named)| (named.number == number).then_some(named.state)))
    }

    pub(super) async fn named_documents(&self) -> Result<Vec<(String, NamedSnapshot)>, LakeError> {
        let mut found = Vec::new();
        for name in self.list(FOLDER).await? {
            // A name that was removed since the listing is skipped.
            let document: Option<NamedSnapshot> =
                self.find_document(&format!("{FOLDER}/{name}")).await?;
            if let Some(named) = &document {
                named.state.check_paths()?;
            }
            let name = name.trim_end_matches(".json").to_owned();
            found.extend(document.map(|named| (name, named)));
        }
        Ok(found)
    }

    /// Calls `visit` with the state of every snapshot that has a name, then with the states of the
    /// snapshots from `from` on that have not expired, oldest first. Snapshots that a retention run ended
    /// are left out.
    pub(crate) async fn each_retained(
        &self,
        from: SnapshotNumber,
        mut visit: impl FnMut(&State) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let (_, newest) = self.span().await?;
        let first = self.replay(newest).await?.first_retained()?;
        let first = first.unwrap_or_default();
        let from = from.max(first);
        for (_, named) in self.named_documents().await? {
            if named.number >= first {
                visit(&named.state)?;
            }
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

    /// The earliest state from `oldest` on that the remaining records can be replayed to.
    pub(super) async fn first_state(
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

    /// Lets old snapshots expire, and deletes objects that no retained snapshot refers to. Objects
    /// that a live writer has written are spared, however old they are.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: a snapshot's record, a named snapshot, a manifest of personal values
    ///   or a data file cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in one of these leads out of the lake.
    /// - [`LakeError::Busy`]: other writers changed the personal values in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`], [`LakeError::Parquet`], [`LakeError::Schema`]:
    ///   objects cannot be read, written or deleted.
    pub async fn vacuum(&self, how: Retention, at: Timestamp) -> Result<VacuumReport, LakeError> {
        let mut collected = VacuumReport::default();
        let lease = match how.dry_run {
            true => None,
            false => Some(self.vacuum_lease().await),
        };
        let live = self.live_leases().await?;
        let (_, seen) = self.span().await?;
        let from = self.expire(how, at, &mut collected).await?;
        self.remove_orphaned_values(how, at, &live, &mut collected)
            .await?;
        let mut garbage = self.garbage(how, at, from).await?;
        // Writers that ended meanwhile have committed their files or never will.
        let live = live.with(self.live_leases().await?);
        let referenced = self.referenced(seen.max(from)).await?;
        garbage
            .retain(|found| !referenced.contains(&found.referred) && !found.may_belong_to(&live));
        collected.files = garbage.len() as u64;
        collected.bytes = garbage.iter().map(|found| found.object.size).sum();
        if !how.dry_run {
            let paths = garbage.into_iter().map(|found| found.object.path);
            self.store().delete_all(&paths.collect::<Vec<_>>()).await?;
        }
        drop(lease);
        Ok(collected)
    }

    /// Deletes personal values that were written for a commit which never happened.
    async fn remove_orphaned_values(
        &self,
        how: Retention,
        at: Timestamp,
        live: &LiveLeases,
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

    /// Deletes the records before the whole state from which the oldest retained snapshot is
    /// replayed. Returns the first snapshot whose record remains.
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

    /// The objects that the snapshots from `from` on, the named snapshots and the vaults refer to.
    async fn referenced(&self, from: SnapshotNumber) -> Result<HashSet<String>, LakeError> {
        let mut referenced = HashSet::new();
        let add = |state: &State| {
            referenced.extend(state.all_objects().into_iter().map(|(below, _)| below));
            Ok(())
        };
        self.each_retained(from, add).await?;
        referenced.extend(vault::readable_objects(self).await?);
        Ok(referenced)
    }

    /// The objects of the tenant's folder that are old enough and that no retained snapshot, one from
    /// `from` on or a named one, refers to. Objects of folders that this version does not know are
    /// never among them.
    async fn garbage(
        &self,
        how: Retention,
        at: Timestamp,
        from: SnapshotNumber,
    ) -> Result<Vec<Garbage>, LakeError> {
        let referenced = self.referenced(from).await?;
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
            // Readers need the newest checkpoint only; all paths of checkpoints have one length.
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
                folder if ObjectFolder::named(folder).is_some() => how.snapshots.max(how.garbage),
                _ => continue,
            };
            // The key index and the time index of a data file are deleted with it.
            let file = of_keys.as_deref().and_then(|path| path.strip_prefix(&root));
            let referred = file.unwrap_or(below).to_owned();
            if !referenced.contains(&referred) && is_older(object.modified, limit, at) {
                let has_lease_in_name = is_data && folder != "_vault";
                garbage.push(Garbage {
                    object,
                    referred,
                    has_lease_in_name,
                });
            }
        }
        Ok(garbage)
    }
}

/// An object that nothing referred to when vacuum looked for references.
#[derive(Debug)]
struct Garbage {
    object: Listed,
    /// The path that a reference to the object would have, relative to the tenant's folder: its own,
    /// or that of the data file whose index it is.
    referred: String,
    /// Whether the object's name contains the lease of its writer.
    has_lease_in_name: bool,
}

impl Garbage {
    /// Whether a live writer may still commit a reference to the object.
    fn may_belong_to(&self, live: &LiveLeases) -> bool {
        let is_young = live
            .since()
            .is_some_and(|since| self.object.modified >= since);
        live.is_written_by(&self.referred) || is_young && !self.has_lease_in_name
    }
}

fn is_older(modified: DateTime<Utc>, limit: Duration, at: Timestamp) -> bool {
    let age = at.micros().saturating_sub(modified.timestamp_micros());
    u128::try_from(age).is_ok_and(|age| age > limit.as_micros())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use chrono::Utc;
    use rollbook_model::Timestamp;
    use serde_json::{Value, json};

    use super::Retention;
    use crate::{Cause, Commit, Lake};

    async fn put(lake: &Lake, below: &str) {
        let path = lake.path(below);
        lake.store().put_new(&path, b"{}").await.unwrap();
    }

    async fn commit(lake: &Lake, named: BTreeMap<String, Option<Value>>) {
        let name = "test".to_owned();
        let commit = Commit::of_names(Cause::Define { name }, Timestamp::from_micros(0), named);
        let base = lake.head().await.unwrap();
        lake.commit(&base, commit).await.unwrap();
    }

    /// Deletes what nothing refers to, however young.
    async fn vacuum(lake: &Lake) {
        let how = Retention {
            snapshots: Duration::ZERO,
            garbage: Duration::ZERO,
            dry_run: false,
        };
        let later = Utc::now().timestamp_micros() + 3_600_000_000;
        let later = Timestamp::from_micros(later);
        lake.vacuum(how, later).await.unwrap();
    }

    #[tokio::test]
    async fn objects_of_every_kind_of_value_stay_while_the_value_exists() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().to_str().unwrap();
        let lake = Lake::open_or_new(location, "default".parse().unwrap()).await;
        let lake = lake.unwrap();
        let values = [
            ("traits", json!({"path": "_definitions/traits.json"})),
            (
                "suppressions",
                json!({"path": "_definitions/suppressions.json"}),
            ),
            (
                "segment/vip",
                json!({"path": "_definitions/segment/vip/1.json"}),
            ),
            ("sync/shop", json!("_definitions/sync.json")),
            ("identity/decisions", json!("_identity/decisions.json")),
            ("identity/erased", json!("_identity/erased.json")),
            ("identity/moves", json!("_identity/moves.json")),
            ("identity/gone", json!("_identity/gone.json")),
            (
                "ledger",
                json!([{"path": "_ledger/1.json", "sets": ["_ledger/1.roaring"]}]),
            ),
            (
                "members/vip",
                json!({"path": "_members/1", "decided": {"path": "_members/2"}}),
            ),
            ("model/churn", json!({"path": "_models/churn/1.json"})),
            ("scores/churn", json!({"path": "_scores/churn-1.parquet"})),
            // A newer program wrote these names.
            (
                "journey/vip",
                json!({"steps": ["_journeys/1", "_members/3"]}),
            ),
            ("audience", json!({"models": {"x": "_models/x.json"}})),
        ];
        let objects = [
            "_definitions/traits.json",
            "_definitions/suppressions.json",
            "_definitions/segment/vip/1.json",
            "_definitions/sync.json",
            "_identity/decisions.json",
            "_identity/erased.json",
            "_identity/moves.json",
            "_identity/gone.json",
            "_ledger/1.json",
            "_ledger/1.roaring",
            "_members/1",
            "_members/2",
            "_models/churn/1.json",
            "_scores/churn-1.parquet",
            "_journeys/1",
            "_members/3",
            "_models/x.json",
        ];
        let unreferenced = [
            "_definitions/old.json",
            "_identity/old.json",
            "_ledger/old.json",
            "_members/old",
            "_models/old.json",
            "_scores/old.parquet",
        ];
        for object in objects.into_iter().chain(unreferenced) {
            put(&lake, object).await;
        }
        // This version knows neither this folder nor who may refer to the object.
        put(&lake, "_journeys/unreferenced").await;
        let named = values.map(|(name, value)| (name.to_owned(), Some(value)));
        commit(&lake, named.clone().into()).await;
        vacuum(&lake).await;
        let exists = async |below: &str| {
            let size = lake.store().get_size(&lake.path(below)).await;
            size.unwrap().is_some()
        };
        for object in objects.into_iter().chain(["_journeys/unreferenced"]) {
            assert!(exists(object).await, "{object}");
        }
        for object in unreferenced {
            assert!(!exists(object).await, "{object}");
        }

        // Without the values their objects are deleted, those of unknown folders excepted.
        commit(&lake, named.map(|(name, _)| (name, None)).into()).await;
        for _ in 0..20 {
            commit(&lake, BTreeMap::new()).await;
        }
        vacuum(&lake).await;
        for object in objects {
            let is_unknown = object.starts_with("_journeys/");
            assert_eq!(exists(object).await, is_unknown, "{object}");
        }
    }
}
