//! Patched refreshes see rows that count for persons whom they do not name, and segments that were
//! recreated under the same name. After each step, patched members, from the lake or from the cache, equal
//! those computed over all persons.

use rollbook_app::Workspace;
use rollbook_app::identity::{Decider, DecisionRequest, decide};
use rollbook_app::ingest::{Ingest, Ingested, ingest, undo};
use rollbook_app::maintenance::{Extent, compact_lake};
use rollbook_app::segments::{self, Draft, How};
use rollbook_ingest::Progress;
use rollbook_lake::Lake;
use rollbook_model::config::Limits;
use rollbook_model::{BatchId, SegmentKey, Timestamp};
use rollbook_segments::membership::{current, persons};
use tokio::sync::Mutex;

use crate::support::own_lake::OwnLake;

const LINES: &str = "external_id,person_external_id,order_id,sku,placed_at";
const ORDERS: &str = "external_id,person_external_id,status,currency,total,placed_at";
const PERSONS: &str = "external_id,created_at";
const REFUNDS: &str = "external_id,person_external_id,order_id,amount,currency,refunded_at";

/// Criteria that depend on rows of orders.
const CRITERIA: [(&str, &str); 7] = [
    ("total", "total_spent >= 50"),
    ("less", "total_spent < 0"),
    ("spent", "spent(within => interval '400 days') >= 50"),
    ("refunded", "did('order_refunded')"),
    ("large", "did('order_refunded', where => 'amount > 20')"),
    ("bought", "bought('S1')"),
    (
        "both",
        "in_segment('total') and bought(sku => 'S1', within => interval '40 days')",
    ),
];

struct Shop {
    lake: OwnLake,
    workspace: Workspace,
    warm: Workspace,
    as_of: Timestamp,
    now: Timestamp,
    steps: u32,
    is_warm: bool,
}

impl Shop {
    /// Persons `a` and `b`, with ids 1 and 2, and other unaffected persons.
    async fn new(name: &str) -> Self {
        let lake = OwnLake::new(name);
        let location = lake.path("lake").to_str().unwrap().to_owned();
        let workspace = Workspace::new(location, "default".parse().unwrap(), Limits::default());
        let mut shop = Self {
            lake,
            warm: workspace.clone().with_cache(),
            workspace,
            as_of: "2025-02-01T00:00:00Z".parse().unwrap(),
            now: "2025-03-01T00:00:00Z".parse().unwrap(),
            steps: 0,
            is_warm: false,
        };
        let others = (1..40).map(|other| format!("\nother{other},2024-01-01"));
        let rows = format!("a,2024-01-01\nb,2024-01-01{}", others.collect::<String>());
        shop.take(&[("persons", PERSONS, &rows)]).await;
        shop
    }

    fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_micros(self.now.micros() + 1_000_000);
        self.now
    }

    /// Ingests rows of several tables as one batch.
    async fn take(&mut self, tables: &[(&str, &str, &str)]) -> Ingested {
        self.steps += 1;
        let folder = format!("step-{}", self.steps);
        for (table, columns, rows) in tables {
            let text = format!("{columns}\n{rows}\n");
            self.lake.write(&format!("{folder}/{table}.csv"), &text);
        }
        let what = Ingest {
            provider: "native".parse().unwrap(),
            paths: vec![self.lake.path(&folder)],
            standard_input: None,
            mappings: None,
            dry_run: false,
            batch: format!("batch-{}", self.steps).parse().unwrap(),
            at: self.tick(),
        };
        let done = ingest(&self.workspace, what, &Progress::silent()).await;
        let done = done.unwrap();
        assert!(!done.tables.is_empty());
        assert!(done.tables.iter().all(|table| table.quarantined == 0));
        done
    }

    async fn put(&mut self, key: &str, criteria: &str) {
        let draft = Draft::new(key.parse().unwrap(), criteria.to_owned());
        let at = self.tick();
        segments::put(&self.workspace, &draft, at).await.unwrap();
    }

    async fn put_all(&mut self) {
        for (key, criteria) in CRITERIA {
            self.put(key, criteria).await;
        }
    }

    async fn delete(&mut self, key: &str) {
        let at = self.tick();
        let key = key.parse().unwrap();
        segments::delete(&self.workspace, &key, at).await.unwrap();
    }

    /// Each table as one run of files.
    async fn compact(&mut self) {
        let (now, turn) = (self.tick(), Mutex::new(()));
        let lake = self.open().await;
        let done = compact_lake(&lake, Limits::default(), Extent::All, now, &turn).await;
        done.unwrap();
    }

    async fn decide(&mut self, wanted: DecisionRequest) -> String {
        let decider = Decider {
            by: "kim".to_owned(),
            at: self.tick(),
            dry_run: false,
        };
        decide(&self.workspace, &wanted, &decider)
            .await
            .unwrap()
            .entry
    }

    async fn open(&self) -> Lake {
        let (location, tenant) = (&self.workspace.location, self.workspace.tenant.clone());
        Lake::open(location, tenant).await.unwrap()
    }

    fn pass(&mut self, until: &str) {
        self.as_of = until.parse().unwrap();
    }

    async fn refresh(&mut self, is_full: bool) -> Vec<(SegmentKey, How, u64)> {
        let at = self.tick();
        let workspace = if self.is_warm {
            &self.warm
        } else {
            &self.workspace
        };
        let done = segments::refresh(workspace, &[], self.as_of, at, is_full).await;
        let done = done.unwrap().into_iter().map(|one| {
            let done = one.result.unwrap();
            (one.segment, done.how, done.entered + done.left)
        });
        done.collect()
    }

    async fn members(&self, key: &str) -> Vec<u64> {
        let (lake, key) = (self.open().await, key.parse().unwrap());
        let state = lake.head().await.unwrap();
        let refreshed = current(&state, &key).unwrap().unwrap();
        persons(&lake, &refreshed).await.unwrap().iter().collect()
    }

    /// Patches, and compares with the members computed over all persons, in turns from the lake and from the
    /// cache, and with one explanation.
    async fn holds(&mut self, step: &str, expected: [&[u64]; 7]) {
        let patched = self.refresh(false).await;
        assert_eq!(patched.len(), CRITERIA.len(), "{step}");
        for (key, how, _) in patched {
            assert!(matches!(how, How::Patched(_)), "{step}: {key} {how:?}");
        }
        for ((key, criteria), expected) in CRITERIA.into_iter().zip(expected) {
            assert_eq!(self.members(key).await, expected, "{step}: {criteria}");
        }
        self.is_warm = !self.is_warm;
        let full = self.refresh(true).await;
        assert_eq!(full.len(), CRITERIA.len(), "{step}");
        for (key, _, moved) in full {
            assert_eq!(moved, 0, "{step}: {key} is not what it was patched to");
        }
        let (key, criteria) = CRITERIA[self.steps as usize % CRITERIA.len()];
        let expected = expected[self.steps as usize % CRITERIA.len()];
        let question = (key.parse().unwrap(), u64::from(1 + self.steps % 2));
        let why = segments::explain(&self.workspace, &question.0, question.1, self.as_of).await;
        let (is_member, belongs) = (
            why.unwrap().explained.is_member,
            expected.contains(&question.1),
        );
        assert_eq!(
            is_member, belongs,
            "{step}: {criteria}, explained of {}",
            question.1
        );
    }
}

