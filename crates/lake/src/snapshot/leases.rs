//! The leases of a lake: taking one, and finding out which are held by live processes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::Lake;
use crate::storage::lease::{HeldLease, LiveLeases};

const FOLDER: &str = "_leases";
/// The names of leases held by a vacuum begin with this.
const VACUUM_PREFIX: &str = "vacuum-";
/// A lease that was not renewed for so long is that of a dead process.
const LEASE_TIMEOUT: Duration = Duration::from_secs(300);
/// The pause between two looks at the leases while waiting.
const POLL: Duration = Duration::from_millis(100);

impl Lake {
    /// The lease of this handle, taken on first use. Names of the files that the handle writes contain
    /// it.
    pub(crate) async fn lease(&self) -> &str {
        let take =
            || async { HeldLease::take(self.store(), &self.path(FOLDER), &short_id()).await };
        &self.lease_cell().held.get_or_init(take).await.name
    }

    /// Takes a lease that tells others that a vacuum runs, until the lease is dropped.
    pub(crate) async fn vacuum_lease(&self) -> HeldLease {
        let name = format!("{VACUUM_PREFIX}{}", short_id());
        HeldLease::take(self.store(), &self.path(FOLDER), &name).await
    }

    /// The leases of live processes. Leases of dead ones are deleted.
    pub(crate) async fn live_leases(&self) -> Result<LiveLeases, LakeError> {
        let root = self.path(&format!("{FOLDER}/"));
        let found = self.store().walk(&self.path(FOLDER)).await?;
        if found.is_empty() {
            return Ok(LiveLeases::default());
        }
        let now = self.store_clock().await?;
        let mut live = LiveLeases::default();
        for object in found {
            let name = object.path.strip_prefix(&root).unwrap_or(&object.path);
            if name.starts_with('.') {
                continue;
            }
            let silent = now.signed_duration_since(object.modified).to_std();
            if silent.is_ok_and(|silent| silent > LEASE_TIMEOUT) {
                self.store().delete(&object.path).await?;
                continue;
            }
            if name.starts_with(VACUUM_PREFIX) {
                live.has_vacuum = true;
                continue;
            }
            let since = self.store().get(&object.path).await?;
            let since = since.and_then(|text| str::from_utf8(&text).ok()?.trim().parse().ok());
            let since = since.unwrap_or(object.modified);
            live.since = Some(live.since.map_or(since, |oldest| oldest.min(since)));
            live.names.push(name.to_owned());
        }
        Ok(live)
    }

