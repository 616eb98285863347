//! Runs of ingest: repeated files change nothing, dry and refused runs leave nothing, runs can be
//! undone.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, counts};
use crate::support::personal_values::texts;

#[test]
fn same_rows_as_csv_and_parquet_are_unchanged() {
    let lake = OwnLake::new("csv_and_parquet");
    let folder = |format: &str| {
        let out = lake.path(format);
        let out = out.to_str().unwrap().to_owned();
        lake.json(&[
            "generate",
            "--persons",
            "300",
            "--seed",
            "5",
            "--format",
            format,
            "--out",
            &out,
        ]);
        out
    };
    let first = lake.json(&["ingest", "native", &folder("csv")]);
    let second = lake.json(&["ingest", "native", &folder("parquet")]);
    assert!(first["tables"].as_array().unwrap().len() > 5, "{first}");
    for entry in first["tables"].as_array().unwrap() {
        let table = entry["table"].as_str().unwrap();
        let [read, accepted, _, quarantined] = counts(&first, table);
        assert_eq!((read, quarantined), (accepted, 0), "{table}");
        assert_eq!(counts(&second, table), [read, 0, read, 0], "{table}");
    }
    assert_eq!(second["snapshot"], first["snapshot"]);
}

#[test]
fn one_line_may_be_several_persons() {
    let lake = OwnLake::new("fan_out");
    let mapping = "-- about: households, a person for each member\n-- table: persons\n\
        -- source: h = households*\n-- source: m = members*\n\
        select h.id || '/' || m.name as external_id, m.name as display_name \
        from h join m on m.household = h.id";
    lake.write("mappings/persons.sql", mapping);
    lake.write("in/households.csv", "id\nx\ny\n");
    lake.write(
        "in/members.csv",
        "household,name\nx,Ada\nx,Bea\nx,Cy\ny,Di\n",
    );
    let file = lake.path("in");
    let mappings = lake.path("mappings");
    let run = [
        "ingest",
        "clan",
        file.to_str().unwrap(),
        "--mappings",
        mappings.to_str().unwrap(),
    ];
    assert_eq!(counts(&lake.json(&run), "persons"), [4, 4, 0, 0]);
    let ids = lake.sql("select person_id, identity_id from persons order by person_id");
    let ids: Vec<_> = ids
        .iter()
        .map(|row| (row["person_id"].as_i64(), row["identity_id"].as_i64()))
        .collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert!(
        ids.iter()
            .all(|(person, identity)| *person > Some(0) && *identity > Some(0))
    );
    assert_eq!(counts(&lake.json(&run), "persons"), [4, 0, 4, 0]);
}

