//! The kind of a column, found from its values.

use serde::Serialize;

use super::times::{TimeFormats, times};
use crate::mapping::numbers::{NumberStyle, is_only_comma, is_only_point};
use crate::rows::canonical::value;

/// The kind of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Only blanks.
    Blank,
    /// Any text.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers with a fraction.
    Decimal,
    /// Yes and no.
    Boolean,
    /// Days.
    Date,
    /// Times.
    Time,
    /// JSON documents.
    Json,
}

impl ColumnKind {
    /// The name of the kind in drafts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Time => "time",
            Self::Json => "json",
        }
    }
}

/// The kind of a set of distinct values, and their time formats if they are times.
pub(super) fn of(values: &[(&str, usize)]) -> (ColumnKind, Option<TimeFormats>) {
    if values.is_empty() {
        return (ColumnKind::Blank, None);
    }
    let all = |is: fn(&str) -> bool| values.iter().all(|(text, _)| is(text));
    // A column of nothing but ones is a number as likely as a yes.
    let lone_digit = values.len() == 1 && all(|text| text == "0" || text == "1");
    if values.len() <= 2 && !lone_digit && all(|text| value::boolean(text).is_some()) {
        return (ColumnKind::Boolean, None);
    }
    // Days of eight digits come before numbers, and their years are looked at.
    if let Some(times) = times(values) {
        let has_time = times.formats.iter().any(|seen| seen.has_time);
        return (
            if has_time {
                ColumnKind::Time
            } else {
                ColumnKind::Date
            },
            Some(times),
        );
    }
    let style = style(values);
    let is_number = |(text, _): &(&str, usize)| number(text, style).is_some();
    let kind = if all(|text| text.parse::<i64>().is_ok()) {
        ColumnKind::Integer
    } else if values.iter().all(is_number) {
        ColumnKind::Decimal
    } else if all(|text| text.starts_with(['{', '[']) && value::is_json(text)) {
        ColumnKind::Json
    } else {
        ColumnKind::Text
    };
    (kind, None)
}

/// The number style of the values: a decimal comma if some value can only be read that way and none only
/// with a decimal point; else a decimal point.
pub(super) fn style(values: &[(&str, usize)]) -> NumberStyle {
    let any = |is: fn(&str) -> bool| values.iter().any(|(text, _)| is(text));
    match any(is_only_comma) && !any(is_only_point) {
        true => NumberStyle::Comma,
        false => NumberStyle::Point,
    }
}

/// Whether the values are numbers with a decimal comma. Words among them, such as `n/a`, are ignored while
/// they are fewer.
pub(super) fn has_comma(values: &[(&str, usize)], kind: ColumnKind) -> bool {
    let style = style(values);
    if style == NumberStyle::Point || !matches!(kind, ColumnKind::Decimal | ColumnKind::Text) {
        return false;
    }
    let rows = |(_, rows): &(&str, usize)| *rows;
    let numbers = values
        .iter()
        .filter(|(text, _)| number(text, style).is_some());
    numbers.map(rows).sum::<usize>() * 2 > values.iter().map(rows).sum()
}

/// Parses a number as ingest would.
pub(super) fn number(text: &str, style: NumberStyle) -> Option<f64> {
    let decimal = || value::decimal(text, style).map(|units| units as f64 / 10_000.0);
    value::float(text, style).or_else(decimal)
}

#[cfg(test)]
mod tests {
    use super::{ColumnKind, of};

    fn check(values: &[&str], expected: ColumnKind) {
        let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
        assert_eq!(of(&counted).0, expected, "{values:?}");
    }

    #[test]
    fn kind_depends_on_all_values() {
        check(&[], ColumnKind::Blank);
        check(&["yes", "No"], ColumnKind::Boolean);
        check(&["0", "1"], ColumnKind::Boolean);
        check(&["1"], ColumnKind::Integer);
        check(&["1", "2"], ColumnKind::Integer);
        check(&["1", "2.5", "1,234.50"], ColumnKind::Decimal);
        check(&["1", "2,5", "1.234"], ColumnKind::Decimal);
        check(&["1", "2,5", "2.5"], ColumnKind::Text);
        check(&["1", "nan"], ColumnKind::Text);
        check(&["20240501", "20240502"], ColumnKind::Date);
        check(&["20249999", "20240502"], ColumnKind::Integer);
        check(&["2024-05-01 10:00", "2024-05-02"], ColumnKind::Time);
        check(&["{\"a\":1}", "[]"], ColumnKind::Json);
        check(&["{a}"], ColumnKind::Text);
    }
}
