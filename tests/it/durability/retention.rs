//! Snapshots expire unless they are named; objects that no snapshot names are removed.

use std::path::PathBuf;

use rollbook_app::maintenance::{Extent, compact_lake};
use rollbook_lake::{Lake, LakeError, Store};
use rollbook_model::SnapshotNumber;
use rollbook_model::config::Limits;
use serde_json::json;
use tokio::sync::Mutex;

use super::power_cut::{at, collect, content, ingest, sources};
use crate::support::own_lake::OwnLake;

#[tokio::test(flavor = "multi_thread")]
async fn named_snapshot_outlives_the_others() {
    let own = OwnLake::new("retention");
    let location = own.path("lake").to_str().unwrap().to_owned();
    let files = sources(&own.path("sources"));
    let lake = Lake::open_or_new(&location, "default".parse().unwrap());
    let lake = lake.await.unwrap();
    for (run, file) in (1..).zip(&files) {
        ingest(&lake, file, run).await.unwrap();
    }
    let sums = "select count(*) as n, sum(total) as total from orders";
    let second = own.json(&["sql", sums, "--snapshot", "2"]);
    own.json(&["snapshot", "keep", "2", "before-the-sale"]);
    let twice = own.run(&["snapshot", "keep", "3", "before-the-sale"]);
    assert_eq!(twice.status.code(), Some(1));
    // Enough commits for the records before the last whole state to go.
    let (limits, turn) = (Limits::default(), Mutex::new(()));
    compact_lake(&lake, limits, Extent::All, at(9), &turn)
        .await
        .unwrap();
    for number in 0..30 {
        own.json(&["settings", "snapshot_days", &(number + 1).to_string()]);
    }
    // Files that an open handle has written are spared.
    drop(lake);
    let lake = Lake::open(&location, "default".parse().unwrap());
    let lake = lake.await.unwrap();
    let before = content(&lake).await;
    collect(&lake).await;
    assert_eq!(content(&lake).await, before);
    assert!(matches!(
        lake.state(SnapshotNumber(3)).await,
        Err(LakeError::Expired { .. })
    ));
    let refused = own.run(&["sql", sums, "--snapshot", "3"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has expired"));
    assert_eq!(own.json(&["sql", sums, "--snapshot", "2"]), second);
    assert_eq!(own.json(&["check"])["problems"], json!([]));

    // A copy of it is a lake of its own; so is one of the newest.
    let copy = own.path("copy").to_str().unwrap().to_owned();
    own.json(&["backup", &copy, "--snapshot", "2"]);
    let copied = Store::at(&copy).unwrap();
    let copied = Lake::on(copied, "default".parse().unwrap()).await.unwrap();
    assert_eq!(copied.head().await.unwrap().number, SnapshotNumber(2));
    assert_eq!(copied.check().await.unwrap().problems, []);

    own.json(&["snapshot", "release", "before-the-sale"]);
    collect(&lake).await;
    let gone = own.run(&["sql", sums, "--snapshot", "2"]);
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(content(&lake).await, before);

    // `check` finds changed files: an index first, then rows.
    let file_of = |ending: &str| {
        let folder = own.path("lake/default/orders");
        let files = std::fs::read_dir(folder).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        let is_wanted = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
        files.find(is_wanted).unwrap()
    };
    for (ending, place, said) in [
        ("keys", 40, "its key index differs from its rows"),
        ("parquet", 20, "its bytes have changed"),
    ] {
        let file = file_of(ending);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[place] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let found = own.run(&["check"]);
        assert_eq!(found.status.code(), Some(1));
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(found.contains(said), "{found}");
        bytes[place] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(own.json(&["check"])["problems"], json!([]));
    }
}
