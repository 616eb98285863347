//! Dates of birth.

use chrono::NaiveDate;

use super::text;

/// A date as `yyyymmdd`, from `1908-12-09`, `1908/12/9`, `19081209` or a time on that day; `None` if it is
/// not a date. The order of day and month is never guessed, as in `09/12/1908`.
pub fn date(value: &str) -> Option<String> {
    let value = text(value)?;
    let value = value.split(['t', ' ']).next()?;
    let parts: Vec<&str> = value.split(['-', '/', '.']).collect();
    let (year, month, day): (u32, u32, u32) = match parts.as_slice() {
        [all] if all.len() == 8 => (
            all.get(..4)?.parse().ok()?,
            all.get(4..6)?.parse().ok()?,
            all.get(6..)?.parse().ok()?,
        ),
        [year, month, day] if year.len() == 4 => {
            (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
        }
        _ => return None,
    };
    // There was no year 0.
    let date = NaiveDate::from_ymd_opt(year.cast_signed(), month, day);
    date.filter(|_| year > 0)
        .map(|_| format!("{year:04}{month:02}{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_have_one_normal_form() {
        for (value, form) in [
            ("1908-12-09", Some("19081209")),
            ("19081209", Some("19081209")),
            ("1908/12/9", Some("19081209")),
            ("1908-12-09T00:00:00Z", Some("19081209")),
            ("2000-02-29", Some("20000229")),
            ("1900-02-29", None),
            ("09/12/1908", None),
            ("1908-13-01", None),
            ("unknown", None),
        ] {
            assert_eq!(date(value).as_deref(), form, "{value}");
        }
    }
}
