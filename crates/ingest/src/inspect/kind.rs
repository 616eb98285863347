//! What the values of a column are.

use chrono::{NaiveDate, NaiveDateTime};
use serde::Serialize;

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

const DATES: [&str; 6] = [
    "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d",
];
const TIMES: [&str; 9] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%d %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M",
];

/// The kind of the values, and the formats that fit all of them where they are times.
pub(super) fn of(
    texts: &[&str],
    distinct: usize,
    whole: bool,
    number: bool,
) -> (Kind, Vec<&'static str>) {
    if texts.is_empty() {
        return (Kind::Blank, Vec::new());
    }
    let is_boolean = distinct <= 2 && texts.iter().all(|text| value::boolean(text).is_some());
    let digits = texts.iter().all(|text| text.len() == 1);
    if is_boolean && !(digits && distinct == 1) {
        return (Kind::Boolean, Vec::new());
    }
    let dates = fitting(&DATES, |format| {
        texts
            .iter()
            .all(|text| NaiveDate::parse_from_str(text, format).is_ok())
    });
    // Eight digits are a date only if they all are; other numbers are numbers.
    if !dates.is_empty() && (!whole || texts.iter().all(|text| text.len() == 8)) {
        return (Kind::Date, dates);
    }
    if whole {
        return (Kind::Integer, Vec::new());
    }
    if number {
        return (Kind::Decimal, Vec::new());
    }
    let times = fitting(&TIMES, |format| {
        texts
            .iter()
            .all(|text| NaiveDateTime::parse_from_str(text, format).is_ok())
    });
    if !times.is_empty() {
        return (Kind::Time, times);
    }
    if texts
        .iter()
        .all(|text| value::time(text, chrono_tz::Tz::UTC).is_some())
    {
        return (Kind::Time, vec!["RFC 3339"]);
    }
    if texts
        .iter()
        .all(|text| text.starts_with(['{', '[']) && value::is_json(text))
    {
        return (Kind::Json, Vec::new());
    }
    (Kind::Text, Vec::new())
}

fn fitting(formats: &[&'static str], fits: impl Fn(&str) -> bool) -> Vec<&'static str> {
    formats
        .iter()
        .copied()
        .filter(|format| fits(format))
        .collect()
}

/// What whoever maps the column should mind.
pub(super) fn note(texts: &[&str], kind: Kind, formats: &[&str]) -> Option<String> {
    let zeros = texts.iter().filter(|text| {
        text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    match kind {
        Kind::Integer if zeros.clone().count() > 0 => {
            Some("some begin with 0: a code, keep it as text".to_owned())
        }
        Kind::Date | Kind::Time if formats.len() > 1 => {
            Some("day and month could be either way round".to_owned())
        }
        Kind::Date | Kind::Time
            if !formats
                .iter()
                .all(|f| f.starts_with("%Y-") || *f == "RFC 3339") =>
        {
            Some("not ISO 8601: convert it with to_timestamp(column, format)".to_owned())
        }
        Kind::Text => {
            let mails = texts
                .iter()
                .filter(|text| text.contains('@') && !text.contains(' '))
                .count();
            (mails * 10 > texts.len() * 9).then(|| "e-mail addresses".to_owned())
        }
        _ => None,
    }
}
