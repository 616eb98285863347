//! Old rows, their personal values, what was rejected, and entries into segments.

use std::collections::BTreeMap;

use rollbook_app::ErrorClass;
use rollbook_app::data::sql;
use rollbook_app::retention::{reports, set};
use rollbook_app::segments::{Since, changes};
use rollbook_lake::{Entry, EntryHeader};
use rollbook_model::SnapshotNumber;
use serde_json::json;

use super::shop::{ACTIVITIES, ORDERS, PERSONS, REFUNDS, Shop, time};
use crate::support::personal_values::{holds, opened, texts};

/// Texts of rows that are too old.
const OLD: [&str; 4] = ["act-old-1", "old-form", "ord-old-1", "ref-old-1"];
/// Texts of later rows.
const NEW: [&str; 3] = ["act-new-1", "ord-new-1", "ord-new-2"];
/// Personal values of old activities, and of a row that was rejected long ago.
const SECRETS: [&str; 2] = ["old.form@example.com", "rejected@example.com"];
const FIGURES: &str = "select count(*) as orders, sum(total) as total, \
    (select count(*) from activities where occurred_at >= timestamp '2024-06-01') as activities, \
    (select sum(amount) from refunds where refunded_at >= timestamp '2024-06-01') as refunds, \
    (select count(*) from people) as people \
    from orders where placed_at >= timestamp '2024-06-01'";

/// Two persons with rows of 2023 and of 2026, a row that was rejected in 2023, and members since then.
async fn shop(name: &str) -> Shop {
    let mut shop = Shop::new(name);
    let old = [
        r#"act-old-1,a,page_viewed,2023-01-05,"{""form"":""old-form"",""email"":""old.form@example.com""}""#,
        r#"act-bad-1,a,page_viewed,not a time,"{""email"":""rejected@example.com""}""#,
    ];
    shop.take(
        "2023-02-01",
        &[
            (
                "persons",
                PERSONS,
                &[
                    "a,ann@example.com,Ann,Lee,,2022-01-01,2022-01-01",
                    "b,bob@example.com,Bob,Ray,,2022-01-01,2022-01-01",
                ],
            ),
            ("activities", ACTIVITIES, &old),
            ("orders", ORDERS, &["ord-old-1,a,paid,EUR,10,2023-01-06"]),
            (
                "refunds",
                REFUNDS,
                &["ref-old-1,,ord-old-1,4,EUR,2023-01-07"],
            ),
        ],
    )
    .await;
    shop.put("viewers", "did('page_viewed')", "2023-02-02")
        .await;
    shop.put("payers", "total_spent >= 15", "2023-02-02").await;
    shop.refresh("2023-02-03", false).await;
    let new = [
        r#"act-new-1,b,page_viewed,2026-01-05,"{""form"":""new-form"",""email"":""new.form@example.com""}""#,
    ];
    shop.take(
        "2026-01-10",
        &[
            ("activities", ACTIVITIES, &new),
            (
                "orders",
                ORDERS,
                &[
                    "ord-new-1,a,paid,EUR,20,2026-01-06",
                    "ord-new-2,b,paid,EUR,40,2026-01-07",
                ],
            ),
            (
                "refunds",
                REFUNDS,
                &["ref-new-1,,ord-new-1,1,EUR,2026-01-08"],
            ),
        ],
    )
    .await;
    shop.refresh("2026-01-11", false).await;
    shop
}

fn is_in_lake(shop: &Shop, text: &str) -> bool {
    holds(&shop.lake.path("lake"), text)
}

async fn is_opened(shop: &Shop, text: &str) -> bool {
    let all = texts(&shop.lake.path("lake")).await;
    all.iter().any(|(_, found)| found.contains(text))
}