    /// Waits until no vacuum runs.
    pub(crate) async fn wait_for_vacuums(&self) -> Result<(), LakeError> {
        loop {
            if !self.live_leases().await?.has_vacuum {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// The time by the store's clock; by this machine's where the store cannot be written.
    async fn store_clock(&self) -> Result<DateTime<Utc>, LakeError> {
        let path = self.path(&format!("{FOLDER}/.probe-{}", short_id()));
        if self.store().put_unsynced(&path, b"").await.is_err() {
            return Ok(Utc::now());
        }
        let found = self.store().modified(&path).await;
        self.store().delete_unsynced(&path).await;
        Ok(found?.unwrap_or_else(Utc::now))
    }
}

fn short_id() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use arrow::array::{ArrayRef, RecordBatch, new_null_array};
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use rollbook_model::{SnapshotNumber, Timestamp, tables};

    use crate::maintenance::vacuum::Retention;
    use crate::snapshot::commit::{Commit, Committed};
    use crate::state::{State, TableChange};
    use crate::table::writer::TableWriter;
    use crate::{Cause, Lake, LakeError, VacuumReport};

    const DAY: Duration = Duration::from_secs(86_400);

    async fn open(folder: &Path) -> Lake {
        let place = folder.to_str().unwrap();
        Lake::open_or_new(place, "default".parse().unwrap())
            .await
            .unwrap()
    }

    /// A file of one order, written and not yet committed.
    async fn written(lake: &Lake) -> Commit {
        let orders = tables::table("orders").unwrap();
        let schema = orders.stored_schema();
        let id = uuid::Uuid::new_v4().to_string();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "person_id" | "identity_id" => Arc::new(Int64Array::from(vec![1])),
                "provider" | "external_id" => Arc::new(StringArray::from(vec![id.as_str()])),
                "placed_at" => {
                    Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"))
                }
                _ => new_null_array(field.data_type(), 1),
            }
        });
        let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        let mut writer = TableWriter::new(lake, orders);
        writer.write(&rows).await.unwrap();
        let change = TableChange {
            adds: writer.finish().await.unwrap(),
            removes: Vec::new(),
        };
        let cause = Cause::Define {
            name: "test".to_owned(),
        };
        let mut commit = Commit::of_names(cause, now(), BTreeMap::new());
        commit.tables.insert("orders", change);
        commit
    }

    async fn done(lake: &Lake, base: &State, commit: Commit) -> State {
        match lake.commit(base, commit).await.unwrap() {
            Committed::Done(state) => *state,
            Committed::Overtaken => panic!("nobody else writes"),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
    }

    /// Runs vacuum with a clock that is two days ahead.
    async fn vacuum(lake: &Lake, snapshots: Duration) -> VacuumReport {
        let how = Retention {
            snapshots,
            garbage: DAY,
            dry_run: false,
        };
        let ahead = now().micros() + 2 * 86_400_000_000;
        lake.vacuum(how, Timestamp::from_micros(ahead))
            .await
            .unwrap()
    }

    fn files(folder: &Path, below: &str) -> Vec<PathBuf> {
        let Ok(found) = std::fs::read_dir(folder.join("default").join(below)) else {
            return Vec::new();
        };
        found
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    }

    fn age(path: &Path, by: Duration) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }

    #[tokio::test]
    async fn files_of_a_live_writer_are_spared() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (open(folder.path()).await, open(folder.path()).await);
        let base = done(&run, &State::default(), written(&run).await).await;
        let commit = written(&run).await;
        for path in files(folder.path(), "orders") {
            age(&path, 3 * DAY);
        }
        assert_eq!(vacuum(&other, 30 * DAY).await.files, 0);
        let state = done(&run, &base, commit).await;
        drop(run);
        assert!(files(folder.path(), "_leases").is_empty());
        // Committed files stay after the process has ended.
        assert_eq!(vacuum(&other, 30 * DAY).await.files, 0);
        assert_eq!(state.table("orders").files.len(), 2);
        assert_eq!(other.check().await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn files_of_a_dead_writer_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (open(folder.path()).await, open(folder.path()).await);
        let base = done(&run, &State::default(), written(&run).await).await;
        let commit = written(&run).await;
        // The lease was not renewed: the process hangs, or it died without deleting its lease.
        age(
            &files(folder.path(), "_leases")[0],
            super::LEASE_TIMEOUT + Duration::from_secs(9),
        );
        assert_eq!(vacuum(&other, 30 * DAY).await.files, 2);
        assert!(files(folder.path(), "_leases").is_empty());
        // A process that continues after that cannot commit the deleted files.
        let refused = run.commit(&base, commit).await.unwrap_err();
        assert!(matches!(refused, LakeError::MissingObject { .. }));
        assert_eq!(other.head().await.unwrap(), base);
        assert_eq!(other.check().await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn named_snapshot_keeps_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path()).await;
        let mut state = done(&lake, &State::default(), written(&lake).await).await;
        for _ in 0..40 {
            let mut next = written(&lake).await;
            let files = state.table("orders").files;
            next.tables.get_mut("orders").unwrap().removes = files;
            state = done(&lake, &state, next).await;
        }
        drop(lake);
        let lake = open(folder.path()).await;
        let first = SnapshotNumber(1);
        // Naming a snapshot waits for the running vacuum, then checks that no object was deleted.
        let vacuum_lease = lake.vacuum_lease().await;
        let keeping = tokio::spawn({
            let lake = lake.clone();
            async move { lake.keep_snapshot(first, "first", now()).await }
        });
        let is_kept = async {
            while lake.named_snapshots().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let is_kept = tokio::time::timeout(Duration::from_secs(60), is_kept).await;
        is_kept.expect("the snapshot has its name");
        let file = lake.state(first).await.unwrap().table("orders").files[0].clone();
        let path = lake.path(&format!("orders/{}", file.path));
        lake.store().delete(&path).await.unwrap();
        assert!(!keeping.is_finished());
        drop(vacuum_lease);
        let refused = keeping.await.unwrap().unwrap_err();
        assert!(matches!(refused, LakeError::Expired { number } if number == first));
        assert!(lake.named_snapshots().await.unwrap().is_empty());
        // A snapshot that was named before the vacuum keeps its objects.
        lake.keep_snapshot(SnapshotNumber(2), "second", now())
            .await
            .unwrap();
        assert!(vacuum(&lake, Duration::ZERO).await.files > 0);
        let named = lake.state(SnapshotNumber(2)).await.unwrap();
        lake.check_exist(&named.all_objects()).await.unwrap();
    }

    #[tokio::test]
    async fn dry_run_takes_no_vacuum_lease() {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path()).await;
        done(&lake, &State::default(), written(&lake).await).await;
        let how = Retention {
            snapshots: DAY,
            garbage: DAY,
            dry_run: true,
        };
        lake.vacuum(how, now()).await.unwrap();
        assert_eq!(files(folder.path(), "_leases").len(), 1);
    }
}
