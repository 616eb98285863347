//! Parses the text of one cell as a canonical value.

use chrono::{Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use rollbook_model::table::{MONEY_PRECISION, MONEY_SCALE};

use crate::mapping::numbers::{NumberStyle, plain};

/// `true` or `false`, from the words that exports use.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A whole number; `12.0` is accepted, `12.5` is not.
pub(crate) fn integer(text: &str, style: NumberStyle) -> Option<i64> {
    let whole = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_whole = fraction.bytes().all(|digit| digit == b'0');
        is_whole.then(|| whole.parse().ok())?
    };
    in_style(text, style, whole)
}

/// A finite floating-point number: `nan` and `inf` are not accepted.
pub(crate) fn float(text: &str, style: NumberStyle) -> Option<f64> {
    let read = |text: &str| {
        let number = text.parse::<f64>().ok()?;
        // A zero has no sign.
        number.is_finite().then_some(number + 0.0)
    };
    in_style(text, style, read)
}

/// A decimal with at most four places, in ten-thousandths; nothing is rounded.
pub(crate) fn decimal(text: &str, style: NumberStyle) -> Option<i128> {
    in_style(text, style, plain_decimal)
}

/// Most numbers have nothing between their thousands: those are read at once.
fn in_style<T>(text: &str, style: NumberStyle, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let at_once = match style {
        NumberStyle::Point => read(text),
        NumberStyle::Comma => None,
    };
    at_once.or_else(|| read(&plain(text, style)?))
}

fn plain_decimal(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    let mut add = |byte: u8| -> Option<()> {
        let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
        Some(())
    };
    whole.bytes().try_for_each(&mut add)?;
    let places = usize::from(MONEY_SCALE.unsigned_abs());
    let fraction = fraction.as_bytes();
    let (kept, beyond) = fraction.split_at(fraction.len().min(places));
    if beyond.iter().any(|&digit| digit != b'0') {
        return None;
    }
    kept.iter().copied().try_for_each(&mut add)?;
    for _ in kept.len()..places {
        add(b'0')?;
    }
    let fits = value < 10_i128.pow(u32::from(MONEY_PRECISION));
    fits.then_some(if negative { -value } else { value })
}

/// Days since 1970-01-01, from a date such as `2024-05-01` or a time that begins with one.
pub(crate) fn date(text: &str) -> Option<i32> {
    let (date, rest) = leading_date(text)?;
    if !rest.is_empty() {
        leading_time(rest.strip_prefix(['T', 't', ' '])?)?;
    }
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok().filter(|days| is_day(*days))
}

/// The first and the last day that are taken: of the years 1 and 9999.
const DAYS: [i32; 2] = [-719_162, 2_932_896];
const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a day is in the years 1 to 9999.
pub(crate) fn is_day(days: i32) -> bool {
    (DAYS[0]..=DAYS[1]).contains(&days)
}

/// Whether a time is in the years 1 to 9999, in UTC.
pub(crate) fn is_time(micros: i64) -> bool {
    let [first, last] = DAYS.map(i64::from);
    (first * DAY_MICROS..(last + 1) * DAY_MICROS).contains(&micros)
}

/// Microseconds since 1970 of an ISO 8601 time; one without an offset is in `zone`.
///
/// A local time that clocks skip in spring moves to the first instant after the gap; of one that occurs twice
/// in autumn, the earlier is taken.
pub(crate) fn time(text: &str, zone: Tz) -> Option<i64> {
    any_time(text, zone).filter(|micros| is_time(*micros))
}

fn any_time(text: &str, zone: Tz) -> Option<i64> {
    let (date, rest) = leading_date(text)?;
    if rest.is_empty() {
        return local(date.and_time(NaiveTime::MIN), zone);
    }
    let (time, rest) = leading_time(rest.strip_prefix(['T', 't', ' '])?)?;
    let naive = date.and_time(time);
    match rest.trim_start() {
        "" => local(naive, zone),
        "Z" | "z" | "UTC" | "GMT" => Some(naive.and_utc().timestamp_micros()),
        offset => {
            let seconds = offset_seconds(offset)?;
            let utc = naive.checked_sub_signed(Duration::seconds(seconds))?;
            Some(utc.and_utc().timestamp_micros())
        }
    }
}

