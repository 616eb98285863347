//! Points in time in UTC microseconds, and their one parser.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat,
    TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The valid years of times.
pub const YEARS: RangeInclusive<i32> = 1..=9999;

/// Formats of local times, besides RFC 3339 and dates.
const LOCAL_FORMATS: [&str; 4] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
];

/// The same with an offset from UTC or `Z`: RFC 3339 without seconds, and offsets as in ISO 8601.
const OFFSET_FORMATS: [&str; 4] = [
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%dT%H:%M%#z",
];

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is not a time: use RFC 3339 (`2024-05-01T12:00:00Z`), a date (`2024-05-01`), or a time without a zone, of the years 1 to 9999"
)]
pub struct InvalidTime {
    /// The text that was given.
    pub value: String,
}

impl Timestamp {
    /// The time at this number of microseconds since 1970.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The same instant as a chrono time; `None` if chrono cannot hold its year.
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }

    /// The day in a zone that lies `days` before the one of this instant: its first instant, and its number of
    /// days since 1970. `None` if the year is out of range.
    pub fn day_before(self, days: u32, zone: Tz) -> Option<(Self, i32)> {
        let today = self.to_utc()?.with_timezone(&zone).date_naive();
        let day = today.checked_sub_days(Days::new(u64::from(days)))?;
        let first = first_instant(day.and_time(NaiveTime::MIN), zone)?;
        let number = day.signed_duration_since(NaiveDate::default()).num_days();
        Some((Self(first.timestamp_micros()), i32::try_from(number).ok()?))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    /// A time without a zone is in UTC.
    fn from_str(value: &str) -> Result<Self, InvalidTime> {
        Ok(value.parse::<GivenTime>()?.in_zone(Tz::UTC))
    }
}

/// A time as given: one without a zone is in the tenant's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum GivenTime {
    /// An instant.
    Instant(Timestamp),
    /// A local time, or the beginning of a day.
    Local(NaiveDateTime),
}

impl GivenTime {
    /// The instant at which clocks in a zone show this local time.
    pub fn in_zone(self, zone: Tz) -> Timestamp {
        match self {
            Self::Instant(at) => at,
            Self::Local(local) => {
                let instant = first_instant(local, zone).unwrap_or_else(|| local.and_utc());
                Timestamp(instant.timestamp_micros())
            }
        }
    }
}

impl FromStr for GivenTime {
    type Err = InvalidTime;

    fn from_str(value: &str) -> Result<Self, InvalidTime> {
        let text = value.trim();
        let invalid = || InvalidTime {
            value: value.to_owned(),
        };
        let of_years = |year: i32| YEARS.contains(&year).then_some(()).ok_or_else(invalid);
        let with_offset = || {
            let mut formats = OFFSET_FORMATS.iter();
            formats.find_map(|format| DateTime::parse_from_str(text, format).ok())
        };
        let rfc_3339 = DateTime::parse_from_rfc3339(text).ok();
        if let Some(time) = rfc_3339.or_else(with_offset) {
            of_years(time.year())?;
            return Ok(Self::Instant(Timestamp(time.timestamp_micros())));
        }
        let local = LOCAL_FORMATS
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let local = local.or_else(|| Some(day()?.and_time(NaiveTime::MIN)));
        let local = local.ok_or_else(invalid)?;
        of_years(local.year())?;
        Ok(Self::Local(local))
    }
}

impl TryFrom<String> for GivenTime {
    type Error = InvalidTime;
    fn try_from(value: String) -> Result<Self, InvalidTime> {
        value.parse()
    }
}

/// The first instant at which clocks of a zone show a local time: the earlier one if they show it twice, the
/// end of the gap if they skip it. `None` if the year is out of range.
pub fn first_instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => {
            Some(instant.to_utc())
        }
        MappedLocalTime::None => {
            // No zone is further than this from UTC.
            let reach = TimeDelta::hours(15);
            let shows = |at: i64| {
                let at = DateTime::from_timestamp_micros(at)?;
                Some(at.with_timezone(&zone).naive_local())
            };
            let mut before = local
                .and_utc()
                .checked_sub_signed(reach)?
                .timestamp_micros();
            let mut after = local
                .and_utc()
                .checked_add_signed(reach)?
                .timestamp_micros();
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                match shows(middle)? < local {
                    true => before = middle,
                    false => after = middle,
                }
            }
            DateTime::from_timestamp_micros(after)
        }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTime;
    fn try_from(value: String) -> Result<Self, InvalidTime> {
        value.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many fractional digits as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_utc() {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::{GivenTime, Timestamp};

    #[test]
    fn time_without_zone_uses_the_given_zone() {
        let expected = |text: &str, zone: Tz, expected: &str| {
            let found = text.parse::<GivenTime>().unwrap().in_zone(zone);
            assert_eq!(found.to_string(), expected, "{text} in {zone}");
        };
        let (berlin, apia) = (Tz::Europe__Berlin, Tz::Pacific__Apia);
        expected("2025-03-01", Tz::UTC, "2025-03-01T00:00:00Z");
        expected("2025-03-01", berlin, "2025-02-28T23:00:00Z");
        expected("2025-03-01T00:00:00Z", berlin, "2025-03-01T00:00:00Z");
        expected("2025-07-01 12:30", berlin, "2025-07-01T10:30:00Z");
        // Clocks skip the hour from two to three, and show it twice in autumn.
        expected("2025-03-30T02:30:00", berlin, "2025-03-30T01:00:00Z");
        expected("2025-10-26T02:30:00", berlin, "2025-10-26T00:30:00Z");
        // Days without a midnight, and a day that never was.
        expected("2018-11-04", Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z");
        expected("2011-12-30", apia, "2011-12-30T10:00:00Z");
        expected("9999-12-31", berlin, "9999-12-30T23:00:00Z");
        expected("0001-01-01", Tz::UTC, "0001-01-01T00:00:00Z");
        for text in ["10000-01-01", "+10000-01-01", "0000-12-31", "2025-02-30"] {
            assert!(text.parse::<GivenTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_parse_in_several_formats_and_print_in_one() {
        for (text, expected) in [
            ("2024-05-01", "2024-05-01T00:00:00Z"),
            ("2024-05-01 12:30:00", "2024-05-01T12:30:00Z"),
            ("2024-05-01T12:30:00.25+02:00", "2024-05-01T10:30:00.250Z"),
            ("2024-05-01T12:30Z", "2024-05-01T12:30:00Z"),
            ("2024-05-01t12:30:00z", "2024-05-01T12:30:00Z"),
            ("2024-05-01 12:30Z", "2024-05-01T12:30:00Z"),
            ("2024-05-01T12:30+02:00", "2024-05-01T10:30:00Z"),
            ("2024-05-01T12:30:00-0130", "2024-05-01T14:00:00Z"),
            ("2024-05-01 12:30:00.5+02", "2024-05-01T10:30:00.500Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), expected);
        }
        for text in [
            "yesterday",
            "2024-05-01Z",
            "2024-05-01T12Z",
            "2024-05-01T12:30 02:00",
            "2024-05-01T12:30+2",
            "2024-05-01T24:30Z",
            "2024-05-01T12:30Z+02:00",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