const NOBODY: &[u64] = &[];
const A: &[u64] = &[1];
const B: &[u64] = &[2];
const BOTH: &[u64] = &[1, 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_see_changed_and_deleted_rows_of_orders() {
    let mut shop = Shop::new("patches-of-orders").await;
    let orders = "o1,a,paid,EUR,100,2025-01-01\no2,b,paid,EUR,100,2025-01-01";
    let lines = "l1,,o1,S1,2025-01-01\nl3,,o2,S1,2025-02-10";
    shop.take(&[
        ("orders", ORDERS, orders),
        ("order_lines", LINES, lines),
        ("refunds", REFUNDS, "r1,,o1,60,EUR,2025-01-02"),
    ])
    .await;
    shop.put_all().await;
    shop.refresh(false).await;
    shop.take(&[("refunds", REFUNDS, "r2,,o2,1,EUR,2025-01-02")])
        .await;
    shop.holds("a second refund", [B, NOBODY, B, BOTH, A, A, NOBODY])
        .await;

    shop.compact().await;
    let deleted = format!("{REFUNDS},_deleted");
    shop.take(&[("refunds", &deleted, "r1,,o1,60,EUR,2025-01-02,true")])
        .await;
    shop.holds(
        "a refund deleted after a compaction",
        [BOTH, NOBODY, BOTH, B, NOBODY, A, A],
    )
    .await;

    shop.take(&[("refunds", REFUNDS, "r4,,o2,70,EUR,2025-01-02")])
        .await;
    shop.compact().await;
    shop.take(&[("refunds", REFUNDS, "r4,,o1,70,EUR,2025-01-02")])
        .await;
    shop.holds(
        "a refund of another order",
        [B, NOBODY, B, BOTH, A, A, NOBODY],
    )
    .await;

    shop.compact().await;
    let deleted = format!("{LINES},_deleted");
    shop.take(&[("order_lines", &deleted, "l1,,o1,S1,2025-01-01,true")])
        .await;
    shop.holds("a line deleted", [B, NOBODY, B, BOTH, A, NOBODY, NOBODY])
        .await;

    let ahead = shop.explained("bought", 2).await;
    assert_eq!(ahead, Some("2025-02-10T00:00:00Z".parse().unwrap()));
    assert_eq!(
        shop.calendar("bought", 10).await,
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    );
    shop.pass("2025-02-11T00:00:00Z");
    shop.holds(
        "a line that comes to pass",
        [B, NOBODY, B, BOTH, A, B, NOBODY],
    )
    .await;

    shop.take(&[("orders", ORDERS, "o1,b,paid,EUR,100,2025-01-01")])
        .await;
    shop.holds(
        "an order of another person",
        [B, NOBODY, B, B, B, B, NOBODY],
    )
    .await;

    shop.take(&[("orders", ORDERS, "o1,b,cancelled,EUR,100,2025-01-01")])
        .await;
    shop.holds("an order cancelled", [B, NOBODY, B, B, B, B, NOBODY])
        .await;

    let batch: BatchId = format!("batch-{}", shop.steps - 1).parse().unwrap();
    let last: BatchId = format!("batch-{}", shop.steps).parse().unwrap();
    for batch in [last, batch] {
        let at = shop.tick();
        undo(&shop.workspace, &batch, at).await.unwrap();
    }
    shop.holds("both taken back", [B, NOBODY, B, BOTH, A, B, NOBODY])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_missing_orders_count_for_their_own_person() {
    let mut shop = Shop::new("patches-of-lost-rows").await;
    shop.take(&[("orders", ORDERS, "o1,a,paid,EUR,100,2025-01-01")])
        .await;
    shop.put_all().await;
    shop.refresh(false).await;
    let refunds = "r1,a,o9,60,EUR,2025-01-02\nr2,late,o9,5,EUR,2025-01-02\n\
                   r3,b,o9,30,EUR,2025-02-10";
    let lines = "l1,b,o9,S1,2025-01-02\nl2,,o9,S1,2025-01-02";
    let done = shop
        .take(&[("refunds", REFUNDS, refunds), ("order_lines", LINES, lines)])
        .await;
    let without = done
        .tables
        .iter()
        .map(|table| (table.table.as_str(), table.without_order));
    let without: Vec<_> = without.filter(|(_, count)| *count > 0).collect();
    assert_eq!(without, [("order_lines", 2), ("refunds", 3)]);
    shop.holds("no such order", [NOBODY, NOBODY, NOBODY, A, A, B, NOBODY])
        .await;

    let late = shop.take(&[("persons", PERSONS, "late,2024-01-01")]).await;
    assert_eq!(late.tables[0].accepted, 1);
    shop.holds(
        "a person who comes later",
        [NOBODY, &[42], NOBODY, &[1, 42], A, B, NOBODY],
    )
    .await;

    let ahead = shop.explained("large", 2).await;
    assert_eq!(ahead, Some("2025-02-10T00:00:00Z".parse().unwrap()));
    shop.pass("2025-02-11T00:00:00Z");
    shop.holds(
        "a refund that comes to pass",
        [NOBODY, &[2, 42], NOBODY, &[1, 2, 42], BOTH, B, NOBODY],
    )
    .await;

    let done = shop
        .take(&[("orders", ORDERS, "o9,b,completed,EUR,500,2024-12-30")])
        .await;
    assert_eq!(done.tables[0].without_order, 0);
    shop.holds("the order comes", [BOTH, NOBODY, BOTH, B, B, B, NOBODY])
        .await;

    shop.take(&[("orders", ORDERS, "o9,b,cancelled,EUR,500,2024-12-30")])
        .await;
    shop.holds("it is cancelled", [A, NOBODY, A, B, B, NOBODY, NOBODY])
        .await;

    // One that is yet to be placed is there: what was given back of it waits.
    shop.take(&[("orders", ORDERS, "o9,b,completed,EUR,500,2025-02-20")])
        .await;
    shop.holds(
        "it is yet to come",
        [A, NOBODY, A, NOBODY, NOBODY, NOBODY, NOBODY],
    )
    .await;
    shop.pass("2025-02-21T00:00:00Z");
    shop.holds("it came", [BOTH, NOBODY, BOTH, B, B, B, B])
        .await;

    let deleted = format!("{ORDERS},_deleted");
    shop.compact().await;
    let row = "o9,b,completed,EUR,500,2025-02-20,true";
    shop.take(&[("orders", &deleted, row)]).await;
    shop.holds(
        "it is deleted",
        [NOBODY, &[2, 42], NOBODY, &[1, 2, 42], BOTH, B, NOBODY],
    )
    .await;
    let kept = shop.warm.cache_stats().await;
    assert!(kept.answers > 0, "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_see_deletions_from_moved_records() {
    let mut shop = Shop::new("patches-of-moved-rows").await;
    let refunds = "r1,a,o9,60,EUR,2025-01-02\nr2,a,o9,5,EUR,2025-01-02";
    shop.take(&[
        ("orders", ORDERS, "o1,b,paid,EUR,100,2025-01-01"),
        ("refunds", REFUNDS, refunds),
    ])
    .await;
    let entry = shop.decide(DecisionRequest::Merge(1, 2)).await;
    shop.put_all().await;
    shop.refresh(false).await;
    let kept = shop.members("refunded").await;
    assert_eq!(kept.len(), 1);
    let deleted = format!("{REFUNDS},_deleted");
    shop.take(&[("refunds", &deleted, "r1,a,o9,60,EUR,2025-01-02,true")])
        .await;
    let one = kept.as_slice();
    shop.holds(
        "a row of a merged record is deleted",
        [one, NOBODY, one, one, NOBODY, NOBODY, NOBODY],
    )
    .await;
    shop.decide(DecisionRequest::Undo(entry)).await;
    shop.holds("they are two again", [B, A, B, A, NOBODY, NOBODY, NOBODY])
        .await;
}

impl Shop {
    async fn explained(&self, key: &str, person: u64) -> Option<Timestamp> {
        let key = key.parse().unwrap();
        let why = segments::explain(&self.workspace, &key, person, self.as_of).await;
        why.unwrap().explained.turns_at
    }

    /// The number of members at the end of each of the coming days.
    async fn calendar(&self, key: &str, days: u32) -> Vec<u64> {
        let key = key.parse().unwrap();
        let days = segments::calendar(&self.workspace, &key, days, self.as_of).await;
        days.unwrap()
            .days
            .into_iter()
            .map(|day| day.count)
            .collect()
    }

    async fn status(&self, key: &str) -> (String, Option<String>) {
        let shown = segments::show(&self.workspace, &key.parse().unwrap(), self.as_of).await;
        let standing = shown.unwrap().freshness;
        (standing.status.name().to_owned(), standing.reason)
    }

    /// Refreshes `outer`, and returns its members by the patch and by a full evaluation.
    async fn outer(&mut self, step: &str, expected: &[u64]) {
        self.refresh(false).await;
        assert_eq!(self.members("outer").await, expected, "{step}");
        let full = self.refresh(true).await;
        assert!(!full.is_empty(), "{step}");
        for (key, _, moved) in full {
            assert_eq!(moved, 0, "{step}: {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segment_follows_recreated_segments_that_it_names() {
    let mut shop = Shop::new("patches-of-named-segments").await;
    shop.put("inner", "person_id = 1").await;
    shop.put("between", "in_segment('inner') or person_id = 7")
        .await;
    shop.put("outer", "in_segment('between')").await;
    shop.outer("at first", &[1, 7]).await;
    let first = segments::show(&shop.workspace, &"inner".parse().unwrap(), shop.as_of)
        .await
        .unwrap();

    shop.delete("inner").await;
    let (status, reason) = shop.status("outer").await;
    assert_eq!(status, "stale");
    assert!(reason.unwrap().contains("`inner`"));
    shop.put("inner", "person_id = 2").await;
    let anew = segments::show(&shop.workspace, &"inner".parse().unwrap(), shop.as_of)
        .await
        .unwrap();
    assert!(anew.definition.revision > first.definition.revision);
    assert_eq!(shop.status("outer").await.0, "stale");
    shop.outer("made anew", &[2, 7]).await;
    assert_eq!(shop.status("outer").await.0, "fresh");

    // The same words again are another segment, of the same members.
    shop.delete("inner").await;
    shop.put("inner", "person_id = 2").await;
    shop.outer("made anew as it was", &[2, 7]).await;

    for (ids, expected) in [("3\n4", [3, 4, 7].as_slice()), ("5", &[5, 7])] {
        if ids == "3\n4" {
            shop.delete("inner").await;
        }
        let file = shop.lake.write("list.csv", &format!("person_id\n{ids}\n"));
        let draft = Draft::new("inner".parse().unwrap(), String::new());
        let at = shop.tick();
        segments::put_list(&shop.workspace, &draft, &file, at)
            .await
            .unwrap();
        assert_eq!(shop.status("outer").await.0, "stale", "{ids}");
        shop.outer("a list", expected).await;
        assert_eq!(shop.status("outer").await.0, "fresh", "{ids}");
    }

    shop.delete("inner").await;
    shop.put("inner", "person_id = 1").await;
    shop.outer("a condition again", &[1, 7]).await;
    shop.decide(DecisionRequest::Merge(1, 2)).await;
    let kept = segments::matches(&shop.workspace, "person_id < 3", shop.as_of).await;
    let kept = kept.unwrap().min().unwrap();
    let expected: Vec<u64> = [kept, 7].into_iter().filter(|one| *one != 2).collect();
    shop.outer("a merge", &expected).await;
}
