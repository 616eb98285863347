//! Times of events: as an argument of a behaviour function, and as a condition on `at`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::values::{Values, one_of};

const INTERVALS: [&str; 8] = [
    "12 hours", "1 day", "7 days", "2 weeks", "1 month", "90 days", "200 days", "1 year",
];

const PERIODS: [&str; 10] = [
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

pub(super) enum When {
    Ever,
    Within(&'static str),
    Period(&'static str),
    Between(Option<&'static str>, Option<&'static str>),
}

pub(super) fn interval(dice: &mut ChaCha8Rng) -> &'static str {
    one_of(dice, &INTERVALS)
}

impl When {
    pub(super) fn random(dice: &mut ChaCha8Rng, values: &Values) -> Self {
        match dice.random_range(0..10) {
            0..2 => Self::Ever,
            2..6 => Self::Within(interval(dice)),
            6..8 => Self::Period(one_of(dice, &PERIODS)),
            _ => Self::dates(dice, values),
        }
    }

    /// Literal ends, one of them perhaps missing.
    pub(super) fn dates(dice: &mut ChaCha8Rng, values: &Values) -> Self {
        let from = dice.random_range(0..values.days.len() - 1);
        let until = dice.random_range(from + 1..values.days.len());
        let (from, until) = (Some(values.days[from]), Some(values.days[until]));
        match dice.random_range(0..3) {
            0 => Self::Between(from, None),
            1 => Self::Between(None, until),
            _ => Self::Between(from, until),
        }
    }

    /// The arguments with these ends.
    pub(super) fn arguments(&self) -> Vec<String> {
        let end = |name: &str, at: &Option<&str>| at.map(|at| format!("{name} => '{at}'"));
        match self {
            Self::Ever => Vec::new(),
            Self::Within(interval) => vec![format!("within => interval '{interval}'")],
            Self::Period(name) => vec![format!("within => {name}()")],
            Self::Between(from, until) => [end("from", from), end("until", until)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// The condition on a time `at` that is not later than `{now}`.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Ever => "true".to_owned(),
            Self::Within(interval) => format!("happened > {{now}} - interval '{interval}'"),
            Self::Period(name) => period(name),
            Self::Between(from, until) => {
                let from = from.map(|from| format!("happened >= {}", moment(from)));
                let until = until.map(|until| format!("happened < {}", moment(until)));
                let both: Vec<_> = from.into_iter().chain(until).collect();
                both.join(" and ")
            }
        }
    }
}

/// A literal moment in SQL.
pub(super) fn moment(at: &str) -> String {
    format!("cast('{at}' as timestamp with time zone)")
}

/// Local time decides: if it is the same month there, it is this month.
fn period(name: &str) -> String {
    let (unit, length, is_last) = match name {
        "today" => ("day", "1 day", false),
        "yesterday" => ("day", "1 day", true),
        _ => {
            let (which, unit) = name.split_once('_').unwrap();
            let length = match unit {
                "week" => "7 days",
                "month" => "1 month",
                "quarter" => "3 months",
                _ => "1 year",
            };
            (unit, length, which == "last")
        }
    };
    let begin = |at: &str| format!("date_trunc('{unit}', {at})");
    let of_now = begin("{now}");
    match is_last {
        true => format!("{} = {of_now} - interval '{length}'", begin("happened")),
        false => format!("{} = {of_now}", begin("happened")),
    }
}
