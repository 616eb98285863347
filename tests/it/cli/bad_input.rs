//! Common mistakes: each gives a clear message and the right exit status, and changes nothing.

use std::fs;
use std::path::Path;

use crate::support::own_lake::OwnLake;

const ORDERS: &str = "external_id,person_external_id,status,currency,total,placed_at\n1,p1,paid,EUR,10.00,2024-05-01T10:00:00Z\n2,p1,paid,EUR,5.50,2024-05-02T10:00:00Z\n";
const PERSONS: &str = "external_id,email,country,created_at\np1,ada@example.com,DE,2024-01-01\n";

fn shop(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let orders = lake.write("data/orders.csv", ORDERS);
    lake.write("data/persons.csv", PERSONS);
    let folder = orders.parent().unwrap().to_str().unwrap().to_owned();
    lake.json(&["ingest", "native", &folder]);
    lake
}

/// The command fails with this status and message, and does not change the lake.
fn check(lake: &OwnLake, arguments: &[&str], status: i32, parts: &[&str]) {
    let before = lake.json(&["snapshots"]);
    let output = lake.run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {message}"
    );
    for part in parts {
        assert!(
            message.contains(part),
            "{arguments:?}: `{part}` is not in: {message}"
        );
    }
    assert!(output.stdout.is_empty(), "{arguments:?} printed an answer");
    assert_eq!(
        lake.json(&["snapshots"]),
        before,
        "{arguments:?} changed the lake"
    );
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn unreadable_files_are_refused() {
    let lake = shop("files_that_cannot_be_read");
    check(
        &lake,
        &["ingest", "native", "/no/such/orders.csv"],
        1,
        &["`/no/such/orders.csv`", "does not exist"],
    );
    let binary = lake.write("binary/orders.csv", "\u{0}\u{1}\u{2}\u{0}\u{0}");
    check(
        &lake,
        &["ingest", "native", path(&binary)],
        1,
        &["orders.csv", "text"],
    );
    let empty = lake.write("empty/orders.csv", "");
    check(
        &lake,
        &["ingest", "native", path(&empty)],
        1,
        &["orders.csv", "empty"],
    );
    let other = lake.write("other/letter.csv", "a,b\n1,2\n");
    check(
        &lake,
        &["ingest", "native", path(&other)],
        1,
        &["no mapping of `native`", "orders"],
    );
    check(
        &lake,
        &["ingest", "shopfy", path(&other)],
        1,
        &["did you mean `shopify`"],
    );
}

#[test]
fn bad_rows_stay_in_quarantine_until_fixed() {
    let lake = shop("ragged_rows");
    let file = lake.write(
        "more/orders.csv",
        &format!("{ORDERS}3,p1,paid\n4,p1,paid,EUR,ten,2024-05-03\n"),
    );
    let done = lake.json(&["ingest", "native", path(&file)]);
    let orders = &done["tables"][0];
    assert_eq!(
        (
            &orders["read"],
            &orders["accepted"],
            &orders["unchanged"],
            &orders["quarantined"]
        ),
        (&4.into(), &0.into(), &2.into(), &2.into())
    );
    let rows = lake.json(&["quarantine"]);
    let rows = rows.as_array().unwrap();
    let lines: Vec<_> = rows
        .iter()
        .map(|row| (row["line"].as_i64().unwrap(), row["code"].as_str().unwrap()))
        .collect();
    assert_eq!(lines, [(4, "ragged"), (5, "bad_value")]);
    assert_eq!(
        (&rows[1]["column_name"], &rows[1]["value"]),
        (&"total".into(), &"ten".into())
    );
    // A mended mapping takes the second one in; the first has no columns to read.
    let mapping = "-- table: orders\n-- source: orders = orders.*\nselect external_id, person_external_id, status, currency, case when total = 'ten' then '10' else total end as total, placed_at from orders";
    let mapping = lake.write("mappings/orders.sql", mapping);
    let folder = mapping.parent().unwrap().to_str().unwrap();
    let retried = lake.json(&["quarantine", "retry", "--mappings", folder]);
    assert_eq!(retried["tables"][0]["accepted"], 1);
    assert_eq!(lake.json(&["quarantine"]).as_array().unwrap().len(), 1);
    // The mended file settles the other.
    let mended = lake.write(
        "more/orders.csv",
        &format!("{ORDERS}3,p1,paid,EUR,3.00,2024-05-04\n"),
    );
    lake.json(&["ingest", "native", path(&mended)]);
    assert_eq!(lake.json(&["quarantine"]), serde_json::json!([]));
    let sum = lake.json(&[
        "sql",
        "select sum(total) as total, count(*) as orders from orders",
    ]);
    assert_eq!(sum, serde_json::json!([{"total": "28.5000", "orders": 4}]));
}

