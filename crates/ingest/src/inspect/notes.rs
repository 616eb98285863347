//! Remarks on a column, for the user who maps it.

use super::kind::has_comma;
use super::times::TimeFormats;
use super::{ColumnKind, text};
use crate::mapping::numbers::{NumberStyle, is_only_comma, is_only_point, plain};

/// Words that people and forms write for a missing value.
const PLACEHOLDERS: [&str; 9] = [
    "select",
    "n/a",
    "#n/a",
    "null",
    "nan",
    "-",
    "--",
    "?",
    "not provided",
];

/// Remarks on a column, the most important first.
pub(super) fn note(
    values: &[(&str, usize)],
    kind: ColumnKind,
    times: Option<&TimeFormats>,
    personal: &[String],
) -> Option<String> {
    let mut notes = Vec::new();
    if kind == ColumnKind::Integer && has_leading_zeros(values) {
        notes.push("some begin with 0: a code, keep it as text".to_owned());
    }
    if let Some(times) = times {
        notes.extend(of_times(times));
    }
    if has_comma(values, kind) {
        let sample = NumberStyle::Comma.sample();
        notes.push(format!(
            "numbers with a decimal comma: the mapping has to say `-- numbers: {sample}`"
        ));
    }
    if !personal.is_empty() {
        let keys = text::keys(personal);
        notes.push(format!(
            "identifies persons: the mapping has to say `-- personal: {keys}`"
        ));
    }
    if kind == ColumnKind::Text {
        notes.extend(of_texts(values));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Whether some values are digits with a leading zero, which would be lost in a number.
pub(super) fn has_leading_zeros(values: &[(&str, usize)]) -> bool {
    values.iter().any(|(text, _)| {
        text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn of_times(times: &TimeFormats) -> Vec<String> {
    let mut notes = Vec::new();
    if times.day_or_month {
        notes.push("the order of day and month is ambiguous".to_owned());
    }
    if times.formats.len() > 1 {
        notes.push("in several formats".to_owned());
    }
    if times.formats.iter().any(|seen| !seen.canonical) {
        notes.push("not ISO 8601: convert it to YYYY-MM-DD".to_owned());
    }
    if times
        .formats
        .iter()
        .any(|seen| seen.has_time && !seen.has_zone)
    {
        notes.push("names no zone".to_owned());
    }
    notes
}

fn of_texts(values: &[(&str, usize)]) -> Vec<String> {
    let rows: usize = values.iter().map(|(_, rows)| rows).sum();
    let share = |is: fn(&str) -> bool| {
        let found = values
            .iter()
            .filter(|(text, _)| is(text))
            .map(|(_, rows)| rows);
        found.sum::<usize>() * 10 > rows * 9
    };
    let any = |is: fn(&str) -> bool| values.iter().any(|(text, _)| is(text));
    let mut notes = Vec::new();
    // Nine in ten: a column of contacts has its typos and remarks.
    if share(is_email) {
        notes.push("e-mail addresses".to_owned());
    } else if share(is_number) && any(is_only_comma) && any(is_only_point) {
        notes.push(
            "numbers, some of them with a decimal comma: convert them to one form".to_owned(),
        );
    }
    let words = values
        .iter()
        .map(|(text, _)| *text)
        .filter(|text| is_placeholder(text));
    notes.extend(
        words.map(|word| format!("`{word}` may mean a missing value: make it null with nullif")),
    );
    notes
}

fn is_placeholder(text: &str) -> bool {
    PLACEHOLDERS
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

pub(super) fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        let dotted = domain.trim_matches('.').contains('.');
        dotted && !local.is_empty() && !domain.contains('@') && !text.contains(char::is_whitespace)
    })
}

fn is_number(text: &str) -> bool {
    let written = |style| plain(text, style).is_some();
    written(NumberStyle::Point) || written(NumberStyle::Comma)
}

#[cfg(test)]
mod tests {
    use super::note;
    use crate::inspect::kind;

    fn check(values: &[&str], expected: &[&str]) {
        let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
        let (kind, times) = kind::of(&counted);
        let found = note(&counted, kind, times.as_ref(), &[]).unwrap_or_default();
        let found: Vec<_> = found.split("; ").filter(|note| !note.is_empty()).collect();
        assert_eq!(found.len(), expected.len(), "{values:?}: {found:?}");
        for (note, part) in found.iter().zip(expected) {
            assert!(note.contains(part), "{values:?}: {note}");
        }
    }

    #[test]
    fn values_give_the_expected_remarks() {
        check(&["01067", "98101"], &["begin with 0"]);
        check(&["0", "10"], &[]);
        check(&["ada@example.com", "bo@example.org"], &["e-mail"]);
        check(&["Mumbai", "Select"], &["`Select` may mean"]);
        check(&["1,5", "1.234,75", "-2,25"], &["decimal comma"]);
        check(&["1.234", "12,50", "12.500"], &["decimal comma"]);
        check(&["12,50", "1.234", "n/a"], &["decimal comma", "`n/a` may"]);
        check(&["Size 1,5", "Size 2,5", "1,5"], &[]);
        check(&["1.5", "2.5", "n/a"], &["`n/a` may"]);
        check(&["12.50", "12,50"], &["some of them with a decimal comma"]);
        check(&["12.50", "1,234.50"], &[]);
        check(
            &["01/02/2024", "03/04/2024"],
            &["order of day and month", "not ISO 8601"],
        );
        check(&["13/02/2024", "03/04/2024"], &["not ISO 8601"]);
        check(&["2024-05-01 10:00:00"], &["names no zone"]);
        check(&["2024-05-01T10:00:00Z"], &[]);
        check(&["2024-05-01"], &[]);
    }
}
