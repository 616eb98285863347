//! The leases of a lake: who holds one, and who is alive.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::Lake;
use crate::storage::lease::{Held, Live};

const FOLDER: &str = "_leases";
/// How leases of those begin who remove what nothing names.
const OF_COLLECTORS: &str = "vacuum-";
/// After what silence it is taken for dead.
const SILENCE: Duration = Duration::from_secs(300);
/// How often those who wait look.
const LOOK: Duration = Duration::from_millis(100);

impl Lake {
    /// What the names of files that this handle writes have to contain.
    pub(crate) async fn lease(&self) -> &str {
        let take = || async { Held::take(self.store(), &self.path(FOLDER), &short_id()).await };
        &self.lease_cell().held.get_or_init(take).await.name
    }

    /// Says that something is being removed, until what is given is dropped.
    pub(crate) async fn lease_of_collector(&self) -> Held {
        let name = format!("{OF_COLLECTORS}{}", short_id());
        Held::take(self.store(), &self.path(FOLDER), &name).await
    }

    /// Who is alive. Leases of the dead are removed.
    pub(crate) async fn live_leases(&self) -> Result<Live, LakeError> {
        let root = self.path(&format!("{FOLDER}/"));
        let found = self.store().walk(&self.path(FOLDER)).await?;
        if found.is_empty() {
            return Ok(Live::default());
        }
        let now = self.now_of_store().await?;
        let mut live = Live::default();
        for object in found {
            let name = object.path.strip_prefix(&root).unwrap_or(&object.path);
            if name.starts_with('.') {
                continue;
            }
            let silent = now.signed_duration_since(object.modified).to_std();
            if silent.is_ok_and(|silent| silent > SILENCE) {
                self.store().delete(&object.path).await?;
                continue;
            }
            if name.starts_with(OF_COLLECTORS) {
                live.has_collector = true;
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

    /// Waits until nobody removes anything.
    pub(crate) async fn wait_for_collectors(&self) -> Result<(), LakeError> {
        loop {
            if !self.live_leases().await?.has_collector {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    /// What the store's clock says; this machine's, where nothing can be written there.
    async fn now_of_store(&self) -> Result<DateTime<Utc>, LakeError> {
        let path = self.path(&format!("{FOLDER}/.probe-{}", short_id()));
        if self.store().put_soft(&path, b"").await.is_err() {
            return Ok(Utc::now());
        }
        let found = self.store().modified(&path).await;
        self.store().delete_soft(&path).await;
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

    /// Collects by a clock that is two days ahead.
    async fn collect(lake: &Lake, snapshots: Duration) -> VacuumReport {
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
    async fn files_of_a_live_run_are_spared() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (open(folder.path()).await, open(folder.path()).await);
        let base = done(&run, &State::default(), written(&run).await).await;
        let commit = written(&run).await;
        for path in files(folder.path(), "orders") {
            age(&path, 3 * DAY);
        }
        assert_eq!(collect(&other, 30 * DAY).await.files, 0);
        let state = done(&run, &base, commit).await;
        drop(run);
        assert!(files(folder.path(), "_leases").is_empty());
        // What is committed stays when the run has ended.
        assert_eq!(collect(&other, 30 * DAY).await.files, 0);
        assert_eq!(state.table("orders").files.len(), 2);
        assert_eq!(other.check().await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn files_of_a_dead_run_are_collected() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (open(folder.path()).await, open(folder.path()).await);
        let base = done(&run, &State::default(), written(&run).await).await;
        let commit = written(&run).await;
        // Its beats are missed: it stands still, or its lease outlived it.
        age(
            &files(folder.path(), "_leases")[0],
            super::SILENCE + Duration::from_secs(9),
        );
        assert_eq!(collect(&other, 30 * DAY).await.files, 2);
        assert!(files(folder.path(), "_leases").is_empty());
        // Where it goes on all the same, it commits nothing.
        let refused = run.commit(&base, commit).await.unwrap_err();
        assert!(matches!(refused, LakeError::MissingObject { .. }));
        assert_eq!(other.head().await.unwrap(), base);
        assert_eq!(other.check().await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn kept_snapshot_is_complete() {
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
        // Whoever keeps a snapshot waits for those who remove things, and sees what they did.
        let collector = lake.lease_of_collector().await;
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
        drop(collector);
        let refused = keeping.await.unwrap().unwrap_err();
        assert!(matches!(refused, LakeError::Expired { number } if number == first));
        assert!(lake.named_snapshots().await.unwrap().is_empty());
        // One that was kept before stays through it.
        lake.keep_snapshot(SnapshotNumber(2), "second", now())
            .await
            .unwrap();
        assert!(collect(&lake, Duration::ZERO).await.files > 0);
        let kept = lake.state(SnapshotNumber(2)).await.unwrap();
        lake.must_have(&kept.all_objects()).await.unwrap();
    }

    #[tokio::test]
    async fn dry_run_blocks_nobody() {
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
