//! Numbers in files: decimal points, decimal commas, and ambiguous ones.

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, column, counts};

const HEAD: &str = "external_id;person_external_id;status;currency;total;placed_at\n";

/// Orders with these totals, one per day.
fn orders(totals: &[&str]) -> String {
    let line = |(at, total): (usize, &&str)| {
        format!("o{at};p1;paid;EUR;{total};2025-01-{:02}\n", at % 28 + 1)
    };
    HEAD.to_owned() + &totals.iter().enumerate().map(line).collect::<String>()
}

fn ingest(lake: &OwnLake, provider: &str, file: &str, more: &[&str]) -> Value {
    let path = lake.path(file);
    let arguments = ["ingest", provider, path.to_str().unwrap()];
    lake.json(&[&arguments, more].concat())
}

fn totals(lake: &OwnLake) -> Value {
    let rows = lake.sql("select external_id, total from orders order by external_id");
    Value::Array(column(&Value::Array(rows), "total"))
}

#[test]
fn ambiguous_decimal_commas_quarantine_the_column() {
    let lake = OwnLake::new("decimal_comma");
    // The column is recognised wherever in the file the first decimal comma occurs.
    for (name, given) in [
        ("first", ["12,50", "1.234", "12.500", "7"]),
        ("last", ["1.234", "12.500", "7", "12,50"]),
        ("thousands", ["1.234", "1.234.567", "12.500", "7"]),
        ("zero", ["1.234", "12.5", "0,500", "7"]),
    ] {
        lake.forget();
        lake.write("a/orders.csv", &orders(&given));
        let done = ingest(&lake, "native", "a/orders.csv", &[]);
        assert_eq!(counts(&done, "orders"), [4, 1, 0, 3], "{name}");
        assert_eq!(totals(&lake), json!(["7.0000"]), "{name}");
    }
    let waiting = lake.json(&["quarantine"]);
    let reasons = column(&waiting, "reason");
    let tells = |reason: &Value| reason.as_str().unwrap().contains("-- numbers: 1.234,56");
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(tells), "{reasons:?}");
    // English thousands are no decimal commas, and each file is judged by itself.
    lake.forget();
    lake.write(
        "b/orders.csv",
        &orders(&["1,234.50", "1,234", "12.5", "1,000,000"]),
    );
    lake.write(
        "b/orders_de.csv",
        &orders(&["1.234", "9,99"]).replace("\no", "\nde"),
    );
    let done = ingest(&lake, "native", "b", &[]);
    assert_eq!(counts(&done, "orders"), [6, 4, 0, 2]);
    let expected = json!(["1234.5000", "1234.0000", "12.5000", "1000000.0000"]);
    assert_eq!(totals(&lake), expected);
    // The mended file settles what waits.
    lake.write(
        "b/orders_de.csv",
        &orders(&["1234", "9.99"]).replace("\no", "\nde"),
    );
    ingest(&lake, "native", "b/orders_de.csv", &[]);
    assert_eq!(lake.json(&["quarantine"]), json!([]));
}

#[test]
fn decimal_comma_late_in_a_file_is_seen_before_commit() {
    let lake = OwnLake::new("decimal_comma_far_down");
    let mut given = vec!["5"; 9_000];
    given[0] = "1.234";
    given[8_999] = "12,50";
    // A row of the part that was read first that came twice, and one of a person.
    let text = orders(&given) + "o1;p1;paid;USD;6;2025-01-03\n";
    lake.write("a/orders.csv", &text);
    let done = ingest(&lake, "native", "a/orders.csv", &[]);
    assert_eq!(counts(&done, "orders"), [9_001, 8_998, 1, 2]);
    assert_eq!(
        lake.value("select count(*) as n from orders where total in (1.234, 12.5)"),
        0
    );
    assert_eq!(lake.value("select count(*) as n from orders"), 8_998);
    let again = ingest(&lake, "native", "a/orders.csv", &[]);
    assert_eq!(counts(&again, "orders"), [9_001, 0, 8_999, 2]);
}

const MAPPING: &str = "-- table: orders\n-- source: orders = orders.*\n-- numbers: 1.234,56\n\
    select external_id, person_external_id, status, currency, total, placed_at, \
    try_cast(total as decimal(19, 4)) * 2 as subtotal from orders";

#[test]
fn mapping_declares_number_format() {
    let lake = OwnLake::new("numbers_of_a_mapping");
    lake.write(
        "a/orders.csv",
        &orders(&["12,50", "1.234", "1 234,5", "-7", "12.5", "1,234.50"]),
    );
    let first = ingest(&lake, "native", "a/orders.csv", &[]);
    assert_eq!(counts(&first, "orders"), [6, 1, 0, 5]);
    // The same rows, through a mapping that says it: those that are written otherwise go on waiting.
    lake.write("m/orders.sql", MAPPING);
    let folder = lake.path("m");
    let with = ["--mappings", folder.to_str().unwrap()];
    let done = lake.json(&[&["quarantine", "retry"][..], &with].concat());
    assert_eq!(counts(&done, "orders"), [5, 3, 0, 2]);
    assert_eq!(
        totals(&lake),
        json!(["12.5000", "1234.0000", "1234.5000", "-7.0000"])
    );
    assert_eq!(
        lake.value("select sum(subtotal) as s from orders"),
        "4962.0000"
    );
    // Numbers that are none of text are what they are.
    let line = json!({"external_id": "j1", "person_external_id": "p1", "status": "paid",
        "currency": "EUR", "total": 1.234, "placed_at": "2025-01-01"});
    lake.write("a/orders.ndjson", &format!("{line}\n"));
    ingest(&lake, "shop", "a/orders.ndjson", &with);
    assert_eq!(
        lake.value("select total from orders where external_id = 'j1'"),
        "1.2340"
    );
}

