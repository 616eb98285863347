//! A poller of `changes` that passes the last `until` gets each change once, whatever the clocks of
//! those who refresh.

use rollbook_app::Workspace;
use rollbook_app::ingest::{Ingest, ingest};
use rollbook_app::segments::{self, Changes, Draft, Since};
use rollbook_ingest::Progress;
use rollbook_lake::{Cause, Commit, Committed, Lake};
use rollbook_model::config::Limits;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde_json::Value;

use crate::support::own_lake::OwnLake;

/// 2025-06-01.
const NOON: i64 = 1_748_779_200_000_000;
/// Seconds by which the clock differs from noon at each step: it steps back, stands still and jumps.
const CLOCKS: [i64; 8] = [0, 5, 2, 2, -3_600, 60, 59, 0];
/// Number of steps: enough for pages of the ledger to be merged.
const STEPS: usize = 36;

struct Shop {
    lake: OwnLake,
    workspace: Workspace,
}

impl Shop {
    async fn new(name: &str) -> Self {
        let lake = OwnLake::new(name);
        let location = lake.path("lake").to_str().unwrap().to_owned();
        let workspace = Workspace::new(location, "default".parse().unwrap(), Limits::default());
        let shop = Self { lake, workspace };
        shop.person(0, 0).await;
        for (key, criteria) in [("odd", "loyalty_points % 2 = 1"), ("all", "true")] {
            let draft = Draft::new(key.parse().unwrap(), criteria.to_owned());
            segments::put(&shop.workspace, &draft, at(0)).await.unwrap();
        }
        shop
    }

    /// A person whose id is their points plus one.
    async fn person(&self, points: usize, clock: i64) {
        let rows =
            format!("external_id,loyalty_points,created_at\np{points},{points},2024-01-01\n");
        self.lake.write(&format!("{points}/persons.csv"), &rows);
        let what = Ingest {
            provider: "native".parse().unwrap(),
            paths: vec![self.lake.path(&points.to_string())],
            standard_input: None,
            mappings: None,
            dry_run: false,
            batch: format!("batch-{points}").parse().unwrap(),
            at: at(clock),
        };
        ingest(&self.workspace, what, &Progress::silent())
            .await
            .unwrap();
    }

    async fn refresh(&self, clock: i64) {
        let done = segments::refresh(&self.workspace, &[], at(clock), at(clock), false).await;
        let done = done.unwrap();
        assert_eq!(done.len(), 2);
        assert!(done.iter().all(|one| one.result.is_ok()));
    }

    async fn changes(&self, key: &str, since: Option<SnapshotNumber>) -> Changes {
        let key: SegmentKey = key.parse().unwrap();
        let since = since.map(Since::Snapshot);
        segments::changes(&self.workspace, &key, since)
            .await
            .unwrap()
    }

    async fn open(&self) -> Lake {
        let (location, tenant) = (&self.workspace.location, self.workspace.tenant.clone());
        Lake::open(location, tenant).await.unwrap()
    }

    /// Removes the commit numbers from the ledger, as older programs left it.
    async fn forget_commits(&self) {
        let lake = self.open().await;
        let state = lake.head().await.unwrap();
        let mut pages = state.named["ledger"].clone();
        for page in pages.as_array_mut().unwrap() {
            page.as_object_mut().unwrap().remove("commit").unwrap();
        }
        let cause = Cause::Define {
            name: "ledger".to_owned(),
        };
        let named = [("ledger".to_owned(), Some(pages))].into();
        let done = lake.commit(&state, Commit::of_names(cause, at(0), named));
        assert!(matches!(done.await.unwrap(), Committed::Done(_)));
    }
}

fn at(clock: i64) -> Timestamp {
    Timestamp::from_micros(NOON + clock * 1_000_000)
}