#[test]
fn dry_run_and_refused_run_leave_nothing_behind() {
    let lake = OwnLake::new("nothing_behind");
    let file = lake.write(
        "orders.csv",
        "external_id,placed_at,total,currency\no1,2025-01-01,5,EUR\n",
    );
    let file = file.to_str().unwrap();
    let rehearsed = lake.json(&["ingest", "native", file, "--dry-run"]);
    assert_eq!(counts(&rehearsed, "orders"), [1, 1, 0, 0]);
    assert!(!lake.path("lake").exists());
    let wrong = "-- about: x\n-- table: orders\n-- source: o = orders*\nselect o.nothing as external_id from orders o";
    lake.write("mappings/orders.sql", wrong);
    let mappings = lake.path("mappings");
    let refused = lake.run(&[
        "ingest",
        "shop",
        file,
        "--mappings",
        mappings.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!lake.path("lake").exists());
}

#[test]
fn standard_input_is_read_under_a_name() {
    let lake = OwnLake::new("standard_input");
    let mut command = lake.command(&["ingest", "native", "-", "--as", "orders.ndjson"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let row =
        json!({"external_id": "o1", "placed_at": "2025-01-01", "total": "5", "currency": "EUR"});
    writeln!(child.stdin.take().unwrap(), "{row}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let ingested: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&ingested, "orders"), [1, 1, 0, 0]);
    let nameless = lake.run(&["ingest", "native", "-"]);
    assert_eq!(nameless.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nameless.stderr).contains("--as orders.csv"));
}

#[test]
fn column_missing_from_one_file_is_reported() {
    let lake = OwnLake::new("missing_column");
    lake.write(
        "in/orders_1.csv",
        "external_id,placed_at,total,currency\no1,2025-01-01,5,EUR\n",
    );
    lake.write(
        "in/orders_2.csv",
        "external_id,placed_at,total\no2,2025-01-02,6\n",
    );
    let output = lake.run(&["ingest", "native", lake.path("in").to_str().unwrap()]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("orders_2.csv` lacks `currency`"), "{said}");
    assert!(!said.contains("orders_1.csv` lacks"), "{said}");
}

#[tokio::test]
async fn undone_run_leaves_no_personal_values() {
    let lake = OwnLake::new("undo_forgets");
    let kept = lake.write("a/persons.csv", "external_id,display_name\np1,Keep Me\n");
    lake.json(&["ingest", "native", kept.to_str().unwrap()]);
    let gone = lake.write("b/persons.csv", "external_id,display_name,country,created_at\np2,Forget Me,DE,2025-01-01\np3,Odd One,DE,tomorrow\n");
    let run = lake.json(&["ingest", "native", gone.to_str().unwrap()]);
    assert_eq!(counts(&run, "persons"), [2, 1, 0, 1]);
    let vault_of = |table: &str| {
        std::fs::read_dir(lake.path(&format!("lake/default/_vault/{table}")))
            .unwrap()
            .count()
    };
    assert!(vault_of("persons") > 0);
    lake.json(&["ingest", "undo", run["batch"].as_str().unwrap()]);
    let names = lake.sql("select display_name from people");
    assert_eq!(names, [json!({"display_name": "Keep Me"})]);
    let texts = texts(&lake.path("lake")).await;
    let holds = |needle: &str| texts.iter().any(|(_, text)| text.contains(needle));
    assert!(holds("Keep Me"));
    for gone in ["Forget Me", "tomorrow", "Odd One"] {
        assert!(!holds(gone), "{gone}");
    }
}

#[test]
fn undo_works_after_compaction() {
    let lake = OwnLake::new("undo_rows");
    let ingest = |name: &str, text: &str| {
        let file = lake.write(name, text);
        let run = lake.json(&["ingest", "native", file.to_str().unwrap()]);
        run["batch"].as_str().unwrap().to_owned()
    };
    let header = "external_id,person_external_id,status,currency,total,placed_at\n";
    let order =
        |id: u32, total: u32| format!("O{id},P{id},paid,EUR,{total},2025-01-01T00:00:00Z\n");
    let orders = |ids: std::ops::Range<u32>, total| -> String {
        header.to_owned() + &ids.map(|id| order(id, total)).collect::<String>()
    };
    ingest("1/orders.csv", &orders(1..20, 1));
    let looks = "select external_id, person_id, total from orders order by external_id";
    let before = lake.sql(looks);
    // Persons of orders that are there, changed orders, new orders: one run each.
    let persons = ingest("2/persons.csv", "external_id,display_name\nP1,Ada\nP2,Bo\n");
    let linked = lake.sql(looks);
    let changed = ingest("3/orders.csv", &orders(5..8, 9));
    let others = ingest("4/orders.csv", &orders(15..30, 7));
    lake.json(&["compact", "--all"]);
    // A run whose rows a later one has changed has to wait; one beside it does not.
    let again = ingest("5/orders.csv", &orders(6..7, 3));
    let refused = lake.run(&["ingest", "undo", &changed]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("later batches changed rows"), "{said}");
    for batch in [&others, &again, &changed] {
        lake.json(&["ingest", "undo", batch]);
        assert_eq!(lake.json(&["check"])["problems"], serde_json::json!([]));
    }
    assert_eq!(lake.sql(looks), linked);
    assert_ne!(linked, before);
    lake.json(&["ingest", "undo", &persons]);
    assert_eq!(lake.sql(looks), before);
    assert_eq!(lake.value("select count(*) as n from persons"), 0);
    assert_eq!(
        lake.value("select count(*) as n from identities where person_id <> 0"),
        0
    );
}

#[test]
fn existing_rows_are_found_with_and_without_key_index() {
    let lake = OwnLake::new("key_index");
    let header = "external_id,person_external_id,type,occurred_at\n";
    let rows = |ids: std::ops::Range<u32>, kind: &str| {
        let row = |id| format!("A{id},P{},{kind},2025-01-01T00:00:00Z\n", id % 500);
        header.to_owned() + &ids.map(row).collect::<String>()
    };
    let ingest = |name: &str, text: &str| {
        let file = lake.write(name, text);
        let run = lake.json(&["ingest", "native", file.to_str().unwrap()]);
        counts(&run, "activities")
    };
    let all = rows(0..20_000, "seen");
    assert_eq!(ingest("1/activities.csv", &all), [20_000, 20_000, 0, 0]);
    // Few rows are looked up one by one, many by reading the index through.
    let few = rows(19_990..20_010, "seen");
    assert_eq!(ingest("2/activities.csv", &few), [20, 10, 10, 0]);
    assert_eq!(
        ingest("3/activities.csv", &rows(5..8, "clicked")),
        [3, 3, 0, 0]
    );
    assert_eq!(ingest("4/activities.csv", &all), [20_000, 3, 19_997, 0]);
    let folder = lake.path("lake/default/activities");
    let mut removed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "keys") {
            std::fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 1);
    assert_eq!(ingest("5/activities.csv", &few), [20, 0, 20, 0]);
    assert_eq!(ingest("6/activities.csv", &all), [20_000, 0, 20_000, 0]);
    assert_eq!(lake.value("select count(*) as n from activities"), 20_010);
    assert_eq!(lake.json(&["check"])["problems"], serde_json::json!([]));
}

#[test]
fn older_version_arriving_later_changes_nothing() {
    let lake = OwnLake::new("out_of_order");
    let ingest = |name: &str, country: &str, updated: &str| {
        let rows = format!("external_id,country,updated_at\nP1,{country},{updated}\n");
        let file = lake.write(&format!("{name}/persons.csv"), &rows);
        let run = lake.json(&["ingest", "native", file.to_str().unwrap()]);
        counts(&run, "persons")
    };
    let country = || lake.value("select country from persons");
    assert_eq!(ingest("1", "DE", "2025-03-01"), [1, 1, 0, 0]);
    assert_eq!(ingest("2", "FR", "2025-02-01"), [1, 0, 1, 0]);
    assert_eq!(country(), "DE");
    // Of versions of one time, and where the source does not say, the last to arrive holds.
    assert_eq!(ingest("3", "AT", "2025-03-01"), [1, 1, 0, 0]);
    assert_eq!(country(), "AT");
    assert_eq!(ingest("4", "ES", ""), [1, 1, 0, 0]);
    assert_eq!(country(), "ES");
}

#[test]
fn mapping_over_the_memory_limit_fails_alone() {
    let lake = OwnLake::new("grown");
    let grown =
        "replace(replace(rpad('a', 9000, 'a'), 'a', rpad('b', 9000, 'b')), 'b', 'cccccccccc')";
    let mapping = format!(
        "-- table: products\n-- source: p = p*\nselect p.id as external_id, {grown} as name from p"
    );
    lake.write("mappings/p.sql", &mapping);
    let ids: Vec<String> = (0..5_000).map(|id| format!("{id}\n")).collect();
    let file = lake.write("p.csv", &format!("id\n{}", ids.concat()));
    let (file, mappings) = (file.to_str().unwrap(), lake.path("mappings"));
    let run = [
        "--memory-mib",
        "16",
        "ingest",
        "shop",
        file,
        "--mappings",
        mappings.to_str().unwrap(),
    ];
    let refused = lake.run(&run);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("more than the 16 MiB of memory"), "{told}");
    assert!(!lake.path("lake/default/_snapshots").exists());
}
