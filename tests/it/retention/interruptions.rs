//! A run that ends between its commit and the end of the older snapshots.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};

use super::shop::{ACTIVITIES, PERSONS, Shop};
use crate::support::personal_values::{holds, texts};

/// Number of kills; `ROLLBOOK_TEST_KILLS` sets more.
const KILLS: u32 = 4;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_ended_by_the_next_one() {
    let mut shop = Shop::new("retention-killed");
    let recent = (Utc::now() - chrono::Duration::days(10))
        .format("%Y-%m-%d")
        .to_string();
    let persons = [
        "a,ann@example.com,Annie,Leeds,,2015-01-01,2015-01-01".to_owned(),
        format!("b,bob@example.com,Bob,Ray,,2015-01-01,{recent}"),
        "w,ann@example.com,Annie,Leeds,,not a time,2015-01-01".to_owned(),
    ];
    let old = r#"{""form"":""old-form"",""email"":""old.form@example.com""}"#;
    let activities = [
        format!("act-old-1,b,page_viewed,2015-01-05,\"{old}\""),
        format!("act-new-1,b,page_viewed,{recent},"),
    ];
    let [persons, activities] = [&persons[..], &activities[..]]
        .map(|rows| rows.iter().map(String::as_str).collect::<Vec<_>>());
    let tables: [(&str, &str, &[&str]); 2] = [
        ("persons", PERSONS, &persons),
        ("activities", ACTIVITIES, &activities),
    ];
    shop.take("2015-02-01", &tables).await;
    shop.put("ann", "email = 'ann@example.com'", "2015-02-02")
        .await;
    shop.lake.json(&["snapshot", "keep", "1", "first"]);
    shop.set("activities", 730).await;
    shop.set("personal", 730).await;
    let (lake, template) = (shop.lake.path("lake"), shop.lake.path("template"));
    bring_back(&lake, &template);
    let gone = async || {
        for text in ["act-old-1", "old-form"] {
            assert!(!holds(&lake, text), "{text}");
        }
        let all = texts(&lake).await;
        for secret in ["old.form@example.com", "ann@example.com", "Annie"] {
            let found = all.iter().find(|(_, text)| text.contains(secret));
            assert!(found.is_none(), "{secret} in {found:?}");
        }
        let rows = shop.lake.sql("select external_id from activities");
        assert_eq!(rows, [json!({"external_id": "act-new-1"})]);
        assert_eq!(shop.value("select count(*) from people"), 1);
        let reports = shop.lake.json(&["retention", "reports"]);
        let reports = reports.as_array().unwrap();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert_eq!(reports[0]["finished"], true);
        assert_eq!(reports[0]["rows"], json!({"activities": 1, "persons": 1}));
        assert_eq!(shop.lake.json(&["snapshot", "list"]), json!([]));
        shop.check();
    };
    let begun = Instant::now();
    shop.lake.json(&["retention", "run"]);
    let whole = begun.elapsed();
    gone().await;
    let kills = std::env::var("ROLLBOOK_TEST_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    for kill in 0..kills {
        fs::remove_dir_all(&lake).unwrap();
        bring_back(&template, &lake);
        let mut command = shop.lake.command(&["retention", "run"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = command.spawn().unwrap();
        let share = f64::from(kill + 1) / f64::from(kills + 1);
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share));
        run.kill().unwrap();
        run.wait().unwrap();
        shop.lake.json(&["retention", "run"]);
        gone().await;
    }
}
