//! Rows of CSV files as text, for figures that a test computes without the program.

use std::collections::BTreeMap;
use std::path::Path;

/// The cells of a row by column, without blank ones.
pub(crate) type Row = BTreeMap<String, String>;

pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let reader = csv::ReaderBuilder::new().flexible(true).from_path(path);
    let mut reader = reader.unwrap();
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    let row = |record: csv::StringRecord| {
        let cells = names.iter().zip(&record);
        cells
            .filter(|(_, cell)| !cell.trim().is_empty())
            .map(|(name, cell)| (name.clone(), cell.to_owned()))
            .collect()
    };
    reader
        .records()
        .map(|record| row(record.unwrap()))
        .collect()
}

/// Joins each row of `left` with each row of `right` that has the same `key`.
pub(crate) fn joined(left: Vec<Row>, right: &[Row], key: &str) -> Vec<Row> {
    let mut by_key: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in right {
        if let Some(value) = row.get(key) {
            by_key.entry(value).or_default().push(row);
        }
    }
    let mut pairs = Vec::new();
    for row in left {
        let found = row.get(key).and_then(|value| by_key.get(value.as_str()));
        for other in found.into_iter().flatten() {
            let mut both = (*other).clone();
            both.extend(row.clone());
            pairs.push(both);
        }
    }
    pairs
}

/// An amount in units of 1 / `parts`, rounded half up.
pub(crate) fn in_parts(amount: &str, parts: f64) -> i64 {
    (amount.parse::<f64>().unwrap() * parts + 0.5) as i64
}
