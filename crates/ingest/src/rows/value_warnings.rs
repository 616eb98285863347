//! What a run read otherwise than it is written, or could not read: counted, so that somebody is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Values of one kind that are named apart; the others are counted only.
const MOST: usize = 1_000;

/// What is odd about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// A country that no list of countries has; it stays as it is.
    UnknownCountry,
    /// A region that its country does not have; it stays as it is.
    UnknownRegion,
    /// An id that a program turned into a float, `1001.0`; it was read as `1001`.
    WholeId,
    /// An id that a spreadsheet shortened, `1.00123E+12`; it stays as it is, and may be several ids.
    ShortenedId,
}

/// How often something odd was in a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Odd {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What.
    pub oddity: Oddity,
    /// The commonest value.
    pub value: String,
    /// How many different values there were.
    pub values: u64,
    /// In how many rows.
    pub rows: u64,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            column,
            value,
            rows,
            ..
        } = self;
        let values = match self.values {
            1 => format!("`{value}`"),
            values => format!("`{value}` and {} more", values - 1),
        };
        let (what, outcome) = match self.oddity {
            Oddity::UnknownCountry => ("unknown countries", "they stay as they are"),
            Oddity::UnknownRegion => ("unknown regions", "they stay as they are"),
            Oddity::WholeId => ("ids that became floats", "they were read without `.0`"),
            Oddity::ShortenedId => (
                "ids that a spreadsheet shortened",
                "they stay as they are and may stand for several",
            ),
        };
        write!(
            f,
            "`{table}`.`{column}` has {what} in {rows} rows ({values}): {outcome}"
        )
    }
}

/// Counts by column, oddity and value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oddities {
    counts: BTreeMap<(&'static str, Oddity), BTreeMap<String, u64>>,
}

impl Oddities {
    /// Counts a value of a column.
    pub(crate) fn note(&mut self, column: &'static str, oddity: Oddity, value: &str) {
        let values = self.counts.entry((column, oddity)).or_default();
        let is_named = values.contains_key(value) || values.len() < MOST;
        let value = if is_named { value } else { "" };
        match values.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(values.insert(value.to_owned(), 1)),
        }
    }

    /// Adds what others counted.
    pub(crate) fn add(&mut self, others: Self) {
        for (key, values) in others.counts {
            let known = self.counts.entry(key).or_default();
            for (value, count) in values {
                *known.entry(value).or_default() += count;
            }
        }
    }

    /// What there is to tell of a table.
    pub(crate) fn of_table(&self, table: &'static str) -> impl Iterator<Item = Odd> + '_ {
        self.counts
            .iter()
            .filter_map(move |((column, oddity), values)| {
                let named = values.iter().filter(|(value, _)| !value.is_empty());
                let (value, _) = named.max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)))?;
                Some(Odd {
                    table,
                    column,
                    oddity: *oddity,
                    value: value.clone(),
                    values: values.len() as u64,
                    rows: values.values().sum(),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Oddities, Oddity};

    #[test]
    fn the_commonest_value_is_named_and_all_are_counted() {
        let mut one = Oddities::default();
        one.note("country", Oddity::UnknownCountry, "Atlantis");
        let mut other = Oddities::default();
        for value in ["Mordor", "Mordor", "Atlantis", "Mordor"] {
            other.note("country", Oddity::UnknownCountry, value);
        }
        other.note("external_id", Oddity::WholeId, "1001.0");
        one.add(other);
        let told: Vec<String> = one.of_table("persons").map(|odd| odd.to_string()).collect();
        assert_eq!(
            told,
            [
                "`persons`.`country` has unknown countries in 5 rows (`Mordor` and 1 more): they stay as they are",
                "`persons`.`external_id` has ids that became floats in 1 rows (`1001.0`): they were read without `.0`",
            ]
        );
    }
}
