//! `kill -9` during ingest: the lake opens, no partial batch is visible, and the same ingest
//! completes it.

use std::process::Stdio;

use rand::{Rng, SeedableRng};
use rollbook_tests::times;
use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::writes::Writes;

/// Number of kills; `ROLLBOOK_TEST_KILLS` sets more.
const KILLS: u64 = 5;

#[test]
fn killed_ingest_leaves_no_partial_batch() {
    let lake = OwnLake::new("a_killed_ingest");
    let out = lake.write("data/.keep", "");
    let data = out.parent().unwrap().to_str().unwrap().to_owned();
    lake.json(&[
        "generate",
        "--persons",
        "300",
        "--seed",
        "3",
        "--out",
        &data,
    ]);
    let files = ["persons", "orders", "activities"].map(|table| format!("{data}/{table}.csv"));
    let arguments = ["ingest", "native", &files[0], &files[1], &files[2]];

    let whole = OwnLake::new("an_ingest_left_alone");
    let mut writes = Writes::since_now(&whole.path("lake"));
    let mut undisturbed = whole
        .command(&arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let all = writes.until_end(&mut undisturbed);
    let count = "select (select count(*) from persons) as persons, (select count(*) from orders) as orders, (select count(*) from activities) as activities, (select count(*) from orders where person_id = 0) as unlinked";
    let expected = whole.json(&["sql", count]);

    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    let (mut before, mut after) = (0, 0);
    for kill in 0..times("ROLLBOOK_TEST_KILLS", KILLS) {
        lake.forget();
        let mut command = lake.command(&arguments);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let files = random.random_range(0..=all);
        Writes::since_now(&lake.path("lake")).reach_and_kill(files, &mut child);
        let tables = lake.run(&["sql", count]);
        if tables.status.success() {
            let found: serde_json::Value = serde_json::from_slice(&tables.stdout).unwrap();
            assert_eq!(found, expected, "a half batch is seen after kill {kill}");
            after += 1;
        } else {
            let message = String::from_utf8_lossy(&tables.stderr).into_owned();
            assert!(message.contains("there is no lake"), "{message}");
            before += 1;
        }
        let again = lake.json(&arguments);
        assert_eq!(
            lake.json(&["sql", count]),
            expected,
            "after kill {kill}: {again}"
        );
        let names = lake.json(&[
            "sql",
            "select count(*) as n from persons where email is not null",
        ]);
        assert_eq!(
            names,
            whole.json(&[
                "sql",
                "select count(*) as n from persons where email is not null"
            ])
        );
        let once_more = lake.json(&arguments);
        let tables = once_more["tables"].as_array().unwrap().iter();
        let accepted: Vec<_> = tables.map(|table| &table["accepted"]).collect();
        assert_eq!(accepted, [&json!(0); 3], "{once_more}");
    }
    println!("killed before the commit {before} times, after it {after} times");
}
