//! Holds what generated files promise, by reading them back.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook_model::Timestamp;

use crate::output::Table;
use crate::{Format, GenerateError, Options, Summary, generate};

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("rollbook-generate-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(out: &Path, persons: u64, seed: u64) -> Options {
    let out = out.to_owned();
    Options {
        persons,
        seed,
        format: Format::Csv,
        out,
        orders: None,
        activities: None,
        deals: None,
        truth: false,
    }
}

fn run(out: &Path, persons: u64, seed: u64) -> Summary {
    generate(&options(out, persons, seed)).unwrap()
}

type Rows = Vec<HashMap<String, String>>;

fn read(folder: &Path, table: &str) -> Rows {
    let mut reader = csv::Reader::from_path(folder.join(format!("{table}.csv"))).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn ids(rows: &Rows) -> HashSet<&str> {
    let ids: HashSet<&str> = rows.iter().map(|row| row["external_id"].as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "an external id was given twice");
    assert!(!ids.contains(""));
    ids
}

fn cents(row: &HashMap<String, String>, column: &str) -> i64 {
    let (whole, rest) = row[column].split_once('.').unwrap();
    assert_eq!(rest.len(), 2, "{column} has two decimals");
    whole.parse::<i64>().unwrap() * 100 + rest.parse::<i64>().unwrap()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_seed_decides_every_byte() {
    let (one, same, other) = (
        Folder::new("one"),
        Folder::new("same"),
        Folder::new("other"),
    );
    run(&one.0, 200, 5);
    run(&same.0, 200, 5);
    run(&other.0, 200, 6);
    assert_eq!(
        files(&one.0).len(),
        Table::ALL.len(),
        "nothing but the files is left"
    );
    assert!(
        files(&one.0) == files(&same.0),
        "the same seed gave other bytes"
    );
    for table in [
        "persons.csv",
        "orders.csv",
        "activities.csv",
        "deals.csv",
        "products.csv",
    ] {
        let read = |folder: &Folder| fs::read(folder.0.join(table)).unwrap();
        assert_ne!(
            read(&one),
            read(&other),
            "{table} does not depend on the seed"
        );
    }
}

#[test]
fn the_numbers_asked_for_are_met() {
    let folder = Folder::new("numbers");
    let mut asked = options(&folder.0, 300, 1);
    (asked.orders, asked.activities, asked.deals) = (Some(901), Some(1_503), Some(17));
    let summary = generate(&asked).unwrap();
    let rows = |name| {
        summary
            .files
            .iter()
            .find(|file| file.table == name)
            .unwrap()
            .rows
    };
    for (table, count) in [
        ("persons", 300),
        ("orders", 901),
        ("activities", 1_503),
        ("deals", 17),
    ] {
        assert_eq!(rows(table), count, "{table}");
        assert_eq!(read(&folder.0, table).len() as u64, count, "{table}");
    }
    for file in &summary.files {
        assert_eq!(
            read(&folder.0, file.table).len() as u64,
            file.rows,
            "{}",
            file.table
        );
        assert_eq!(
            fs::metadata(&file.path).unwrap().len(),
            file.bytes,
            "{}",
            file.table
        );
    }
}

#[test]
fn the_least_is_a_single_person_and_facts_need_one() {
    let folder = Folder::new("least");
    let mut asked = options(&folder.0, 1, 3);
    (asked.orders, asked.deals) = (Some(4), Some(2));
    generate(&asked).unwrap();
    assert_eq!(
        (
            read(&folder.0, "orders").len(),
            read(&folder.0, "deals").len()
        ),
        (4, 2)
    );

    let nobody = generate(&Options {
        persons: 0,
        ..asked
    })
    .unwrap_err();
    assert!(matches!(
        nobody,
        GenerateError::NobodyToHaveThem {
            what: "orders",
            rows: 4
        }
    ));
    assert_eq!(run(&folder.0, 0, 3).last_event, None);
}

#[test]
fn amounts_add_up() {
    let folder = Folder::new("amounts");
    run(&folder.0, 1_500, 11);
    let (orders, lines) = (read(&folder.0, "orders"), read(&folder.0, "order_lines"));
    let mut of_lines: HashMap<&str, i64> = HashMap::new();
    for line in &lines {
        let quantity: i64 = line["quantity"].parse().unwrap();
        let full = quantity * cents(line, "unit_price");
        assert_eq!(
            full - cents(line, "discount"),
            cents(line, "total"),
            "{line:?}"
        );
        *of_lines.entry(&line["order_id"]).or_default() += cents(line, "total");
    }
    let mut totals = HashMap::new();
    for order in &orders {
        let id = order["external_id"].as_str();
        assert_eq!(
            of_lines.remove(id),
            Some(cents(order, "subtotal")),
            "{order:?}"
        );
        let due = cents(order, "subtotal") - cents(order, "discount")
            + cents(order, "tax")
            + cents(order, "shipping");
        assert_eq!(due, cents(order, "total"), "{order:?}");
        totals.insert(id, order);
    }
    assert!(of_lines.is_empty(), "lines without an order: {of_lines:?}");

    let refunds = read(&folder.0, "refunds");
    let mut refunded = HashSet::new();
    for refund in &refunds {
        let order = totals[refund["order_id"].as_str()];
        let (amount, total) = (cents(refund, "amount"), cents(order, "total"));
        match order["status"].as_str() {
            "refunded" => assert_eq!(amount, total, "{refund:?}"),
            "partially_refunded" => assert!(0 < amount && amount < total, "{refund:?}"),
            status => panic!("a refund of an order that is {status}"),
        }
        assert_eq!(refund["currency"], order["currency"]);
        assert_eq!(refund["person_external_id"], order["person_external_id"]);
        assert!(refund["refunded_at"] > order["paid_at"], "{refund:?}");
        refunded.insert(refund["order_id"].as_str());
    }
    let said = orders
        .iter()
        .filter(|order| order["status"].ends_with("refunded"));
    let said: HashSet<&str> = said.map(|order| order["external_id"].as_str()).collect();
    assert_eq!(refunded, said);
    assert!(
        refunds.len() * 20 < orders.len() * 3,
        "more than 15 % are given back"
    );
}

#[test]
fn times_are_in_order() {
    let folder = Folder::new("times");
    let summary = run(&folder.0, 1_500, 12);
    let last = summary.last_event.unwrap();
    let read_time = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut latest = None;
    let mut check = |table: &str, earlier: &str, later: &[&str]| {
        for row in read(&folder.0, table) {
            assert!(
                row[earlier].as_str() >= "2024-01-01T00:00:00Z",
                "{table} {row:?}"
            );
            for column in [earlier]
                .iter()
                .chain(later)
                .filter(|column| !row[**column].is_empty())
            {
                let time = read_time(&row[*column]);
                assert!(read_time(&row[earlier]) <= time, "{table}.{column} {row:?}");
                assert!(
                    time.micros() < read_time("2026-01-01").micros(),
                    "{table} {row:?}"
                );
                latest = latest.max(Some(time).filter(|_| table != "persons"));
            }
        }
    };
    check("orders", "placed_at", &["paid_at", "cancelled_at"]);
    check("order_lines", "placed_at", &[]);
    check("refunds", "refunded_at", &[]);
    check("deals", "created_at", &["closed_at", "updated_at"]);
    check("tickets", "opened_at", &["closed_at"]);
    check("activities", "occurred_at", &[]);
    check(
        "persons",
        "created_at",
        &["updated_at", "last_seen_at", "marketing_opt_in_date"],
    );
    assert_eq!(latest, Some(last));

    for order in read(&folder.0, "orders") {
        let (paid, cancelled) = (
            !order["paid_at"].is_empty(),
            !order["cancelled_at"].is_empty(),
        );
        let expected = match order["status"].as_str() {
            "pending" => (false, false),
            "cancelled" => (false, true),
            _ => (true, false),
        };
        assert_eq!((paid, cancelled), expected, "{order:?}");
    }
    for deal in read(&folder.0, "deals") {
        assert_eq!(
            deal["status"] == "open",
            deal["closed_at"].is_empty(),
            "{deal:?}"
        );
        assert_eq!(
            deal["status"] == "lost",
            !deal["lost_reason"].is_empty(),
            "{deal:?}"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let folder = Folder::new("references");
    run(&folder.0, 1_500, 13);
    let tables: HashMap<&str, Rows> = Table::ALL
        .iter()
        .map(|table| (table.name(), read(&folder.0, table.name())))
        .collect();
    let known: HashMap<&str, HashSet<&str>> = tables
        .iter()
        .map(|(name, rows)| (*name, ids(rows)))
        .collect();
    for (table, column, target) in [
        ("orders", "person_external_id", "persons"),
        ("order_lines", "person_external_id", "persons"),
        ("refunds", "person_external_id", "persons"),
        ("deals", "person_external_id", "persons"),
        ("activities", "person_external_id", "persons"),
        ("tickets", "person_external_id", "persons"),
        ("persons", "organization_id", "organizations"),
        ("deals", "organization_id", "organizations"),
        ("order_lines", "order_id", "orders"),
        ("order_lines", "product_id", "products"),
        ("refunds", "order_id", "orders"),
        ("refunds", "line_id", "order_lines"),
        ("orders", "campaign_id", "campaigns"),
        ("activities", "campaign_id", "campaigns"),
        ("campaign_spend", "campaign_id", "campaigns"),
    ] {
        let named: Vec<&str> = tables[table]
            .iter()
            .map(|row| row[column].as_str())
            .filter(|id| !id.is_empty())
            .collect();
        assert!(!named.is_empty(), "{table}.{column} is always blank");
        for id in named {
            assert!(known[target].contains(id), "{table}.{column} names `{id}`");
        }
    }
    for activity in tables["activities"]
        .iter()
        .filter(|row| !row["subject_id"].is_empty())
    {
        let target = format!("{}s", activity["subject_type"]);
        assert!(
            known[target.as_str()].contains(activity["subject_id"].as_str()),
            "{activity:?}"
        );
    }
    let guests = tables["orders"]
        .iter()
        .filter(|row| row["person_external_id"].is_empty())
        .count();
    assert!(
        guests > 0 && guests * 10 < tables["orders"].len(),
        "{guests} orders of guests"
    );
    for person in &tables["persons"] {
        let domain = person["email"].split_once('@').unwrap().1;
        assert!(
            ["example.com", "example.org"].contains(&domain),
            "{person:?}"
        );
    }
    let emails: HashSet<&str> = tables["persons"]
        .iter()
        .map(|row| row["email"].as_str())
        .collect();
    assert_eq!(emails.len(), tables["persons"].len());
}

#[test]
fn nobody_is_mailed_against_their_will() {
    let folder = Folder::new("consent");
    run(&folder.0, 1_500, 14);
    let persons = read(&folder.0, "persons");
    let persons: HashMap<&str, _> = persons
        .iter()
        .map(|row| (row["external_id"].as_str(), row))
        .collect();
    let activities = read(&folder.0, "activities");
    let mut left: HashMap<&str, &str> = HashMap::new();
    for row in activities
        .iter()
        .filter(|row| row["type"] == "email_unsubscribed")
    {
        left.insert(&row["person_external_id"], &row["occurred_at"]);
        assert_eq!(
            persons[row["person_external_id"].as_str()]["accepts_email_marketing"],
            "false"
        );
    }
    let mut sent = 0;
    for row in activities.iter().filter(|row| row["type"] == "email_sent") {
        let person = row["person_external_id"].as_str();
        let opted_in = persons[person]["marketing_opt_in_date"].as_str();
        assert!(
            !opted_in.is_empty() && opted_in <= row["occurred_at"].as_str(),
            "{row:?}"
        );
        assert!(
            left.get(person)
                .is_none_or(|at| row["occurred_at"].as_str() < *at),
            "{row:?}"
        );
        sent += 1;
    }
    assert!(
        sent > 500 && !left.is_empty(),
        "{sent} mails, {} left",
        left.len()
    );
}

#[test]
fn parquet_holds_what_csv_holds() {
    let (text, typed) = (Folder::new("text"), Folder::new("typed"));
    run(&text.0, 300, 9);
    generate(&Options {
        format: Format::Parquet,
        ..options(&typed.0, 300, 9)
    })
    .unwrap();
    for table in Table::ALL {
        let path = typed.0.join(format!("{}.parquet", table.name()));
        let file = fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let mut typed = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            let names: Vec<&str> = batch
                .schema_ref()
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            assert_eq!(names, table.columns());
            let columns: Vec<ArrayRef> = batch.columns().iter().map(with_numeric_zone).collect();
            let options = FormatOptions::default();
            let cells: Vec<_> = columns
                .iter()
                .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
                .collect();
            for row in 0..batch.num_rows() {
                typed.push(
                    cells
                        .iter()
                        .map(|cell| cell.value(row).to_string())
                        .collect::<Vec<_>>(),
                );
            }
        }
        let path = text.0.join(format!("{}.csv", table.name()));
        let mut reader = csv::Reader::from_path(path).unwrap();
        let text: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        assert_eq!(text.len(), typed.len(), "{table:?}");
        for (text, typed) in text.iter().zip(&typed) {
            for (text, typed) in text.iter().zip(typed) {
                let number = |cell: &str| cell.parse::<f64>().ok();
                let same = text == typed || number(text).is_some_and(|n| Some(n) == number(typed));
                assert!(same, "{table:?}: `{text}` became `{typed}`");
            }
        }
    }
}

/// Arrow writes times of a named zone only with a database of zones.
fn with_numeric_zone(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => {
            assert_eq!(times.timezone(), Some("UTC"));
            Arc::new(times.clone().with_timezone("+00:00"))
        }
        None => Arc::clone(column),
    }
}

#[test]
fn the_sample_is_what_its_readme_says() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    let folder = Folder::new("sample");
    let summary = run(&folder.0, 2_000, 7);
    let (committed, made) = (files(&sample), files(&folder.0));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&committed), names(&made));
    for ((name, committed), (_, made)) in committed.iter().zip(&made) {
        let hint = "run `rollbook generate --persons 2000 --seed 7 --out data/sample`";
        assert!(
            committed == made,
            "data/sample/{name} is not what the generator writes; {hint}"
        );
    }
    let bytes: u64 = summary.files.iter().map(|file| file.bytes).sum();
    assert!(bytes < 5_000_000, "the sample takes {bytes} bytes");

    let readme = fs::read_to_string(sample.join("../README.md")).unwrap();
    for file in &summary.files {
        let line = format!("| `{}.csv` | {} |", file.table, thousands(file.rows));
        assert!(readme.contains(&line), "data/README.md lacks `{line}`");
    }
    let last = summary.last_event.unwrap().to_utc().unwrap();
    let last = last.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert!(
        readme.contains(&last),
        "data/README.md lacks the last event, {last}"
    );
}

fn thousands(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    }
}