fn local(naive: NaiveDateTime, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(naive.and_utc().timestamp_micros());
    }
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
            Some(time.timestamp_micros())
        }
        // Gaps begin and end on whole minutes, and none is longer than a day.
        LocalResult::None => {
            let whole = naive.checked_sub_signed(Duration::microseconds(
                naive.and_utc().timestamp_micros().rem_euclid(60_000_000),
            ))?;
            (1..=24 * 60).find_map(|minutes| {
                let later = whole.checked_add_signed(Duration::minutes(minutes))?;
                zone.from_local_datetime(&later)
                    .earliest()
                    .map(|time| time.timestamp_micros())
            })
        }
    }
}

/// `2024-05-01` at the beginning, and what follows it.
fn leading_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let year = i32::try_from(year).ok()?;
    Some((NaiveDate::from_ymd_opt(year, month, day)?, rest))
}

/// `12:30`, `12:30:59` or `12:30:59.123456` at the beginning, and what follows it. Spreadsheets
/// leave out the zero of an hour before ten.
fn leading_time(text: &str) -> Option<(NaiveTime, &str)> {
    let (hour, rest) = digits(text, 2).or_else(|| digits(text, 1))?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (mut second, mut micro) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (second, rest) = digits(after, 2)?;
        if let Some(after) = rest.strip_prefix('.') {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            if length == 0 {
                return None;
            }
            let shown = &after[..length.min(6)];
            micro = shown.parse::<u32>().ok()? * 10_u32.pow(6 - u32::try_from(shown.len()).ok()?);
            rest = &after[length..];
        }
    }
    Some((
        NaiveTime::from_hms_micro_opt(hour, minute, second, micro)?,
        rest,
    ))
}

/// `+02:00`, `+0200` or `+02` in seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() {
        (0, rest)
    } else {
        digits(rest, 2)?
    };
    let valid = rest.is_empty() && hours <= 18 && minutes < 60;
    valid.then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let shown = text.get(..count)?;
    let only_digits = shown.bytes().all(|byte| byte.is_ascii_digit());
    only_digits
        .then(|| shown.parse().ok())?
        .map(|number| (number, &text[count..]))
}

/// The items of a JSON array of texts, or of a comma-separated list.
pub(crate) fn list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    Some(items.map(str::to_owned).collect())
}

