//! Conversion between instants and the local time of a zone.

use chrono::{DateTime, Days, Months, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use rollbook_model::time::first_instant;

pub(crate) const DAY: i64 = 86_400_000_000;

/// The number of days with a cached offset.
const CACHED_DAYS: usize = 1_024;

/// Converts between instants and local times of a zone, both in microseconds.
pub(crate) struct Clocks {
    zone: Tz,
    /// Cached days, each with the offset from UTC that the whole day has.
    offsets: Vec<Option<(i64, i64)>>,
}

impl Clocks {
    pub(crate) fn new(zone: Tz) -> Self {
        let days = if zone == Tz::UTC { 0 } else { CACHED_DAYS };
        Self {
            zone,
            offsets: vec![None; days],
        }
    }

    /// A converter without a cache, for one or two conversions.
    pub(crate) fn uncached(zone: Tz) -> Self {
        let offsets = Vec::new();
        Self { zone, offsets }
    }

    /// The offset from UTC.
    fn offset(&mut self, at: i64) -> Option<i64> {
        if self.zone == Tz::UTC {
            return Some(0);
        }
        if self.offsets.is_empty() {
            return self.offset_at(at);
        }
        let day = at.div_euclid(DAY);
        let slot = usize::try_from(day.rem_euclid(CACHED_DAYS as i64)).ok()?;
        if let Some((known, offset)) = self.offsets[slot]
            && known == day
        {
            return Some(offset);
        }
        let begin = day.checked_mul(DAY)?;
        let [first, last] = [begin, begin.checked_add(DAY - 1)?];
        let [first, last] = [self.offset_at(first)?, self.offset_at(last)?];
        if first == last {
            self.offsets[slot] = Some((day, first));
            return Some(first);
        }
        self.offset_at(at)
    }

    fn offset_at(&self, at: i64) -> Option<i64> {
        let at = naive(at)?;
        let offset = self.zone.offset_from_utc_datetime(&at).fix();
        Some(i64::from(offset.local_minus_utc()) * 1_000_000)
    }

    /// The local time at an instant.
    pub(crate) fn local(&mut self, at: i64) -> Option<i64> {
        at.checked_add(self.offset(at)?)
    }

    /// The first instant with a local time; the end of the gap, if the clocks skip it.
    pub(crate) fn instant(&mut self, local: i64) -> Option<i64> {
        // Without a change of the clocks nearby, the offset is that of the day before and the day
        // after.
        let before = self.offset(local.checked_sub(DAY)?)?;
        if before == self.offset(local.checked_add(DAY)?)? && before == self.offset(local)? {
            return local.checked_sub(before);
        }
        Some(first_instant(naive(local)?, self.zone)?.timestamp_micros())
    }

    /// An instant plus an interval: months and days in local time, then the rest.
    pub(crate) fn plus(&mut self, at: i64, interval: Interval) -> Option<i64> {
        let Interval {
            months,
            days,
            nanos,
        } = interval;
        let mut shifted = at;
        if (months, days) != (0, 0) {
            let local = self.local(at)?;
            let later = match months {
                0 => local.checked_add(i64::from(days).checked_mul(DAY)?)?,
                _ => days_later(months_later(naive(local)?, months)?, days)?
                    .and_utc()
                    .timestamp_micros(),
            };
            shifted = self.instant(later)?;
        }
        shifted.checked_add(nanos.div_euclid(1_000))
    }
}

/// The parts of an SQL interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) nanos: i64,
}

impl Interval {
    /// The interval with the opposite sign.
    pub(crate) fn negated(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            nanos: self.nanos.checked_neg()?,
        })
    }
}

pub(crate) fn naive(micros: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(micros)?.naive_utc())
}

fn months_later(local: NaiveDateTime, months: i32) -> Option<NaiveDateTime> {
    let by = Months::new(months.unsigned_abs());
    match months < 0 {
        true => local.checked_sub_months(by),
        false => local.checked_add_months(by),
    }
}

fn days_later(local: NaiveDateTime, days: i32) -> Option<NaiveDateTime> {
    let by = Days::new(u64::from(days.unsigned_abs()));
    match days < 0 {
        true => local.checked_sub_days(by),
        false => local.checked_add_days(by),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use rollbook_model::Timestamp;

    use super::{Clocks, Interval};

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().micros()
    }

    fn check(zone: Tz, at: &str, months: i32, days: i32, hours: i64, expected: &str) {
        let interval = Interval {
            months,
            days,
            nanos: hours * 3_600_000_000_000,
        };
        let found = Clocks::new(zone).plus(micros(at), interval).unwrap();
        let found = Timestamp::from_micros(found).to_string();
        assert_eq!(found, expected, "{at} in {zone}");
    }

    #[test]
    fn days_follow_the_calendar_and_hours_are_exact() {
        let berlin = Tz::Europe__Berlin;
        let day_before = "2025-03-29T11:00:00Z";
        check(berlin, day_before, 0, 1, 0, "2025-03-30T10:00:00Z");
        check(berlin, day_before, 0, 0, 24, "2025-03-30T11:00:00Z");
        check(Tz::UTC, day_before, 0, 1, 0, "2025-03-30T11:00:00Z");
        // Half past two is skipped on the 30th of March, and comes twice on the 26th of October.
        let skipped = "2025-03-29T01:30:00Z";
        check(berlin, skipped, 0, 1, 0, "2025-03-30T01:00:00Z");
        let twice = "2025-10-25T00:30:00Z";
        check(berlin, twice, 0, 1, 0, "2025-10-26T00:30:00Z");
        check(
            berlin,
            "2025-01-31T12:00:00Z",
            1,
            0,
            0,
            "2025-02-28T12:00:00Z",
        );
        check(
            berlin,
            "2025-07-31T12:00:00Z",
            -6,
            0,
            0,
            "2025-01-31T13:00:00Z",
        );
    }

    #[test]
    fn intervals_can_be_added_in_years_1_and_9999() {
        let berlin = Tz::Europe__Berlin;
        check(
            berlin,
            "9999-12-31T12:00:00Z",
            -1,
            0,
            0,
            "9999-11-30T12:00:00Z",
        );
        check(
            Tz::UTC,
            "0001-01-01T00:00:00Z",
            12,
            0,
            0,
            "0002-01-01T00:00:00Z",
        );
    }

    #[test]
    fn local_time_of_every_hour_converts_back() {
        for zone in [
            Tz::Europe__Berlin,
            Tz::America__Sao_Paulo,
            Tz::Australia__Lord_Howe,
        ] {
            let mut clocks = Clocks::new(zone);
            let begin = micros("2018-01-01T00:00:00Z");
            for hour in 0..8_760 {
                let at = begin + hour * 3_600_000_000;
                let local = clocks.local(at).unwrap();
                let back = clocks.instant(local).unwrap();
                // An hour that occurs twice maps back to the first of the two.
                assert!(
                    back == at || (back < at && at - back <= 3_600_000_000),
                    "{zone} {hour}"
                );
                assert_eq!(clocks.local(back).unwrap(), local, "{zone} {hour}");
            }
        }
    }
}
