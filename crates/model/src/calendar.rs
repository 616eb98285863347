//! Calendar periods in a tenant's time zone.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime};
use chrono_tz::Tz;

use crate::Timestamp;
use crate::time::first_instant;

/// The names of all periods.
pub const PERIODS: [&str; 10] = [
    "today",
    "yesterday",
    "this_week",
    "last_week",
    "this_month",
    "last_month",
    "this_quarter",
    "last_quarter",
    "this_year",
    "last_year",
];

/// The start and the end of the period that contains `now`; `None` if `name` is not a period, or the year is
/// out of range. Weeks begin on Monday.
pub fn period(name: &str, now: Timestamp, zone: Tz) -> Option<[Timestamp; 2]> {
    let today = now.to_utc()?.with_timezone(&zone).date_naive();
    let (of, which) = match name {
        "today" => ("day", 0),
        "yesterday" => ("day", 1),
        _ => match name.split_once('_')? {
            ("this", of) => (of, 0),
            ("last", of) => (of, 1),
            _ => return None,
        },
    };
    let begin = begin_of(of, today)?;
    let begin = if which == 1 {
        before(of, begin)?
    } else {
        begin
    };
    let end = match of {
        "day" => begin.checked_add_days(Days::new(1)),
        "week" => begin.checked_add_days(Days::new(7)),
        other => begin.checked_add_months(Months::new(months(other)?)),
    };
    Some([midnight(begin, zone)?, midnight(end?, zone)?])
}

fn months(of: &str) -> Option<u32> {
    match of {
        "month" => Some(1),
        "quarter" => Some(3),
        "year" => Some(12),
        _ => None,
    }
}

fn begin_of(of: &str, day: NaiveDate) -> Option<NaiveDate> {
    match of {
        "day" => Some(day),
        "week" => day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into())),
        other => {
            let length = months(other)?;
            NaiveDate::from_ymd_opt(day.year(), day.month0() / length * length + 1, 1)
        }
    }
}

fn before(of: &str, begin: NaiveDate) -> Option<NaiveDate> {
    match of {
        "day" => begin.checked_sub_days(Days::new(1)),
        "week" => begin.checked_sub_days(Days::new(7)),
        other => begin.checked_sub_months(Months::new(months(other)?)),
    }
}

/// The start of a day: later than midnight if clocks skip midnight.
fn midnight(day: NaiveDate, zone: Tz) -> Option<Timestamp> {
    let begin = first_instant(day.and_time(NaiveTime::MIN), zone)?;
    Some(Timestamp::from_micros(begin.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::{PERIODS, period};
    use crate::Timestamp;

    #[test]
    fn periods_follow_the_zone() {
        // Saturday, 01:30 of the first of March in Berlin, the day before in UTC.
        let now: Timestamp = "2025-02-28T23:30:00Z".parse().unwrap();
        let expected = |name: &str, zone: Tz, from: &str, until: &str| {
            let found = period(name, now, zone).unwrap();
            assert_eq!(
                found.map(|at| at.to_string()),
                [from, until].map(|at| at.parse::<Timestamp>().unwrap().to_string()),
                "{name} in {zone}"
            );
        };
        let (utc, berlin) = (Tz::UTC, Tz::Europe__Berlin);
        expected(
            "today",
            berlin,
            "2025-02-28T23:00:00Z",
            "2025-03-01T23:00:00Z",
        );
        expected(
            "yesterday",
            utc,
            "2025-02-27T00:00:00Z",
            "2025-02-28T00:00:00Z",
        );
        expected(
            "this_month",
            berlin,
            "2025-02-28T23:00:00Z",
            "2025-03-31T22:00:00Z",
        );
        expected(
            "this_month",
            utc,
            "2025-02-01T00:00:00Z",
            "2025-03-01T00:00:00Z",
        );
        expected(
            "last_month",
            berlin,
            "2025-01-31T23:00:00Z",
            "2025-02-28T23:00:00Z",
        );
        expected(
            "this_week",
            utc,
            "2025-02-24T00:00:00Z",
            "2025-03-03T00:00:00Z",
        );
        expected(
            "last_quarter",
            utc,
            "2024-10-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
        );
        expected(
            "last_year",
            berlin,
            "2023-12-31T23:00:00Z",
            "2024-12-31T23:00:00Z",
        );
        assert!(
            PERIODS
                .iter()
                .all(|name| period(name, now, berlin).is_some())
        );
        assert_eq!(period("next_month", now, utc), None);
        assert_eq!(period("this_decade", now, utc), None);
    }
}
