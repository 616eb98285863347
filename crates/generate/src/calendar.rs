//! The two years of the generated data: seasons, and the text of times.

use chrono::{Datelike, NaiveDate};

use crate::dice::Dice;

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;
/// Seconds of an hour.
pub(crate) const HOUR: i64 = 3_600;
/// 2024-01-01, in days since 1970-01-01.
const FIRST_DAY: i64 = 19_723;
/// Days of 2024 and 2025.
pub(crate) const DAYS: i64 = 731;
/// 2024-01-01T00:00:00Z, in seconds since 1970.
pub(crate) const START: i64 = FIRST_DAY * DAY;
/// 2025-12-31T23:59:59Z, the last second with events.
pub(crate) const END: i64 = START + DAYS * DAY - 1;
/// Days after the end on which planned dates may lie.
const PLANNED_DAYS: i64 = 366;
/// Months of the two years.
pub(crate) const MONTHS: usize = 24;

/// Relative activity of the months, from January on.
const MONTH_WEIGHTS: [u64; 12] = [82, 84, 95, 97, 104, 100, 88, 84, 98, 106, 142, 158];
/// Relative activity of the days of a week, from Monday on.
const WEEKDAY_WEIGHTS: [u64; 7] = [106, 101, 99, 98, 94, 95, 110];
/// Relative activity of the hours of a day.
const HOUR_WEIGHTS: [u64; 24] = [
    6, 3, 2, 1, 1, 3, 9, 20, 34, 45, 50, 51, 52, 48, 46, 47, 50, 56, 64, 76, 84, 70, 42, 18,
];

/// The days with their names and cumulative activity.
#[derive(Debug)]
pub(crate) struct Calendar {
    days: Vec<String>,
    months: Vec<usize>,
    busy: Vec<u64>,
    hours: Vec<u64>,
}

impl Calendar {
    pub(crate) fn new() -> Self {
        let first = NaiveDate::from_ymd_opt(2024, 1, 1).expect("a day that exists");
        let days = u64::try_from(DAYS).expect("a positive number");
        let planned = days + u64::try_from(PLANNED_DAYS).expect("a positive number");
        let dates: Vec<NaiveDate> = (0..planned)
            .map(|day| first + chrono::Days::new(day))
            .collect();
        let weights = dates.iter().zip(0..days).map(|(date, day)| {
            let month = MONTH_WEIGHTS[to_index(i64::from(date.month0()))];
            let weekday = date.weekday().num_days_from_monday();
            let growth = 100 + 50 * day / days;
            month * WEEKDAY_WEIGHTS[to_index(i64::from(weekday))] * growth
        });
        Self {
            days: dates
                .iter()
                .map(|date| date.format("%Y-%m-%d").to_string())
                .collect(),
            months: dates
                .iter()
                .map(|date| to_index(i64::from(date.year() - 2024) * 12 + i64::from(date.month0())))
                .collect(),
            busy: running_sum(weights),
            hours: running_sum(HOUR_WEIGHTS.into_iter()),
        }
    }

    /// A random moment from `from` to `until`, more likely in busy seasons, on busy days and at busy hours.
    pub(crate) fn moment(&self, dice: &mut Dice, from: i64, until: i64) -> i64 {
        let (first, last) = (day_index(from), day_index(until.max(from)));
        let below = first.checked_sub(1).map_or(0, |day| self.busy[day]);
        let at = below + dice.below(self.busy[last] - below);
        let day = self.busy.partition_point(|sum| *sum <= at);
        self.at_busy_hour(dice, day, from, until)
    }

    /// The moment at which person `number` of `count` joins; higher numbers join later.
    pub(crate) fn joined(&self, dice: &mut Dice, number: u64, count: u64) -> i64 {
        let all = self.busy.last().copied().expect("the calendar has days");
        let share = u128::from(number) * 1000 + u128::from(dice.below(1000));
        let at = u128::from(all) * share / (u128::from(count.max(1)) * 1000);
        let day = self.busy.partition_point(|sum| u128::from(*sum) <= at);
        self.at_busy_hour(dice, day.min(self.busy.len() - 1), START, END)
    }

    fn at_busy_hour(&self, dice: &mut Dice, day: usize, from: i64, until: i64) -> i64 {
        let midnight = START + i64::try_from(day).expect("a day of the calendar") * DAY;
        let hour = i64::try_from(dice.along(&self.hours)).expect("an hour of a day");
        let at = midnight + hour * HOUR + dice.between(0, HOUR - 1);
        if (from..=until).contains(&at) {
            at
        } else {
            dice.between(from.max(midnight), until.min(midnight + DAY - 1))
        }
    }

    /// The date of a time, such as `2024-05-01`.
    pub(crate) fn day(&self, at: i64) -> &str {
        &self.days[to_index((at - START).div_euclid(DAY)).min(self.days.len() - 1)]
    }

    /// The index of the month in which a time lies, from 0 to 23.
    pub(crate) fn month(&self, at: i64) -> usize {
        self.months[day_index(at)]
    }

    /// Appends a time in the form `2024-05-01T12:00:00Z`.
    pub(crate) fn write_time(&self, at: i64, text: &mut Vec<u8>) {
        let second = (at - START).rem_euclid(DAY);
        text.extend_from_slice(self.day(at).as_bytes());
        let parts = [second / HOUR, second / 60 % 60, second % 60];
        for (separator, part) in [b'T', b':', b':'].into_iter().zip(parts) {
            let part = u8::try_from(part).expect("hours, minutes and seconds are below 60");
            text.extend_from_slice(&[separator, b'0' + part / 10, b'0' + part % 10]);
        }
        text.push(b'Z');
    }
}

/// The cumulative sums of weights, as [`Dice::along`] expects them.
pub(crate) fn running_sum(weights: impl Iterator<Item = u64>) -> Vec<u64> {
    weights
        .scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

fn day_index(at: i64) -> usize {
    to_index((at.clamp(START, END) - START) / DAY)
}

fn to_index(number: i64) -> usize {
    usize::try_from(number).expect("days and months are counted from the start on")
}

#[cfg(test)]
mod tests {
    use super::{Calendar, DAY, END, MONTHS, START};
    use crate::dice::{Dice, Stream};

    fn written(calendar: &Calendar, at: i64) -> String {
        let mut text = Vec::new();
        calendar.write_time(at, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn first_and_last_moment_are_right() {
        let calendar = Calendar::new();
        assert_eq!(written(&calendar, START), "2024-01-01T00:00:00Z");
        assert_eq!(written(&calendar, END), "2025-12-31T23:59:59Z");
        assert_eq!(
            written(&calendar, START + 59 * DAY + 3_661),
            "2024-02-29T01:01:01Z"
        );
        assert_eq!(calendar.day(END + DAY), "2026-01-01");
        assert_eq!(
            (calendar.month(START), calendar.month(END)),
            (0, MONTHS - 1)
        );
    }

    #[test]
    fn moments_keep_to_their_bounds() {
        let calendar = Calendar::new();
        let mut dice = Dice::new(1, Stream::Facts, 0);
        for _ in 0..2_000 {
            let from = dice.between(START, END);
            let until = dice.between(from, END);
            let at = calendar.moment(&mut dice, from, until);
            assert!(
                (from..=until).contains(&at),
                "{at} is not in {from}..={until}"
            );
        }
    }
}
