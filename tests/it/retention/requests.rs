//! Requests of persons about their data, with receipts and in the audit.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use rollbook_app::persons::request_export;

use super::shop::{ORDERS, Shop, decider};

const PERSONS: &str = "external_id,email,first_name,last_name,accepts_email_marketing,created_at";

async fn shop(name: &str) -> Shop {
    let mut shop = Shop::new(name);
    let persons = [
        "a,ann@example.com,Annie,Leeds,true,2024-01-01",
        "b,bob@example.com,Bob,Ray,true,2024-01-01",
        "w,ann@example.com,Annie,Leeds,true,not a time",
        "x,bob@example.com,Bob,Ray,true,not a time",
    ];
    let orders = [
        "o1,a,paid,EUR,10,2024-02-01",
        "o2,a,paid,EUR,20,2024-02-02",
        "o3,b,paid,EUR,40,2024-02-03",
    ];
    shop.take(
        "2024-03-01",
        &[("persons", PERSONS, &persons), ("orders", ORDERS, &orders)],
    )
    .await;
    shop.put("all", "total_spent > 0", "2024-03-02").await;
    shop.refresh("2024-03-03", false).await;
    shop.lake
        .json(&["api-key", "create", "--name", "any", "--role", "viewer"]);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_fulfilled_with_a_receipt_each() {
    let shop = shop("person-requests").await;
    let [ann, bob] = ["a", "b"].map(|id| shop.person(id).to_string());
    let request = |kind: &str, person: &str| {
        shop.lake
            .json(&["person", "request", kind, person, "--by", "kim"])
    };
    // All of hers, also the rejected row, and nothing of his.
    let exported = request("export", &ann);
    let (receipt, answer) = (&exported["receipt"], &exported["answer"]);
    assert_eq!(answer["rows"]["orders"].as_array().unwrap().len(), 2);
    assert_eq!(answer["rows"]["persons"][0]["email"], "ann@example.com");
    assert_eq!(answer["quarantine"].as_array().unwrap().len(), 1);
    assert_eq!(answer["segments"], json!(["all"]));
    assert_eq!(answer["segment_changes"].as_array().unwrap().len(), 1);
    assert!(!answer.to_string().contains("bob"), "{answer}");
    assert_eq!(
        (&receipt["request"], &receipt["by"]),
        (&json!("export"), &json!("kim"))
    );
    // A record, two orders, and a rejected row.
    assert_eq!(
        (&receipt["rows"], &receipt["person_id"]),
        (&json!(4), &json!(shop.person("a")))
    );
    let kim = decider("2026-01-01", false);
    let again = request_export(&shop.workspace, shop.person("a"), &kim);
    let again = again.await.unwrap();
    let text = serde_json::to_vec(&again.answer).unwrap();
    let digest: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(again.receipt.sha256, digest);

    let deliverable = || {
        shop.lake
            .json(&["segment", "members", "all", "--deliverable"])
    };
    let before = deliverable();
    let restricted = request("restrict", &bob);
    assert_eq!(restricted["answer"], json!({"suppressed": 1}));
    let count = |members: &Value| members.as_array().unwrap().len();
    assert_eq!(count(&deliverable()) + 1, count(&before));
    assert_eq!(
        request("restrict", &bob)["answer"],
        json!({"suppressed": 0})
    );
    let of_bob = request("export", &bob);
    assert_eq!(
        of_bob["answer"]["suppressions"][0]["reason"],
        "restricted by request"
    );

    // Under legal hold nothing is erased, and no receipt says so.
    shop.lake
        .json(&["person", "hold", &ann, "--reason", "case 12"]);
    let refused = shop.lake.run(&["person", "request", "erase", &ann]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("under legal hold"), "{said}");
    assert_eq!(
        request("export", &ann)["answer"]["holds"][0]["reason"],
        "case 12"
    );
    shop.lake.json(&["person", "release", &ann]);
    let erased = request("erase", &ann);
    assert_eq!(erased["answer"]["records"], 1);
    let erased = &erased["receipt"];
    assert!(erased["rows"].as_u64() >= Some(1));
    assert_eq!(shop.value("select count(*) from people"), 1);

    let receipts = shop.lake.json(&["person", "receipts"]);
    let kinds = receipts.as_array().unwrap().iter();
    let kinds: Vec<&str> = kinds.map(|one| one["request"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "export", "export", "restrict", "restrict", "export", "export", "erase"
        ]
    );
    assert_eq!((&receipts[0], &receipts[6]), (receipt, erased));
    let acts = shop.lake.json(&["audit"]);
    let acts = acts.as_array().unwrap().iter();
    let of = |name: &str| {
        let acts = acts.clone().filter(|act| act["act"] == name);
        acts.map(|act| act["result"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("person request erase"),
        ["begun", "legal_hold", "begun", "ok"]
    );
    assert_eq!(of("person request restrict").len(), 4);
    assert_eq!(of("person hold"), ["begun", "ok"]);
    shop.check();
}