#[test]
fn mapping_conditions_read_numbers_in_its_format() {
    let lake = OwnLake::new("numbers_of_only");
    lake.write("a/orders.csv", &orders(&["12,50", "1.234", "9,5"]));
    let only = "-- only: try_cast(total as decimal(19, 4)) > 10\nselect";
    lake.write("m/orders.sql", &MAPPING.replace("select", only));
    let folder = lake.path("m");
    let with = ["--mappings", folder.to_str().unwrap()];
    let done = ingest(&lake, "shop", "a/orders.csv", &with);
    assert_eq!(counts(&done, "orders"), [2, 2, 0, 0]);
    assert_eq!(totals(&lake), json!(["12.5000", "1234.0000"]));
}

#[test]
fn wrong_number_under_a_declared_format_quarantines_only_its_row() {
    let lake = OwnLake::new("numbers_with_point");
    lake.write("a/orders.csv", &orders(&["12,50", "1.234", "1,234.5"]));
    lake.write("m/orders.sql", &MAPPING.replace("1.234,56", "1,234.56"));
    let folder = lake.path("m");
    let with = ["--mappings", folder.to_str().unwrap()];
    let done = ingest(&lake, "shop", "a/orders.csv", &with);
    assert_eq!(counts(&done, "orders"), [3, 2, 0, 1]);
    assert_eq!(totals(&lake), json!(["1.2340", "1234.5000"]));
}

#[test]
fn rates_and_counts_follow_the_number_format() {
    let lake = OwnLake::new("numbers_of_other_types");
    lake.write(
        "a/fx_rates.csv",
        "day;currency;rate\n2025-01-01;GBP;1.085\n2025-01-02;GBP;1,0850\n2025-01-03;GBP;1\n",
    );
    let done = ingest(&lake, "native", "a/fx_rates.csv", &[]);
    assert_eq!(counts(&done, "fx_rates"), [3, 1, 0, 2]);
    lake.write(
        "a/campaign_spend.csv",
        "campaign_id;day;amount;impressions\nc1;2025-01-01;5;1.000\nc1;2025-01-02;5;1.000.000\nc1;2025-01-03;5;10\n",
    );
    let done = ingest(&lake, "native", "a/campaign_spend.csv", &[]);
    assert_eq!(counts(&done, "campaign_spend"), [3, 1, 0, 2]);
}

#[test]
fn probability_outside_0_to_1_is_quarantined() {
    let lake = OwnLake::new("chances");
    lake.write(
        "a/deals.csv",
        "external_id,status,value,probability,created_at\nd1,open,100,75,2025-01-01\nd2,open,100,0.4,2025-01-01\nd3,open,100,1,2025-01-01\nd4,open,100,-0.1,2025-01-01\nd5,open,100,40%,2025-01-01\nd6,open,1,,2025-01-01\n",
    );
    lake.write(
        "a/pipelines.csv",
        "pipeline,stage,probability\nsales,offer,80\nsales,won,1\n",
    );
    let done = ingest(&lake, "native", "a", &[]);
    assert_eq!(counts(&done, "deals"), [6, 3, 0, 3]);
    assert_eq!(counts(&done, "pipelines"), [2, 1, 0, 1]);
    let waiting = lake.json(&["quarantine", "--table", "deals"]);
    assert_eq!(waiting.as_array().unwrap().len(), 3);
    for reason in column(&waiting, "reason") {
        assert!(
            reason.as_str().unwrap().contains("0.75 for 75 %"),
            "{reason}"
        );
    }
    // A number that a mapping computes is looked at too.
    lake.write("m/deals.sql", "-- table: deals\n-- source: deals = deals.*\nselect external_id, status, try_cast(probability as double) / 10 as probability, created_at from deals");
    let folder = lake.path("m");
    let done = ingest(
        &lake,
        "crm",
        "a/deals.csv",
        &["--mappings", folder.to_str().unwrap()],
    );
    assert_eq!(counts(&done, "deals"), [6, 4, 0, 2]);
}

#[test]
fn inspect_drafts_number_format_and_divides_percents() {
    let lake = OwnLake::new("inspected_numbers");
    let draft = |name: &str, content: &str| {
        let path = lake.write(name, content);
        let found = lake.json(&["inspect", path.to_str().unwrap()]);
        found["mapping"].as_str().unwrap().to_owned()
    };
    let german = draft("orders.csv", &orders(&["12,50", "1.234", "12.500"]));
    assert!(german.contains("-- numbers: 1.234,56\n"), "{german}");
    assert!(german.contains("decimal comma"), "{german}");
    let english = draft("orders.csv", &orders(&["12.50", "1,234", "12.500"]));
    assert!(!english.contains("-- numbers"), "{english}");
    let deals = draft(
        "deals.csv",
        "Id,Stage,Probability,Created\n1,new,75,2025-01-01\n2,new,40,2025-01-01\n",
    );
    assert!(deals.contains("/ 100"), "{deals}");
    // The draft of a whole file with decimal commas takes all of it in.
    lake.write("m/orders.sql", &german);
    lake.write("orders.csv", &orders(&["12,50", "1.234", "12.500"]));
    let folder = lake.path("m");
    let with = ["--mappings", folder.to_str().unwrap()];
    let done = ingest(&lake, "shop", "orders.csv", &with);
    assert_eq!(counts(&done, "orders"), [3, 3, 0, 0]);
    assert_eq!(totals(&lake), json!(["12.5000", "1234.0000", "12500.0000"]));
}
