use std::collections::BTreeMap;
use std::time::Duration;

use roaring::RoaringTreemap;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde_json::json;

use super::Lake;
use crate::LakeError;
use crate::maintenance::vacuum::Retention;
use crate::snapshot::commit::{Commit, Committed};
use crate::state::delta_log;
use crate::state::record::Cause;
use crate::state::{DataFile, State, TableChange};

async fn lake(folder: &tempfile::TempDir) -> Lake {
    let location = folder.path().to_str().unwrap();
    Lake::open_or_new(location, "default".parse().unwrap())
        .await
        .unwrap()
}

fn file(path: &str) -> DataFile {
    DataFile {
        path: path.to_owned(),
        size: 10,
        rows: 3,
        min_person: Some(1),
        max_person: Some(2),
        ..DataFile::default()
    }
}

fn commit(adds: &[&str], removes: &[&str]) -> Commit {
    let change = TableChange {
        adds: adds.iter().map(|path| file(path)).collect(),
        removes: removes.iter().map(|path| file(path)).collect(),
    };
    Commit {
        cause: Cause::Define {
            name: "test".to_owned(),
        },
        at: Timestamp::from_micros(1_700_000_000_000_000),
        tables: BTreeMap::from([("orders", change)]),
        touched: RoaringTreemap::from_iter([1, 2]),
        named: BTreeMap::from([("settings".to_owned(), Some(json!({"timezone": "UTC"})))]),
        idempotency_keys: Vec::new(),
    }
}

async fn write_files(lake: &Lake, commit: &Commit) {
    for (table, change) in &commit.tables {
        for file in &change.adds {
            let path = lake.path(&format!("{table}/{}", file.path));
            lake.store().put_over(&path, &[0; 10]).await.unwrap();
        }
    }
}

async fn done(lake: &Lake, base: &State, commit: Commit) -> State {
    write_files(lake, &commit).await;
    match lake.commit(base, commit).await.unwrap() {
        Committed::Done(state) => *state,
        Committed::Overtaken => panic!("nobody else writes"),
    }
}

#[tokio::test]
async fn state_equals_the_replay_of_its_commits() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let mut state = lake.head().await.unwrap();
    for n in 0..40 {
        let (add, remove) = (format!("f{n}"), format!("f{}", n - 1));
        let remove = if n == 0 {
            vec![]
        } else {
            vec![remove.as_str()]
        };
        state = done(&lake, &state, commit(&[&add], &remove)).await;
    }
    assert_eq!(lake.head().await.unwrap(), state);
    assert_eq!(state.table("orders").files, vec![file("f39")]);
    let earlier = lake.state(SnapshotNumber(17)).await.unwrap();
    assert_eq!(earlier.table("orders").files, vec![file("f16")]);
    assert!(matches!(
        lake.state(SnapshotNumber(41)).await,
        Err(LakeError::NoSnapshot {
            newest: SnapshotNumber(40),
            ..
        })
    ));
}

#[tokio::test]
async fn one_of_two_writers_is_overtaken() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let base = lake.head().await.unwrap();
    let first = done(&lake, &base, commit(&["a"], &[])).await;
    let second = commit(&["b"], &[]);
    write_files(&lake, &second).await;
    assert_eq!(
        lake.commit(&base, second).await.unwrap(),
        Committed::Overtaken
    );
    assert_eq!(lake.head().await.unwrap(), first);
}

#[tokio::test]
async fn delta_logs_are_completed_by_the_next_program() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let base = lake.head().await.unwrap();
    done(&lake, &base, commit(&["a"], &[])).await;
    let log = folder
        .path()
        .join("default")
        .join(delta_log::log_path("orders", 0));
    let published = std::fs::read(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    lake.head().await.unwrap();
    assert_eq!(std::fs::read(&log).unwrap(), published);
}

#[tokio::test]
async fn foreign_commit_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let base = lake.head().await.unwrap();
    done(&lake, &base, commit(&["a"], &[])).await;
    lake.store()
        .put_over(&lake.path(&delta_log::log_path("orders", 0)), b"{}")
        .await
        .unwrap();
    let error = lake.head().await.unwrap_err();
    assert!(matches!(&error, LakeError::ForeignCommit { table, version: 0 } if table == "orders"));
}

