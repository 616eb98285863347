//! Warnings about values that were changed on reading or not recognized, counted by column.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Distinct values that are counted by themselves; further ones are counted together.
const MOST: usize = 1_000;

/// The kind of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueWarningKind {
    /// A country that no list of countries has; it stays as it is.
    UnknownCountry,
    /// A region that its country does not have; it stays as it is.
    UnknownRegion,
    /// An id that a program turned into a float, `1001.0`; it was read as `1001`.
    WholeId,
    /// An id that a spreadsheet shortened, `1.00123E+12`; it stays as it is, and may be several ids.
    ShortenedId,
}

/// A warning about values of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueWarning {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What.
    pub oddity: ValueWarningKind,
    /// The commonest value.
    pub value: String,
    /// Number of distinct values.
    pub values: u64,
    /// Number of rows.
    pub rows: u64,
}

impl fmt::Display for ValueWarning {
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
            ValueWarningKind::UnknownCountry => ("unknown countries", "they are kept unchanged"),
            ValueWarningKind::UnknownRegion => ("unknown regions", "they are kept unchanged"),
            ValueWarningKind::WholeId => ("ids that became floats", "they were read without `.0`"),
            ValueWarningKind::ShortenedId => (
                "ids that a spreadsheet shortened",
                "they are kept unchanged, and one may stand for several ids",
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
pub(crate) struct ValueWarnings {
    counts: BTreeMap<(&'static str, ValueWarningKind), BTreeMap<String, u64>>,
}

impl ValueWarnings {
    /// Counts a value of a column.
    pub(crate) fn note(&mut self, column: &'static str, oddity: ValueWarningKind, value: &str) {
        let values = self.counts.entry((column, oddity)).or_default();
        let is_named = values.contains_key(value) || values.len() < MOST;
        let value = if is_named { value } else { "" };
        match values.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(values.insert(value.to_owned(), 1)),
        }
    }

    /// Adds other counts to these.
    pub(crate) fn add(&mut self, others: Self) {
        for (key, values) in others.counts {
            let known = self.counts.entry(key).or_default();
            for (value, count) in values {
                *known.entry(value).or_default() += count;
            }
        }
    }

    /// The warnings of a table.
    pub(crate) fn of_table(&self, table: &'static str) -> impl Iterator<Item = ValueWarning> + '_ {
        self.counts
            .iter()
            .filter_map(move |((column, oddity), values)| {
                let named = values.iter().filter(|(value, _)| !value.is_empty());
                let (value, _) = named.max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)))?;
                Some(ValueWarning {
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
    use super::{ValueWarningKind, ValueWarnings};

    #[test]
    fn most_common_value_is_named_and_all_are_counted() {
        let mut one = ValueWarnings::default();
        one.note("country", ValueWarningKind::UnknownCountry, "Atlantis");
        let mut other = ValueWarnings::default();
        for value in ["Mordor", "Mordor", "Atlantis", "Mordor"] {
            other.note("country", ValueWarningKind::UnknownCountry, value);
        }
        other.note("external_id", ValueWarningKind::WholeId, "1001.0");
        one.add(other);
        let told: Vec<String> = one.of_table("persons").map(|odd| odd.to_string()).collect();
        assert_eq!(
            told,
            [
                "`persons`.`country` has unknown countries in 5 rows (`Mordor` and 1 more): they are kept unchanged",
                "`persons`.`external_id` has ids that became floats in 1 rows (`1001.0`): they were read without `.0`",
            ]
        );
    }
}