fn counts(report: &BTreeMap<String, u64>) -> serde_json::Value {
    json!(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_from_everywhere_and_later_figures_stay() {
    let shop = shop("retention-rows").await;
    let count = |table: &str| shop.value(&format!("select count(*) from {table}"));
    let named = shop
        .lake
        .json(&["snapshot", "keep", "1", "before-the-sale"]);
    assert_eq!(named[0]["snapshot"], 1);
    let lake = opened(&shop.lake.path("lake")).await;
    let entry = Entry {
        header: EntryHeader {
            id: "refused".to_owned(),
            after: SnapshotNumber(1),
            metadata: json!({}),
        },
        body: b"of rejected@example.com".to_vec(),
    };
    lake.refuse(&entry, "no such column".to_owned())
        .await
        .unwrap();
    drop(lake);
    for text in OLD.iter().chain(&NEW) {
        assert!(is_in_lake(&shop, text), "{text}");
    }
    for secret in SECRETS {
        assert!(is_opened(&shop, secret).await, "{secret}");
    }
    // Without rules nothing goes, whatever its age.
    let nothing = shop.run("2099-01-01").await;
    assert_eq!((nothing.snapshot, nothing.rows.len()), (None, 0));
    let before = shop.lake.sql(FIGURES);
    let tables = [
        "activities",
        "orders",
        "refunds",
        "quarantine",
        "segment_changes",
    ];
    let counted = tables.map(|table| (table, count(table).as_u64().unwrap()));

    for (rule, days) in [
        ("activities", 730),
        ("orders", 730),
        ("refunds", 730),
        ("segment_changes", 365),
    ] {
        shop.set(rule, days).await;
    }
    // Rows of activities that were rejected grow old with their table.
    let report = shop.run("2026-06-01T12:00:00Z").await;
    assert_eq!(
        counts(&report.rows),
        json!({"activities": 1, "orders": 1, "quarantine": 1, "refunds": 1})
    );
    assert_eq!(
        counts(&report.values),
        json!({"activities": 1, "quarantine": 1})
    );
    assert_eq!((report.segment_changes, report.rejected_requests), (1, 0));
    assert_eq!(report.rules.len(), 4);
    let line = report
        .rules
        .iter()
        .find(|rule| rule.rule == "activities")
        .unwrap();
    assert_eq!(line.before, time("2024-06-01"));
    assert_eq!(json!(report.snapshots.named), json!({"before-the-sale": 1}));
    // The numbers are the rows that went.
    for (table, were) in counted {
        let went = match table {
            "segment_changes" => report.segment_changes,
            table => report.rows.get(table).copied().unwrap_or_default(),
        };
        assert_eq!(count(table), were - went, "{table}");
    }
    for text in OLD {
        assert!(!is_in_lake(&shop, text), "{text}");
    }
    for text in NEW {
        assert!(is_in_lake(&shop, text), "{text}");
    }
    assert!(!is_opened(&shop, SECRETS[0]).await);
    assert_eq!(shop.lake.sql(FIGURES), before);
    shop.check();

    // Snapshots from before are gone, also the one with a name.
    assert_eq!(shop.lake.json(&["snapshot", "list"]), json!([]));
    for number in ["1", "3"] {
        let gone = shop.lake.run(&["sql", "select 1", "--snapshot", number]);
        let said = String::from_utf8_lossy(&gone.stderr).into_owned();
        assert_eq!(gone.status.code(), Some(1));
        assert!(
            said.contains(&format!("snapshot {number} is gone")),
            "{said}"
        );
    }
    let gone = sql(
        &shop.workspace,
        "select 1",
        time("2026-06-02"),
        Some(SnapshotNumber(2)),
    );
    let code = gone.await.unwrap_err().code();
    assert_eq!(code, ("removed_snapshot", ErrorClass::Gone));
    let first = report.snapshot.unwrap();
    let there = sql(&shop.workspace, "select 1", time("2026-06-02"), Some(first));
    there.await.unwrap();

    // Patched members are those of a full evaluation.
    shop.refresh("2026-06-02", false).await;
    let members = ["viewers", "payers"].map(|key| shop.members(key));
    let [viewers, payers] = members;
    let (viewers, payers) = (viewers.await, payers.await);
    assert_eq!(viewers, [shop.person("b").unsigned_abs()]);
    assert_eq!(payers.len(), 2);
    assert_eq!(shop.refresh("2026-06-02", true).await, 0);
    // A client that has not read the removed changes hears of it.
    let viewers = "viewers".parse().unwrap();
    let since = |number| Some(Since::Snapshot(SnapshotNumber(number)));
    let incomplete = changes(&shop.workspace, &viewers, since(1)).await;
    assert_eq!(incomplete.unwrap_err().code().0, "removed_snapshot");
    assert!(
        changes(&shop.workspace, &viewers, since(first.0))
            .await
            .is_ok()
    );

    // Requests that were rejected go with the rule for quarantine; a report is kept of each run.
    shop.set("quarantine", 1).await;
    let later = shop.run("2099-01-01").await;
    assert_eq!(later.rejected_requests, 1);
    for secret in SECRETS {
        assert!(!is_opened(&shop, secret).await, "{secret}");
    }
    let kept = reports(&shop.workspace).await.unwrap();
    assert_eq!(kept, [report, later]);
    shop.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_removes_nothing_ends_no_snapshot() {
    let shop = shop("retention-nothing").await;
    shop.set("activities", 3_650).await;
    let report = shop.run("2026-06-01").await;
    assert_eq!((report.snapshot, report.snapshots.count), (None, 0));
    shop.lake.json(&["sql", "select 1", "--snapshot", "1"]);
    // After one that does, results are of its snapshot, also if it changed no table.
    shop.set("segment_changes", 365).await;
    let report = shop.run("2026-06-01").await;
    assert_eq!((report.rows.len(), report.segment_changes), (0, 1));
    let data = shop
        .lake
        .json(&["sql", "select count(*) from segment_changes"]);
    assert!(data.is_array());
    shop.refresh("2026-06-02", false).await;
    assert_eq!(shop.refresh("2026-06-02", true).await, 0);
    shop.check();
}

#[tokio::test]
async fn wrong_rules_are_refused() {
    let shop = shop("retention-rules").await;
    for (rule, days, code) in [
        ("activites", Some(10), "unknown_rule"),
        ("persons", Some(10), "unknown_rule"),
        ("activities", Some(0), "invalid_days"),
        ("activities", Some(40_000), "invalid_days"),
    ] {
        let refused = set(&shop.workspace, rule, days, time("2026-01-01")).await;
        assert_eq!(refused.unwrap_err().code().0, code, "{rule}");
    }
    let shown = shop.lake.json(&["retention", "set", "activities", "730"]);
    assert_eq!(
        (&shown[0]["rule"], &shown[0]["days"]),
        (&json!("activities"), &json!(730))
    );
    assert_eq!(shop.lake.json(&["retention", "show"]), shown);
    assert_eq!(
        shop.lake.json(&["retention", "unset", "activities"]),
        json!([])
    );
}