#[tokio::test]
async fn metadata_of_older_programs_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let mut first = commit(&["a"], &[]);
    first
        .tables
        .insert("payments", first.tables["orders"].clone());
    let mut base = done(&lake, &lake.head().await.unwrap(), first).await;
    let named = [("settings".to_owned(), Some(json!({"timezone": "UTC"})))];
    let define = Commit::of_names(
        commit(&[], &[]).cause,
        Timestamp::from_micros(0),
        named.into(),
    );
    let ids = base.tables.clone();
    for table in base.tables.values_mut() {
        table.described = None;
    }
    // A commit without rows writes no metadata.
    let state = done(&lake, &base, define).await;
    assert_eq!(state.data, base.data);
    let state = done(&lake, &state, commit(&["b"], &[])).await;
    for (name, table) in &state.tables {
        assert_eq!(table.described, ids[name].described, "{name}");
        assert_eq!(table.version, Some(1), "{name}");
        let log = lake.path(&delta_log::log_path(name, 1));
        let log = lake.store().get(&log).await.unwrap().unwrap();
        let log = std::str::from_utf8(&log).unwrap();
        assert_eq!(
            log.matches("dataSkippingNumIndexedCols").count(),
            1,
            "{log}"
        );
        assert!(!log.contains("protocol"), "{log}");
        assert_eq!(lake.newest_checkpoint(name).await.unwrap(), Some(1));
    }
    // The metadata is written once.
    let state = done(&lake, &state, commit(&["c"], &[])).await;
    assert_eq!(state.tables["payments"].version, Some(1));
    assert_eq!(lake.head().await.unwrap(), state);
}

#[tokio::test]
async fn vacuum_keeps_only_the_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let mut state = lake.head().await.unwrap();
    for n in 0..70 {
        state = done(&lake, &state, commit(&[&format!("f{n}")], &[])).await;
    }
    let names = || async {
        let mut names = lake.list("orders/_delta_log").await.unwrap();
        names.retain(|name| !name.ends_with(".json"));
        names
    };
    let of = |version: u64| format!("{version:020}.checkpoint.parquet");
    let newest = "_last_checkpoint".to_owned();
    assert_eq!(names().await, [of(32), of(64), newest.clone()]);
    let how = Retention {
        snapshots: Duration::from_secs(86_400),
        garbage: Duration::ZERO,
        dry_run: false,
    };
    let later = chrono::Utc::now().timestamp_micros() + 1_000_000;
    lake.vacuum(how, Timestamp::from_micros(later))
        .await
        .unwrap();
    assert_eq!(names().await, [of(64), newest]);
}

#[tokio::test]
async fn commit_of_missing_objects_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let base = lake.head().await.unwrap();
    let missing = lake.commit(&base, commit(&["a"], &[])).await.unwrap_err();
    assert!(matches!(missing, LakeError::MissingObject { path } if path == "orders/a"));
    // So is a commit of a file of another size, and of a value that refers to a missing object.
    let path = lake.path("orders/a");
    lake.store().put_over(&path, b"short").await.unwrap();
    let other = lake.commit(&base, commit(&["a"], &[])).await.unwrap_err();
    assert!(matches!(other, LakeError::MissingObject { .. }));
    let name = "segment/vip".to_owned();
    let value = json!({"path": "_definitions/vip.json"});
    let named = BTreeMap::from([(name, Some(value))]);
    let at = Timestamp::from_micros(0);
    let define = Commit::of_names(commit(&[], &[]).cause, at, named);
    let missing = lake.commit(&base, define.clone()).await.unwrap_err();
    assert!(
        matches!(missing, LakeError::MissingObject { path } if path == "_definitions/vip.json")
    );
    assert_eq!(lake.head().await.unwrap(), State::default());
    lake.put_document("_definitions/vip.json", &1)
        .await
        .unwrap();
    done(&lake, &base, define).await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("_format.json"), r#"{"format": 99}"#).unwrap();
    let location = folder.path().to_str().unwrap();
    let error = Lake::open_or_new(location, "default".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("format 99"), "{error}");
}

#[tokio::test]
async fn ids_are_never_reused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let at = Timestamp::from_micros(0);
    let kind = crate::snapshot::ids::IdKind::Person;
    assert_eq!(
        crate::snapshot::ids::reserve(&lake, kind, 5, at)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        crate::snapshot::ids::reserve(&lake, kind, 1, at)
            .await
            .unwrap(),
        6
    );
    // A writer died after it reserved a range and before it wrote the end marker.
    let marker = "default/_ids/person/00000000000000000007.end";
    lake.store().delete(marker).await.unwrap();
    assert_eq!(
        crate::snapshot::ids::reserve(&lake, kind, 1, at)
            .await
            .unwrap(),
        7
    );
}
