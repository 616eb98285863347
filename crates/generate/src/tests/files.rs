//! The seed determines every byte, the requested numbers are met, CSV and Parquet hold the same rows.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Folder, files, options, read, run, run_with_all};
use crate::output::Table;
use crate::{Format, GenerateError, Options, generate};

#[test]
fn seed_determines_every_byte() {
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
        Table::ALWAYS.len(),
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
fn requested_numbers_are_exact() {
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
fn one_person_is_enough_and_facts_need_one() {
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

    let (orders, persons) = (read(&folder.0, "orders"), read(&folder.0, "persons"));
    assert!(
        orders
            .iter()
            .any(|order| order["person_external_id"] == persons[0]["external_id"])
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
fn truth_and_duplicates_follow_the_seed_and_change_no_other_rows() {
    let (one, same, plain) = (
        Folder::new("all"),
        Folder::new("same-all"),
        Folder::new("plain"),
    );
    run_with_all(&one.0, 300, 5);
    run_with_all(&same.0, 300, 5);
    run(&plain.0, 300, 5);
    assert!(files(&one.0) == files(&same.0));
    let truth = |folder: &Folder| files(&folder.0.join("truth"));
    assert!(truth(&one) == truth(&same));
    assert_eq!(truth(&one).len(), Table::TRUTH.len());
    for (name, bytes) in files(&plain.0)
        .iter()
        .filter(|file| file.0 != "persons.csv")
    {
        let with_all = fs::read(one.0.join(name)).unwrap();
        assert!(
            with_all == *bytes,
            "{name} depends on what is written beside it"
        );
    }
    assert!(!plain.0.join("truth").exists());
}

#[test]
fn too_few_rows_are_refused_with_the_minimum() {
    let folder = Folder::new("too-few");
    let asked = options(&folder.0, 400, 2);
    let least = |asked: &Options| match generate(asked).unwrap_err() {
        GenerateError::TooFew { what, least, .. } => (what, least),
        other => panic!("{other}"),
    };
    let orders = Options {
        orders: Some(3),
        ..asked.clone()
    };
    let (what, fewest) = least(&orders);
    assert_eq!(what, "orders");
    let orders = Options {
        orders: Some(fewest),
        ..orders
    };
    generate(&orders).unwrap();
    // Then every order is somebody's first, none a guest's.
    let rows = read(&folder.0, "orders");
    let buyers: HashSet<&str> = rows.iter().map(|row| &*row["person_external_id"]).collect();
    assert_eq!((rows.len() as u64, buyers.len() as u64), (fewest, fewest));
    assert!(!buyers.contains(""));

    let activities = Options {
        activities: Some(3),
        ..asked
    };
    let (what, fewest) = least(&activities);
    assert_eq!(what, "activities");
    let activities = Options {
        activities: Some(fewest),
        ..activities
    };
    generate(&activities).unwrap();
    assert_eq!(read(&folder.0, "activities").len() as u64, fewest);
}

/// Nothing is kept between persons: the facts of a person do not depend on the other persons, if the person's
/// own number of rows is the same.
#[test]
fn lead_does_not_depend_on_other_options() {
    let (few, many) = (Folder::new("few"), Folder::new("many"));
    let asked = Options {
        truth: true,
        ..options(&few.0, 200, 8)
    };
    generate(&asked).unwrap();
    generate(&Options {
        out: many.0.clone(),
        orders: Some(5_000),
        deals: Some(900),
        ..asked
    })
    .unwrap();
    let read = |folder: &Folder| fs::read(folder.0.join("truth/leads.csv")).unwrap();
    assert!(read(&few) == read(&many));
}

#[test]
fn parquet_holds_what_csv_holds() {
    let (text, typed) = (Folder::new("text"), Folder::new("typed"));
    run_with_all(&text.0, 300, 9);
    generate(&Options {
        format: Format::Parquet,
        duplicates_per_mille: 80,
        truth: true,
        ..options(&typed.0, 300, 9)
    })
    .unwrap();
    assert!(files(&text.0.join("truth")) == files(&typed.0.join("truth")));
    for table in Table::all().filter(|table| !table.is_truth()) {
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
            assert_eq!(names, table.columns(true));
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

/// Arrow writes times in a named zone only with a database of zones.
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
fn sample_files_equal_their_readme() {
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