/// The ids of the persons with at most so many points, of all or of those with an odd number.
fn ids(points: usize, is_odd: bool) -> Vec<u64> {
    let persons = (0..=points).filter(|points| !is_odd || points % 2 == 1);
    persons.map(|points| points as u64 + 1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poller_gets_every_change_once_whatever_the_clock() {
    let shop = Shop::new("cursors").await;
    let mut polled = [("all", None, vec![]), ("odd", None, vec![])];
    for step in 1..=STEPS {
        let clock = CLOCKS[step % CLOCKS.len()];
        shop.person(step, clock).await;
        shop.refresh(clock).await;
        // One poller is slow: it asks after every third refresh.
        for (key, since, entered) in &mut polled {
            if *key == "all" || step % 3 == 0 {
                let found = shop.changes(key, *since).await;
                entered.extend(found.entered);
                assert!(found.left.is_empty());
                let commits: Vec<_> = found.changes.iter().map(|one| one.commit).collect();
                assert!(commits.is_sorted(), "{commits:?}");
                *since = Some(found.until);
            }
        }
    }
    for (key, since, entered) in polled {
        assert_eq!(entered, ids(STEPS, key == "odd"), "{key}");
        let nothing = shop.changes(key, since).await;
        assert!(nothing.changes.is_empty());
        assert_eq!(Some(nothing.until), since);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_names_its_commit() {
    let shop = Shop::new("cursor-commits").await;
    assert_eq!(shop.changes("all", None).await.until, SnapshotNumber(0));
    shop.refresh(0).await;
    let head = shop.open().await.head().await.unwrap().number;
    let first = shop.changes("all", None).await;
    assert_eq!((first.until, first.entered), (head, vec![1]));
    // A commit of something else moves no cursor; the members of a segment that goes leave.
    shop.person(1, 9).await;
    assert_eq!(shop.changes("all", None).await.until, head);
    let key = "all".parse().unwrap();
    segments::delete(&shop.workspace, &key, at(-9))
        .await
        .unwrap();
    let draft = Draft::new(key, "loyalty_points = 1".to_owned());
    segments::put(&shop.workspace, &draft, at(-9))
        .await
        .unwrap();
    shop.refresh(-9).await;
    let again = shop.changes("all", Some(head)).await;
    assert_eq!((again.entered, again.left), (vec![2], vec![1]));
    // The same clock twice: the next question is still answered with what it lacks.
    shop.person(2, -9).await;
    let draft = Draft::new("all".parse().unwrap(), "true".to_owned());
    segments::put(&shop.workspace, &draft, at(-9))
        .await
        .unwrap();
    shop.refresh(-9).await;
    let last = shop.changes("all", Some(again.until)).await;
    assert_eq!((last.entered, last.left), (vec![1, 3], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_without_a_commit_number_are_ordered() {
    let shop = Shop::new("cursor-older").await;
    for step in 1..=2 {
        shop.person(step, 0).await;
        shop.refresh(0).await;
    }
    shop.forget_commits().await;
    let before = shop.changes("all", None).await;
    assert_eq!(before.entered, ids(2, false));
    assert!(before.until < shop.open().await.head().await.unwrap().number);
    let nothing = shop.changes("all", Some(before.until)).await;
    assert_eq!(nothing.entered, Vec::<u64>::new());
    // From here on the pages are put together, old ones with new ones.
    let (mut since, mut entered) = (before.until, before.entered);
    for step in 3..=STEPS {
        shop.person(step, -60).await;
        shop.refresh(-60).await;
        let found = shop.changes("all", Some(since)).await;
        (since, entered) = (found.until, [entered, found.entered].concat());
    }
    assert_eq!(entered, ids(STEPS, false));
    let whole = serde_json::to_value(shop.changes("all", None).await).unwrap();
    let commits = whole["changes"].as_array().unwrap().iter();
    let commits: Vec<u64> = commits.map(|one| one["commit"].as_u64().unwrap()).collect();
    assert!(commits.is_sorted() && commits[0] > 0, "{commits:?}");
    assert_eq!(whole["until"], Value::from(*commits.last().unwrap()));
}