#[test]
fn encoding_is_detected() {
    let lake = shop("an_encoding");
    let file = lake.write("latin/persons.csv", "");
    let text = b"external_id,display_name,city\np7,Bj\xf6rn \xc5str\xf6m,G\xf6teborg\np8,Andr\xe9 Ch\xe9nier,Besan\xe7on\n";
    fs::write(&file, text).unwrap();
    lake.json(&["ingest", "native", path(&file)]);
    let found = lake.json(&[
        "sql",
        "select display_name, city from persons where city <> '' order by city",
    ]);
    assert_eq!(
        found,
        serde_json::json!([
            {"display_name": "André Chénier", "city": "Besançon"},
            {"display_name": "Björn Åström", "city": "Göteborg"},
        ])
    );
}

#[test]
fn mappings_that_do_not_fit_are_refused() {
    let lake = shop("mappings_that_do_not_fit");
    let data = lake.write("own/orders.csv", ORDERS);
    let with = |name: &str, sql: &str, parts: &[&str]| {
        let mapping = lake.write(&format!("{name}/orders.sql"), sql);
        let folder = mapping.parent().unwrap().to_str().unwrap().to_owned();
        check(
            &lake,
            &["ingest", "mine", path(&data), "--mappings", &folder],
            1,
            parts,
        );
    };
    let head = "-- table: orders\n-- source: rows = orders.*\n";
    with(
        "m1",
        &format!("{head}select external_id, totl as total, placed_at from rows"),
        &[
            "unknown column `totl`",
            "did you mean `total`",
            "line 3, column 21",
        ],
    );
    with(
        "m2",
        &format!("{head}select external_id, total as totl, placed_at from rows"),
        &["yields a column `totl`", "did you mean `total`"],
    );
    with(
        "m3",
        &format!("{head}select external_id total placed_at from rows"),
        &["syntax error"],
    );
    with(
        "m4",
        &format!("{head}select total, placed_at from rows"),
        &["yields no `external_id`"],
    );
    with(
        "m5",
        "-- table: ordrs\n-- source: rows = orders.*\nselect 1",
        &["did you mean `orders`"],
    );
    with(
        "m6",
        &format!("{head}-- source: more = more.*\nselect external_id, placed_at from rows"),
        &["needs the source `more`"],
    );
}

#[test]
fn unknown_columns_and_segments_are_refused() {
    let lake = shop("criteria_and_segments");
    check(
        &lake,
        &["segment", "put", "vip", "--criteria", "total_spend > 5"],
        1,
        &[
            "unknown column `total_spend`",
            "did you mean `total_spent`",
            "line 1, column 1",
        ],
    );
    check(
        &lake,
        &["segment", "preview", "--criteria", "total_spent >"],
        1,
        &["syntax error", "line 1"],
    );
    check(
        &lake,
        &["segment", "preview", "--criteria", "total_spent"],
        1,
        &["must be true or false"],
    );
    check(
        &lake,
        &["segment", "put", "VIP", "--criteria", "true"],
        2,
        &["segment key `VIP`"],
    );
    check(
        &lake,
        &["segment", "members", "vip"],
        1,
        &["no segment `vip`"],
    );
    check(&lake, &["sql", "delete from orders"], 1, &["only queries"]);
    check(
        &lake,
        &["sql", "select * from ordrs"],
        1,
        &["unknown table `ordrs`", "did you mean `orders`"],
    );
    check(
        &lake,
        &["sql", "select 1", "--snapshot", "99"],
        1,
        &["no snapshot 99"],
    );
    check(
        &lake,
        &["sql", "select 1", "--as-of", "yesterday"],
        2,
        &["`yesterday` is not a time"],
    );
    check(
        &lake,
        &["ingest", "undo", "20200101-000000"],
        1,
        &["no batch `20200101-000000`"],
    );
    check(
        &lake,
        &["settings", "curency", "EUR"],
        1,
        &["did you mean `currency`"],
    );
    lake.json(&["segment", "put", "vip", "--criteria", "total_spent > 5"]);
    check(
        &lake,
        &["segment", "members", "vip"],
        1,
        &["segment refresh vip"],
    );
    check(
        &lake,
        &["segment", "members", "vips"],
        1,
        &["did you mean `vip`"],
    );
}

