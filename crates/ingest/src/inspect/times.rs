//! The time formats of a column, and whether the day or the month comes first.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

/// A time format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormat {
    /// In strptime's notation, such as `%d/%m/%Y %H:%M`.
    pub(super) format: &'static str,
    /// Whether it includes the time of day.
    pub(super) has_time: bool,
    /// Whether it includes an offset from UTC.
    pub(super) has_zone: bool,
    /// Whether ingest reads it unchanged; else the mapping must convert it.
    pub(super) canonical: bool,
}

/// The time formats of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormats {
    pub(super) formats: Vec<TimeFormat>,
    /// Whether every day could also be a month.
    pub(super) day_or_month: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Date,
    Local,
    Zoned,
}

/// The known formats, canonical ones first. Of two formats that differ only in the order of day and month,
/// the one with the day first comes first.
const FORMS: &[(&str, Form, bool)] = &[
    ("%Y-%m-%d", Form::Date, true),
    ("%Y-%m-%d %H:%M:%S%.f", Form::Local, true),
    ("%Y-%m-%dT%H:%M:%S%.f", Form::Local, true),
    ("%Y-%m-%d %H:%M", Form::Local, true),
    ("%Y-%m-%dT%H:%M", Form::Local, true),
    ("%Y-%m-%dT%H:%M:%S%.f%#z", Form::Zoned, true),
    ("%Y-%m-%d %H:%M:%S%.f %#z", Form::Zoned, true),
    ("%Y-%m-%d %H:%M:%S%.f%#z", Form::Zoned, true),
    ("%Y-%m-%d %H:%M:%S%.f UTC", Form::Local, true),
    ("%Y%m%d", Form::Date, false),
    ("%Y/%m/%d", Form::Date, false),
    ("%Y/%m/%d %H:%M:%S", Form::Local, false),
    ("%Y/%m/%d %H:%M", Form::Local, false),
    ("%d/%m/%Y", Form::Date, false),
    ("%m/%d/%Y", Form::Date, false),
    ("%d/%m/%Y %H:%M:%S", Form::Local, false),
    ("%m/%d/%Y %H:%M:%S", Form::Local, false),
    ("%d/%m/%Y %H:%M", Form::Local, false),
    ("%m/%d/%Y %H:%M", Form::Local, false),
    ("%m/%d/%Y %I:%M:%S %p", Form::Local, false),
    ("%m/%d/%Y %I:%M %p", Form::Local, false),
    ("%d/%m/%y", Form::Date, false),
    ("%m/%d/%y", Form::Date, false),
    ("%d/%m/%y %H:%M", Form::Local, false),
    ("%m/%d/%y %H:%M", Form::Local, false),
    ("%d.%m.%Y", Form::Date, false),
    ("%d.%m.%Y %H:%M:%S", Form::Local, false),
    ("%d.%m.%Y %H:%M", Form::Local, false),
    ("%d-%m-%Y", Form::Date, false),
    ("%m-%d-%Y", Form::Date, false),
    ("%d-%m-%Y %H:%M:%S", Form::Local, false),
    ("%m-%d-%Y %H:%M:%S", Form::Local, false),
    ("%d-%m-%Y %H:%M", Form::Local, false),
    ("%m-%d-%Y %H:%M", Form::Local, false),
    ("%d %b %Y", Form::Date, false),
    ("%d-%b-%Y", Form::Date, false),
    ("%d-%b-%y", Form::Date, false),
    ("%b %d, %Y", Form::Date, false),
    ("%b %d, %Y %H:%M:%S", Form::Local, false),
    ("%a, %d %b %Y %H:%M:%S %z", Form::Zoned, false),
];