/// Whether a text is a JSON document.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::NumberStyle::{Comma, Point};
    use super::{boolean, date, decimal, float, integer, list, time};

    #[test]
    fn decimals_are_exact() {
        for (text, expected) in [
            ("1234.5", Some(12_345_000)),
            ("-0.0001", Some(-1)),
            ("1,234,567.89", Some(12_345_678_900)),
            ("12.340000", Some(123_400)),
            ("12.34567", None),
            ("1,23", None),
            ("12,345.", Some(123_450_000)),
            ("0,500", None),
            ("1 234.50", Some(12_345_000)),
            ("1.2.3", None),
            ("", None),
            (".", None),
            ("-", None),
            ("1e3", None),
            ("999999999999999.9999", Some(9_999_999_999_999_999_999)),
            ("1000000000000000", None),
        ] {
            assert_eq!(decimal(text, Point), expected, "{text}");
        }
    }

    #[test]
    fn numbers_with_a_decimal_comma() {
        for (text, expected) in [
            ("12,50", Some(125_000)),
            ("1.234", Some(12_340_000)),
            ("1.234,5", Some(12_345_000)),
            ("12.50", None),
            ("12,34567", None),
        ] {
            assert_eq!(decimal(text, Comma), expected, "{text}");
        }
        assert_eq!(
            (integer("1.000", Comma), integer("1.000", Point)),
            (Some(1_000), Some(1))
        );
        assert_eq!(
            (integer("12,0", Comma), integer("12,5", Comma)),
            (Some(12), None)
        );
        assert_eq!(
            (float("0,92", Comma), float("1,085.5", Point)),
            (Some(0.92), Some(1_085.5))
        );
        assert_eq!(
            (float("1e3", Point), float("0.92", Comma)),
            (Some(1_000.0), None)
        );
    }

    fn check_time(text: &str, zone: Tz, expected: Option<&str>) {
        let found = time(text, zone).map(|m| rollbook_model::Timestamp::from_micros(m).to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn times_with_and_without_a_zone() {
        let brazil = Tz::America__Sao_Paulo;
        check_time("2018-02-26 19:58:54", brazil, Some("2018-02-26T22:58:54Z"));
        check_time(
            "2025-03-30 01:59:59 +0100",
            brazil,
            Some("2025-03-30T00:59:59Z"),
        );
        check_time(
            "2025-03-30T03:00:00.5+02:00",
            Tz::UTC,
            Some("2025-03-30T01:00:00.500Z"),
        );
        check_time("2025-03-30T03:00Z", Tz::UTC, Some("2025-03-30T03:00:00Z"));
        check_time("2020-02-04 4:30:21", Tz::UTC, Some("2020-02-04T04:30:21Z"));
        check_time("2020-02-04 :30:21", Tz::UTC, None);
        check_time("2025-02-30", Tz::UTC, None);
        check_time("2025-02-03 12:00 nonsense", Tz::UTC, None);
        check_time("03/02/2025", Tz::UTC, None);
    }

    #[test]
    fn years_1_to_9999_are_accepted() {
        let (first, last) = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z");
        check_time("0001-01-01", Tz::UTC, Some(first));
        check_time("9999-12-31 23:59:59.999999", Tz::UTC, Some(last));
        // In UTC they lie outside.
        check_time("0001-01-01", Tz::Europe__Berlin, None);
        check_time("0001-01-01T00:00:00+01:00", Tz::UTC, None);
        check_time("9999-12-31T23:59:59-01:00", Tz::UTC, None);
        check_time("9999-12-31 23:00", Tz::America__Sao_Paulo, None);
        for outside in ["0000-12-31", "10000-01-01", "-0001-01-01", "+12024-01-01"] {
            check_time(outside, Tz::UTC, None);
            assert_eq!(date(outside), None, "{outside}");
        }
        assert_eq!(date("0001-01-01"), Some(-719_162));
        assert_eq!(date("9999-12-31"), Some(2_932_896));
    }

    #[test]
    fn skipped_local_time_moves_after_the_gap() {
        let brazil = Tz::America__Sao_Paulo;
        check_time("2017-10-15", brazil, Some("2017-10-15T03:00:00Z"));
        check_time("2017-10-15 00:30:15", brazil, Some("2017-10-15T03:00:00Z"));
    }

    #[test]
    fn repeated_local_time_means_the_earlier() {
        check_time(
            "2018-02-17 23:30:00",
            Tz::America__Sao_Paulo,
            Some("2018-02-18T01:30:00Z"),
        );
    }

    #[test]
    fn booleans_integers_dates_and_lists_are_read() {
        assert_eq!(boolean("YES"), Some(true));
        assert_eq!(boolean("maybe"), None);
        assert_eq!(integer("12.0", Point), Some(12));
        assert_eq!(integer("12.5", Point), None);
        assert_eq!(date("1970-01-02 10:00"), Some(1));
        assert_eq!(date("1970-01-02x"), None);
        assert_eq!(list("vip, repeat").unwrap(), ["vip", "repeat"]);
        assert_eq!(list("[\"a, b\"]").unwrap(), ["a, b"]);
        assert_eq!(list("[1"), None);
    }
}
