//! What the values of a column are.

use serde::Serialize;

use super::times::{Times, times};
use crate::canonical::numbers::{NumberStyle, is_only_comma, is_only_point};
use crate::canonical::value;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing but blanks.
    Blank,
    /// Anything.
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

impl Kind {
    /// The word that drafts use.
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

/// The kind of distinct values, and the formats of those that are times.
pub(super) fn of(values: &[(&str, usize)]) -> (Kind, Option<Times>) {
    if values.is_empty() {
        return (Kind::Blank, None);
    }
    let all = |is: fn(&str) -> bool| values.iter().all(|(text, _)| is(text));
    // A column of nothing but ones is a number as likely as a yes.
    let lone_digit = values.len() == 1 && all(|text| text == "0" || text == "1");
    if values.len() <= 2 && !lone_digit && all(|text| value::boolean(text).is_some()) {
        return (Kind::Boolean, None);
    }
    // Days of eight digits come before numbers, and their years are looked at.
    if let Some(times) = times(values) {
        let has_time = times.formats.iter().any(|seen| seen.has_time);
        return (if has_time { Kind::Time } else { Kind::Date }, Some(times));
    }
    let style = style(values);
    let is_number = |(text, _): &(&str, usize)| number(text, style).is_some();
    let kind = if all(|text| text.parse::<i64>().is_ok()) {
        Kind::Integer
    } else if values.iter().all(is_number) {
        Kind::Decimal
    } else if all(|text| text.starts_with(['{', '[']) && value::is_json(text)) {
        Kind::Json
    } else {
        Kind::Text
    };
    (kind, None)
}

/// How the numbers among the values are written: with a decimal comma where one cannot be read
/// otherwise, and none only with a point.
pub(super) fn style(values: &[(&str, usize)]) -> NumberStyle {
    let any = |is: fn(&str) -> bool| values.iter().any(|(text, _)| is(text));
    match any(is_only_comma) && !any(is_only_point) {
        true => NumberStyle::Comma,
        false => NumberStyle::Point,
    }
}

/// Whether the values are numbers with a decimal comma; words among them, which stand for no value,
/// do not matter while they are fewer.
pub(super) fn has_comma(values: &[(&str, usize)], kind: Kind) -> bool {
    let style = style(values);
    if style == NumberStyle::Point || !matches!(kind, Kind::Decimal | Kind::Text) {
        return false;
    }
    let rows = |(_, rows): &(&str, usize)| *rows;
    let numbers = values
        .iter()
        .filter(|(text, _)| number(text, style).is_some());
    numbers.map(rows).sum::<usize>() * 2 > values.iter().map(rows).sum()
}

/// The number that ingest would read.
pub(super) fn number(text: &str, style: NumberStyle) -> Option<f64> {
    let decimal = || value::decimal(text, style).map(|units| units as f64 / 10_000.0);
    value::float(text, style).or_else(decimal)
}

#[cfg(test)]
mod tests {
    use super::{Kind, of};

    fn check(values: &[&str], expected: Kind) {
        let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
        assert_eq!(of(&counted).0, expected, "{values:?}");
    }

    #[test]
    fn kinds_by_all_values() {
        check(&[], Kind::Blank);
        check(&["yes", "No"], Kind::Boolean);
        check(&["0", "1"], Kind::Boolean);
        check(&["1"], Kind::Integer);
        check(&["1", "2"], Kind::Integer);
        check(&["1", "2.5", "1,234.50"], Kind::Decimal);
        check(&["1", "2,5", "1.234"], Kind::Decimal);
        check(&["1", "2,5", "2.5"], Kind::Text);
        check(&["1", "nan"], Kind::Text);
        check(&["20240501", "20240502"], Kind::Date);
        check(&["20249999", "20240502"], Kind::Integer);
        check(&["2024-05-01 10:00", "2024-05-02"], Kind::Time);
        check(&["{\"a\":1}", "[]"], Kind::Json);
        check(&["{a}"], Kind::Text);
    }
}
