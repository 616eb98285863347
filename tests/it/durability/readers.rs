//! Queries of personal columns beside writers never fail because persons are written or erased, or
//! because unnamed objects are removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rollbook_app::Workspace;
use rollbook_app::data::sql;
use rollbook_app::ingest::{Ingest, ingest};
use rollbook_app::maintenance::vacuum;
use rollbook_ingest::Progress;
use rollbook_lake::Lake;
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;
use rollbook_tests::times;

use crate::support::own_lake::OwnLake;

/// Seconds of reading and writing; `ROLLBOOK_TEST_READING` sets more.
const SECONDS: u64 = 4;
const PERSONS: usize = 300;

fn workspace(lake: &OwnLake) -> Workspace {
    let location = lake.path("lake").to_str().unwrap().to_owned();
    Workspace::new(location, "default".parse().unwrap(), Limits::default())
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

async fn write(
    workspace: &Workspace,
    lake: &OwnLake,
    round: usize,
    persons: std::ops::Range<usize>,
) {
    let rows = persons.map(|id| format!("p{id},e{id}.{round}@example.com,Ann{id},2024-01-01\n"));
    let rows = format!(
        "external_id,email,first_name,created_at\n{}",
        rows.collect::<String>()
    );
    lake.write(&format!("{round}/persons.csv"), &rows);
    let what = Ingest {
        provider: "native".parse().unwrap(),
        paths: vec![lake.path(&round.to_string())],
        standard_input: None,
        mappings: None,
        dry_run: false,
        batch: format!("batch-{round}").parse().unwrap(),
        at: now(),
    };
    ingest(workspace, what, &Progress::silent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_of_personal_columns_succeed_beside_writers() {
    let lake = Arc::new(OwnLake::new("readers"));
    write(&workspace(&lake), &lake, 0, 0..PERSONS).await;
    let is_over = Arc::new(AtomicBool::new(false));
    // Of one process and of several: these have what they read in common, those have not.
    let shared = workspace(&lake);
    let readers = [shared.clone(), shared, workspace(&lake)].map(|workspace| {
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let query = "select count(distinct lower(email)) as n, max(first_name) from persons";
            let mut read = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = sql(&workspace, query, now(), None).await.unwrap();
                let persons = answer.batches[0]["n"].as_primitive::<Int64Type>().value(0);
                assert_eq!(persons, PERSONS as i64);
                read += 1;
            }
            read
        })
    });
    let (workspace, begun) = (workspace(&lake), Instant::now());
    let seconds = Duration::from_secs(times("ROLLBOOK_TEST_READING", SECONDS));
    let mut round = 1;
    while begun.elapsed() < seconds {
        let from = round * 7 % (PERSONS - 5);
        write(&workspace, &lake, round, from..from + 5).await;
        if round.is_multiple_of(3) {
            vacuum(&workspace, false, now()).await.unwrap();
        }
        round += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert!(round > 3, "{round} runs");
    let opened = Lake::open(&workspace.location, workspace.tenant.clone())
        .await
        .unwrap();
    assert_eq!(opened.check().await.unwrap().problems, []);
}
