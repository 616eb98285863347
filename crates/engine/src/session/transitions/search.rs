//! Looking for the moment at which something that follows the clock changes.
//!
//! Moments less months do not rise with the clock: on the 29th of March a month ago is as early as
//! on the 28th. So nothing is computed backwards. Between two midnights all that is looked at rises
//! with the clock; the first of these stretches in which it changes is found, and halved.

use chrono::Offset;
use chrono_tz::Tz;
use rollbook_model::Timestamp;
use rollbook_model::calendar::period;

use crate::criteria::behaviour::{DAY, HOUR, Pace};

/// No moment later than this is looked at: the begin of 2200.
const LATEST: i64 = 7_258_118_400_000_000;

/// Stretches that are looked at, at most.
const MOST: usize = 1_500;

/// When something changes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Then, in microseconds.
    At(i64),
    /// It does not.
    Never,
    /// That cannot be told.
    Unknown,
}

impl Next {
    /// The earlier of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Never, next) | (next, Self::Never) => next,
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
        }
    }
}

/// The first moment after `after` at which `key` is another; it is a key of how a value stands to
/// something that moves in such a pace. `apart` is how far the value is ahead of it, where that is
/// known.
pub(crate) fn next_change<K: PartialEq>(
    key: impl Fn(i64) -> Option<K>,
    apart: impl Fn(i64) -> Option<i64>,
    pace: &Pace,
    zone: Tz,
    after: i64,
) -> Next {
    let Some(first) = key(after) else {
        return Next::Unknown;
    };
    let slack = match pace {
        Pace::Steady { slack, .. } => Some(*slack),
        // Twice the longest period.
        Pace::Period(_) => Some(740 * DAY),
        Pace::Daily | Pace::Hourly => None,
        Pace::Unknown => return Next::Unknown,
    };
    let mut from = after;
    for _ in 0..MOST {
        if let Some(slack) = slack
            && let Some(apart) = apart(from)
        {
            if apart < -slack {
                return Next::Never;
            }
            from = from.saturating_add((apart - slack - 1).max(0));
        }
        if from > LATEST {
            return Next::Never;
        }
        let to = following(pace, zone, from);
        for probe in [to - 1, to] {
            match key(probe) {
                None => return Next::Unknown,
                Some(found) if found != first => {
                    return Next::At(halved(&key, &first, from, probe));
                }
                Some(_) => {}
            }
        }
        from = to;
    }
    Next::Unknown
}

/// The first moment at which `key` is not what it is at `low`; at `high` it is not.
fn halved<K: PartialEq>(
    key: impl Fn(i64) -> Option<K>,
    first: &K,
    mut low: i64,
    mut high: i64,
) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match key(middle).as_ref() == Some(first) {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// The end of the stretch that a moment is in.
fn following(pace: &Pace, zone: Tz, at: i64) -> i64 {
    let moment = Timestamp::from_micros(at);
    let parts: &[i64] = match pace {
        Pace::Hourly => return next_hour(zone, at),
        Pace::Period(name) => {
            let this = match name.split_once('_') {
                Some((_, of)) => format!("this_{of}"),
                None => "today".to_owned(),
            };
            return match period(&this, moment, zone) {
                Some([_, end]) => end.micros(),
                None => at + DAY,
            };
        }
        Pace::Steady { parts, .. } => parts,
        Pace::Daily | Pace::Unknown => &[],
    };
    let today = at.div_euclid(DAY) * DAY;
    let mut midnights = vec![today, today + DAY];
    let mut next = at + DAY;
    if let Some(local) = period("today", moment, zone) {
        let [begin, end] = local.map(Timestamp::micros);
        midnights.extend([begin, end]);
        // The day on which clocks are put forward or back.
        if end - begin != DAY {
            next = next.min(next_hour(zone, at));
        }
    }
    for midnight in midnights {
        for part in parts.iter().chain([&0]) {
            for moved in [midnight + part - DAY, midnight + part] {
                if moved > at {
                    next = next.min(moved);
                }
            }
        }
    }
    next
}

/// The next full hour, in UTC or there, whichever comes first.
fn next_hour(zone: Tz, at: i64) -> i64 {
    let full = |apart: i64| (at + apart).div_euclid(HOUR) * HOUR + HOUR - apart;
    let offset = Timestamp::from_micros(at).to_utc().map(|at| {
        let there = at.with_timezone(&zone);
        i64::from(there.offset().fix().local_minus_utc()) * 1_000_000
    });
    full(0).min(full(offset.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use rollbook_model::Timestamp;

    use super::{Next, next_change};
    use crate::criteria::behaviour::{DAY, Pace};

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().micros()
    }

    /// A month before a moment, as calendars have it.
    fn a_month_before(at: i64) -> i64 {
        let at = Timestamp::from_micros(at).to_utc().unwrap();
        let at = at.checked_sub_months(chrono::Months::new(1)).unwrap();
        at.timestamp_micros()
    }

    /// All moments at which the order of `at` and of a month before changes.
    fn changes(at: &str, after: &str) -> Vec<String> {
        let pace = Pace::Steady {
            parts: Vec::new(),
            slack: 12 * DAY,
        };
        let (at, mut after) = (micros(at), micros(after));
        let mut found = Vec::new();
        loop {
            let key = |moment| Some(at.cmp(&a_month_before(moment)));
            let apart = |moment| Some(at - a_month_before(moment));
            match next_change(key, apart, &pace, Tz::UTC, after) {
                Next::At(moment) => {
                    found.push(Timestamp::from_micros(moment).to_string());
                    after = moment;
                }
                other => {
                    assert_eq!(other, Next::Never);
                    return found;
                }
            }
        }
    }

    #[test]
    fn a_month_from_the_end_of_one_is_passed_several_times() {
        let passes = |day: &str| {
            [
                format!("2025-03-{day}T12:00:00Z"),
                format!("2025-03-{day}T12:00:00.000001Z"),
            ]
        };
        let mut expected = Vec::from(passes("28"));
        for day in ["29", "30", "31"] {
            expected.push(format!("2025-03-{day}T00:00:00Z"));
            expected.extend(passes(day));
        }
        assert_eq!(
            changes("2025-02-28T12:00:00Z", "2025-03-01T00:00:00Z"),
            expected
        );
        assert_eq!(
            changes("2025-02-20T12:00:00Z", "2025-01-01T00:00:00Z"),
            ["2025-03-20T12:00:00Z", "2025-03-20T12:00:00.000001Z"]
        );
        assert_eq!(
            changes("2025-02-20T12:00:00Z", "2026-01-01T00:00:00Z"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn hours_and_days_follow_the_zone() {
        let zone = Tz::Asia__Kolkata;
        let after = micros("2025-03-10T10:10:00Z");
        let of = |pace: &Pace, key: fn(i64) -> i64| {
            let next = next_change(|at| Some(key(at)), |_| None, pace, zone, after);
            match next {
                Next::At(at) => Timestamp::from_micros(at).to_string(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(
            of(&Pace::Hourly, |at| (at + 19_800_000_000)
                .div_euclid(3_600_000_000)),
            "2025-03-10T10:30:00Z"
        );
        assert_eq!(
            of(&Pace::Daily, |at| (at + 19_800_000_000).div_euclid(DAY)),
            "2025-03-10T18:30:00Z"
        );
        assert_eq!(
            of(&Pace::Daily, |at| at.div_euclid(DAY)),
            "2025-03-11T00:00:00Z"
        );
        assert_eq!(of(&Pace::Daily, |_| 1), "Unknown");
    }
}
