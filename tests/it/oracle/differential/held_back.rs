//! The newest part of Olist, ingested slice by slice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use csv::{Reader, StringRecord, Writer};
use rollbook_model::Timestamp;

use super::rows::DAY;

/// Files whose rows have a date, with its column.
const DATED: [(&str, &str); 3] = [
    (
        "orders_8k/olist_orders_dataset.csv",
        "order_purchase_timestamp",
    ),
    (
        "olist_marketing_qualified_leads_dataset.csv",
        "first_contact_date",
    ),
    ("olist_closed_deals_dataset.csv", "won_date"),
];

/// Files whose rows follow those of another file, with the shared column.
const BESIDE: [(&str, &str); 3] = [
    ("orders_8k/olist_customers_dataset.csv", "customer_id"),
    ("orders_8k/olist_order_items_dataset.csv", "order_id"),
    ("olist_products_dataset.csv", "product_id"),
];

const TRANSLATION: &str = "product_category_name_translation.csv";

/// The files, and the moment up to which they are ingested. Payments and sellers are left out, since no
/// condition uses them.
pub(super) struct HeldBack {
    folder: PathBuf,
    taken: Option<Timestamp>,
}

impl HeldBack {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            taken: None,
        }
    }

    /// Writes the next rows, at least up to a little after a moment; returns the number of those with a date.
    pub(super) fn slice(&mut self, as_of: Timestamp, out: &Path) -> usize {
        let soon = as_of.micros() + DAY;
        let until = self
            .taken
            .map_or(soon, |taken| soon.max(taken.micros() + 2 * DAY));
        let until = Timestamp::from_micros(until);
        let (after, last) = (self.taken.map(written), written(until));
        self.taken = Some(until);
        fs::create_dir_all(out).unwrap();
        let mut count = 0;
        let mut wanted: Vec<(String, BTreeSet<String>)> = Vec::new();
        for (file, column) in DATED {
            let is_new = |at: &str| after.as_deref().is_none_or(|after| at > after);
            let is_in = |at: &str| is_new(at) && at <= last.as_str();
            let chosen = choose(&self.folder.join(file), out, column, is_in);
            count += chosen.rows.len();
            wanted.extend(["customer_id", "order_id"].map(|key| chosen.values(key)));
        }
        for (file, column) in BESIDE {
            let ids: BTreeSet<String> = wanted
                .iter()
                .filter(|(key, _)| key == column)
                .flat_map(|(_, ids)| ids.iter().cloned())
                .collect();
            let chosen = choose(&self.folder.join(file), out, column, |id| ids.contains(id));
            wanted.push(chosen.values("product_id"));
        }
        fs::copy(self.folder.join(TRANSLATION), out.join(TRANSLATION)).unwrap();
        count
    }
}

/// A moment in the format of the files; that theirs are local times does not matter here.
fn written(at: Timestamp) -> String {
    let at = at.to_string();
    format!("{} {}", &at[..10], &at[11..19])
}

struct Chosen {
    headers: StringRecord,
    rows: Vec<StringRecord>,
}

impl Chosen {
    /// A column's name and values; none if there is no such column.
    fn values(&self, column: &str) -> (String, BTreeSet<String>) {
        let at = self.headers.iter().position(|name| name == column);
        let values = at.map(|at| self.rows.iter().map(|row| row[at].to_owned()).collect());
        (column.to_owned(), values.unwrap_or_default())
    }
}

/// Copies the rows of a file with a wanted value in a column; writes no file if there are none.
fn choose(file: &Path, out: &Path, column: &str, is_wanted: impl Fn(&str) -> bool) -> Chosen {
    let mut reader = Reader::from_path(file).unwrap();
    let headers = reader.headers().unwrap().clone();
    let at = headers.iter().position(|name| name == column).unwrap();
    let rows = reader.records().map(|row| row.unwrap());
    let rows: Vec<_> = rows.filter(|row| is_wanted(&row[at])).collect();
    if !rows.is_empty() {
        let mut writer = Writer::from_path(out.join(file.file_name().unwrap())).unwrap();
        for row in [&headers].into_iter().chain(&rows) {
            writer.write_record(row).unwrap();
        }
        writer.flush().unwrap();
    }
    Chosen { headers, rows }
}
