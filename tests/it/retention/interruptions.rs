//! A run that ends between its commit and the end of the older snapshots.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::shop::{ACTIVITIES, PERSONS, Shop};
use crate::support::personal_values::holds;

/// Copies the files that are missing in `to`.
fn bring_back(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, there) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => bring_back(&path, &there),
            false if !there.exists() => drop(fs::copy(&path, &there).unwrap()),
            false => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_ends_an_interrupted_one() {
    let mut shop = Shop::new("retention-interrupted");
    let persons = ["a,ann@example.com,Ann,Lee,,2022-01-01,2022-01-01"];
    let old = [
        "act-old-1,a,page_viewed,2023-01-05,",
        "act-new-1,a,page_viewed,2026-01-05,",
    ];
    let tables: [(&str, &str, &[&str]); 2] = [
        ("persons", PERSONS, &persons),
        ("activities", ACTIVITIES, &old),
    ];
    shop.take("2023-02-01", &tables).await;
    shop.lake.json(&["snapshot", "keep", "1", "first"]);
    shop.set("activities", 730).await;
    let (lake, copy) = (shop.lake.path("lake"), shop.lake.path("copy"));
    bring_back(&lake, &copy);
    let report = shop.run("2026-06-01").await;
    assert_eq!(json!(report.rows), json!({"activities": 1}));
    assert!(!holds(&lake, "act-old-1"));
    // As if it had been killed right after its commit.
    bring_back(&copy, &lake);
    let folder = lake.join("default/_retention");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        kept["finished"] = json!(false);
        fs::write(&path, kept.to_string()).unwrap();
    }
    assert!(holds(&lake, "act-old-1"));
    let gone = shop.lake.run(&["sql", "select 1", "--snapshot", "1"]);
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(said.contains("snapshot 1 is gone"), "{said}");
    shop.check();
    // Nothing is to go any more, and the rest of the old files goes.
    let report = shop.try_run("2026-06-02").await.unwrap();
    assert_eq!(report.snapshot, None);
    assert!(!holds(&lake, "act-old-1"));
    assert!(holds(&lake, "act-new-1"));
    assert_eq!(shop.lake.json(&["snapshot", "list"]), json!([]));
    let kept = shop.lake.json(&["retention", "reports"]);
    assert_eq!(
        (kept[0]["finished"].clone(), kept[1].clone()),
        (json!(true), Value::Null)
    );
    shop.check();
}
