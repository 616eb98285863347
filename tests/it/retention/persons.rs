//! Persons who were not seen for long or whose date has passed, and those under legal hold.

use rollbook_app::identity::{DecisionRequest, decide, erase};
use rollbook_app::retention::{hold, holds, release};
use serde_json::json;

use super::shop::{ACTIVITIES, ORDERS, PERSONS, REFUNDS, Shop, decider};
use crate::support::personal_values::{forms, holds as is_in_files, texts};

/// Ann was seen in 2020, Bob in 2026, Cy is to be kept until 2025, and Dan until 2030.
async fn shop(name: &str) -> Shop {
    let mut shop = Shop::new(name);
    shop.take(
        "2020-02-01",
        &[
            (
                "persons",
                PERSONS,
                &[
                    "a,ann@example.com,Annie,Leeds,,2019-01-01,2020-01-01",
                    "b,bob@example.com,Bob,Ray,,2019-01-01,2020-01-01",
                    "c,cy@example.com,Cyrus,Daylong,2025-01-31,2026-01-01,2026-01-01",
                    "d,dan@example.com,Dan,Fox,2030-01-31,2026-01-01,2026-01-01",
                    "w,ann@example.com,Annie,Leeds,,not a time,2020-01-01",
                ],
            ),
            (
                "orders",
                ORDERS,
                &[
                    "o-ann,a,paid,EUR,10,2020-01-05",
                    "o-bob,b,paid,EUR,20,2026-01-05",
                    "o-cy,c,paid,EUR,40,2026-01-05",
                ],
            ),
            ("refunds", REFUNDS, &["r-ann,,o-ann,1,EUR,2020-01-06"]),
            (
                "activities",
                ACTIVITIES,
                &[
                    "act-ann,a,page_viewed,2020-01-07,",
                    "act-bob,b,page_viewed,2020-01-07,",
                ],
            ),
        ],
    )
    .await;
    shop.put("all", "total_spent >= 0", "2026-01-01").await;
    shop.refresh("2026-02-01", false).await;
    shop
}

/// Whether a value can be read in the lake, with its key or in a file.
async fn is_there(shop: &Shop, value: &str) -> bool {
    let folder = shop.lake.path("lake");
    let (all, forms) = (texts(&folder).await, forms(value));
    forms.iter().any(|form| {
        all.iter()
            .any(|(_, text)| text.to_lowercase().contains(form))
            || is_in_files(&folder, form)
    })
}

async fn decided(shop: &Shop, request: DecisionRequest, at: &str) -> String {
    let done = decide(&shop.workspace, &request, &decider(at, false)).await;
    done.unwrap().entry
}

const ANN: [&str; 2] = ["ann@example.com", "annie"];
const CY: [&str; 2] = ["cy@example.com", "cyrus"];

#[tokio::test(flavor = "multi_thread")]
async fn persons_go_when_their_time_is_over_and_their_facts_stay() {
    let mut shop = shop("retention-persons").await;
    for value in ANN.iter().chain(&CY) {
        assert!(is_there(&shop, value).await, "{value}");
    }
    let orders = shop.value("select sum(total) from orders");
    shop.set("personal", 1_000).await;
    let report = shop.run("2026-06-01").await;
    assert_eq!(
        (
            report.persons_unseen,
            report.persons_past_date,
            report.records
        ),
        (1, 0, 1)
    );
    assert_eq!(json!(report.rows), json!({"persons": 1}));
    for value in ANN {
        assert!(!is_there(&shop, value).await, "{value}");
    }
    assert!(is_there(&shop, CY[0]).await);
    shop.set("data_retention_date", 0).await;
    // The last day is one on which they may be kept.
    let early = shop.run("2025-01-31T23:00:00Z").await;
    assert_eq!(early.persons_past_date, 0);
    let report = shop.run("2026-06-01").await;
    assert_eq!((report.persons_unseen, report.persons_past_date), (0, 1));
    for value in CY {
        assert!(!is_there(&shop, value).await, "{value}");
    }
    assert_eq!(shop.value("select sum(total) from orders"), orders);
    assert_eq!(shop.value("select count(*) from people"), 2);
    shop.refresh("2026-06-02", false).await;
    assert_eq!(shop.members("all").await.len(), 2);
    assert_eq!(shop.refresh("2026-06-02", true).await, 0);
    shop.check();
    // Nothing more goes, and whoever comes back is somebody else.
    assert_eq!(shop.run("2026-06-03").await.snapshot, None);
    let again = ["a,ann@example.com,Annie,Leeds,,2026-06-04,2026-06-04"];
    let done = shop
        .take("2026-06-04", &[("persons", PERSONS, &again)])
        .await;
    assert_eq!(done.tables[0].accepted, 1);
    assert_eq!(shop.value("select count(*) from people"), 3);
    assert_eq!(shop.run("2026-06-05").await.snapshot, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_person_under_legal_hold_goes() {
    let shop = shop("retention-holds").await;
    let (ann, bob) = (shop.person("a"), shop.person("b"));
    let held = shop.lake.json(&[
        "person",
        "hold",
        &ann.to_string(),
        "--reason",
        "case 12",
        "--by",
        "kim",
    ]);
    assert_eq!(
        (&held["person_id"], &held["reason"]),
        (&json!(ann), &json!("case 12"))
    );
    let nobody = hold(&shop.workspace, 999, None, &decider("2026-01-01", false)).await;
    assert_eq!(nobody.unwrap_err().code().0, "unknown_person");
    for (rule, days) in [
        ("activities", 730),
        ("orders", 730),
        ("refunds", 730),
        ("quarantine", 730),
        ("segment_changes", 1),
        ("personal", 730),
    ] {
        shop.set(rule, days).await;
    }
    let report = shop.run("2026-06-01").await;
    // Bob's activity went; of Ann stay the rows, also the refund of her order and the rejected one that
    // names her.
    assert_eq!(json!(report.rows), json!({"activities": 1}));
    assert_eq!(
        json!(report.held.rows),
        json!({"activities": 1, "orders": 1, "refunds": 1, "quarantine": 1})
    );
    assert_eq!((report.held.persons, report.persons_unseen), (1, 0));
    assert_eq!(
        (report.held.segment_changes, report.segment_changes),
        (1, 3)
    );
    for value in ANN {
        assert!(is_there(&shop, value).await, "{value}");
    }
    let refused = erase(&shop.workspace, ann, &decider("2026-06-01", false)).await;
    assert_eq!(refused.unwrap_err().code().0, "legal_hold");

    // The hold follows the person: she and Bob are one now.
    let entry = decided(&shop, DecisionRequest::Merge(bob, ann), "2026-06-02").await;
    assert_eq!(shop.run("2099-06-01").await.persons_unseen, 2);
    for value in ANN {
        assert!(is_there(&shop, value).await, "{value}");
    }
    assert!(is_there(&shop, "bob@example.com").await);
    decided(&shop, DecisionRequest::Undo(entry), "2026-06-03").await;
    let one = shop.person("a");
    assert_eq!(holds(&shop.workspace).await.unwrap().len(), 1);
    let ended = release(&shop.workspace, one, &decider("2026-06-04", false)).await;
    assert_eq!(ended.unwrap(), 1);
    let report = shop.run("2099-06-01").await;
    assert_eq!((report.held.persons, report.persons_unseen), (0, 2));
    for value in ANN {
        assert!(!is_there(&shop, value).await, "{value}");
    }
    assert_eq!(shop.value("select count(*) from orders"), 0);
    shop.check();
}
