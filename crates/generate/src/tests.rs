//! Tests that read generated files back and check what the documentation promises.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rollbook_model::Timestamp;

use crate::{Format, Options, Summary, generate};

mod campaigns;
mod customers;
mod facts;
mod files;
mod leads;
mod second_records;

/// A folder that is deleted at the end of a test.
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
        duplicates_per_mille: 0,
        truth: false,
    }
}

/// A run with all options.
fn run_with_all(out: &Path, persons: u64, seed: u64) -> Summary {
    generate(&Options {
        duplicates_per_mille: 80,
        truth: true,
        ..options(out, persons, seed)
    })
    .unwrap()
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

/// Seconds since 1970.
fn seconds(row: &HashMap<String, String>, column: &str) -> i64 {
    row[column].parse::<Timestamp>().unwrap().micros() / 1_000_000
}

/// Whether an order counts as revenue.
fn counts(order: &HashMap<String, String>) -> bool {
    !order["paid_at"].is_empty() && !["pending", "cancelled"].contains(&&*order["status"])
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