#[test]
fn missing_and_newer_lakes_are_refused() {
    let lake = OwnLake::new("lakes_that_are_not_there");
    let none = lake.run(&["tables"]);
    assert_eq!(none.status.code(), Some(1));
    let message = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        message.contains("there is no lake for tenant `default`"),
        "{message}"
    );
    for (format, said) in [(9, "newer rollbook"), (1, "into a new lake")] {
        lake.write("lake/_format.json", &format!("{{\"format\": {format}}}"));
        for command in [
            vec!["tables"],
            vec!["demo"],
            vec!["settings", "currency", "EUR"],
        ] {
            let refused = lake.run(&command);
            let message = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{message}");
            let told = message.contains(&format!("format {format}")) && message.contains(said);
            assert!(told, "{message}");
        }
    }
    assert_eq!(
        fs::read_dir(lake.write("lake/x", "").parent().unwrap())
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn members_previews_and_snapshots_agree() {
    let lake = shop("members_previews");
    let preview = lake.json(&[
        "segment",
        "preview",
        "--criteria",
        "total_spent > 15",
        "--as-of",
        "2024-06-01",
    ]);
    assert_eq!(preview["count"], 1);
    assert_eq!(preview["as_of"], "2024-06-01T00:00:00Z");
    lake.json(&["segment", "put", "vip", "--criteria", "total_spent > 15"]);
    let refreshed = lake.json(&["segment", "refresh", "--as-of", "2024-06-01"]);
    assert_eq!(
        (&refreshed[0]["count"], &refreshed[0]["snapshot"]),
        (&preview["count"], &preview["snapshot"])
    );
    assert_eq!(lake.json(&["segment", "members", "vip"]), preview["sample"]);
    // Before the second order nobody had spent as much.
    let earlier = lake.json(&[
        "segment",
        "preview",
        "--criteria",
        "total_spent > 15",
        "--as-of",
        "2024-05-02T09:00:00Z",
    ]);
    assert_eq!(earlier["count"], 0);
    // Taken back, the orders are gone; the membership stays until it is refreshed.
    let file = lake.write("second/orders.csv", "external_id,person_external_id,status,currency,total,placed_at\n1,p1,refunded,EUR,10.00,2024-05-01T10:00:00Z\n9,p2,paid,EUR,99.00,2024-05-03\n");
    let second = lake.json(&["ingest", "native", path(&file)]);
    let count =
        |lake: &OwnLake| lake.json(&["sql", "select count(*) as n, sum(total) as t from orders"]);
    assert_eq!(count(&lake), serde_json::json!([{"n": 3, "t": "114.5000"}]));
    lake.json(&["ingest", "undo", second["batch"].as_str().unwrap()]);
    assert_eq!(count(&lake), serde_json::json!([{"n": 2, "t": "15.5000"}]));
    let kept = lake.json(&["segment", "members", "vip", "--snapshot", "1"]);
    assert_eq!(kept, preview["sample"]);
    // A person that comes after their orders is linked to them.
    lake.json(&["ingest", "native", path(&file)]);
    let persons = lake.write(
        "second/persons.csv",
        "external_id,email,country\np2,bo@example.com,DE\n",
    );
    lake.json(&["ingest", "native", path(&persons)]);
    let spent = lake.json(&[
        "sql",
        "select total_spent, order_count from people where email = 'bo@example.com'",
    ]);
    assert_eq!(
        spent,
        serde_json::json!([{"total_spent": "99.0000", "order_count": 1}])
    );
}