/// The time formats of distinct `values`, with the number of rows of each; `None` unless all values are
/// times.
pub(super) fn times<'a>(values: &[(&'a str, usize)]) -> Option<TimeFormats> {
    // A format is right for the column when it reads the most rows; what it leaves is looked at
    // with the other formats, so that a mixed column shows all of its own.
    let mut left: Vec<(&'a str, usize)> = values.to_vec();
    let mut formats = Vec::new();
    let mut day_or_month = false;
    while !left.is_empty() {
        let rows_read = |format: &(&'static str, Form, bool)| {
            let read = left.iter().filter(|(text, _)| is(text.trim(), format));
            read.map(|(_, rows)| rows).sum::<usize>()
        };
        let counts: Vec<usize> = FORMS.iter().map(rows_read).collect();
        let most = counts.iter().max().copied().filter(|most| *most > 0)?;
        // The first of equals, so that canonical formats win.
        let chosen = counts.iter().position(|count| *count == most)?;
        let (format, form, canonical) = FORMS[chosen];
        let exchanged = exchanged(format);
        day_or_month |= FORMS
            .iter()
            .zip(&counts)
            .any(|((other, ..), count)| *count == most && exchanged.as_deref() == Some(*other));
        formats.push(TimeFormat {
            format,
            has_time: form != Form::Date,
            has_zone: form == Form::Zoned || format.ends_with("UTC"),
            canonical,
        });
        left.retain(|(text, _)| !is(text.trim(), &FORMS[chosen]));
    }
    (!formats.is_empty()).then_some(TimeFormats {
        formats,
        day_or_month,
    })
}

/// The format with day and month exchanged, if the day comes first.
fn exchanged(format: &str) -> Option<String> {
    let rest = format.strip_prefix("%d")?;
    let (separator, rest) = rest.split_at_checked(1)?;
    Some(format!("%m{separator}%d{}", rest.strip_prefix("%m")?))
}

/// Seconds since 1970 of a value, parsed with the first matching format.
pub(super) fn seconds(text: &str, formats: &[&str]) -> Option<f64> {
    let forms = formats
        .iter()
        .filter_map(|format| FORMS.iter().find(|form| form.0 == *format));
    let mut read = forms.filter_map(|form| value(text, form));
    read.next()
        .map(|time| time.and_utc().timestamp_micros() as f64 / 1e6)
}

fn is(text: &str, form: &(&str, Form, bool)) -> bool {
    value(text, form).is_some()
}

fn value(text: &str, (format, form, _): &(&str, Form, bool)) -> Option<NaiveDateTime> {
    // Chrono takes years of any length, and `01/02/2024` must not be day 20 of the year 1.
    if *format == "%Y%m%d" && text.len() != 8 {
        return None;
    }
    let time = match form {
        Form::Date => NaiveDate::parse_from_str(text, format)
            .ok()?
            .and_time(NaiveTime::MIN),
        Form::Local => NaiveDateTime::parse_from_str(text, format).ok()?,
        Form::Zoned => DateTime::parse_from_str(text, format).ok()?.naive_utc(),
    };
    (!format.contains("%Y") || (1800..2200).contains(&time.year())).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::times;

    fn check(values: &[&str], formats: &[&str], day_or_month: bool) {
        let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
        let found = times(&counted).unwrap_or_else(|| panic!("{values:?} are no times"));
        let seen: Vec<_> = found.formats.iter().map(|seen| seen.format).collect();
        assert_eq!(seen, formats, "{values:?}");
        assert_eq!(found.day_or_month, day_or_month, "{values:?}");
    }

    #[test]
    fn usual_time_formats_are_recognized() {
        check(&["2024-05-01"], &["%Y-%m-%d"], false);
        check(&["2017-10-02 10:56:33"], &["%Y-%m-%d %H:%M:%S%.f"], false);
        check(
            &["2024-05-01T12:00:00Z", "2024-05-01T12:00:00.5+02:00"],
            &["%Y-%m-%dT%H:%M:%S%.f%#z"],
            false,
        );
        check(
            &["2024-03-10 01:59:59 -0500"],
            &["%Y-%m-%d %H:%M:%S%.f %#z"],
            false,
        );
        check(
            &["2020-08-11 16:44:06 UTC"],
            &["%Y-%m-%d %H:%M:%S%.f UTC"],
            false,
        );
        check(&["19970101"], &["%Y%m%d"], false);
        check(&["1 Feb 2024"], &["%d %b %Y"], false);
    }

    #[test]
    fn one_day_above_twelve_decides_the_order_of_day_and_month() {
        check(&["01/02/2024", "03/04/2024"], &["%d/%m/%Y"], true);
        check(&["01/02/2024", "13/04/2024"], &["%d/%m/%Y"], false);
        check(&["01/02/2024", "04/13/2024"], &["%m/%d/%Y"], false);
        check(
            &["01/13/2024", "02/14/2024", "13/01/2024"],
            &["%m/%d/%Y", "%d/%m/%Y"],
            false,
        );
        check(&["1.2.2024 08:30"], &["%d.%m.%Y %H:%M"], false);
    }

    #[test]
    fn other_text_is_not_a_time() {
        for values in [
            &["2024-05-01", "soon"][..],
            &["12345678"],
            &["1.5"],
            &["00000000"],
            &[],
        ] {
            let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
            assert_eq!(times(&counted), None, "{values:?}");
        }
    }
}
