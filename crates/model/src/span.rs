//! Durations as people write them: `30d`, `12h`, `90m`, `2w`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds of each unit, longest first.
const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];
/// The maximum, a hundred years: longer ones are surely a mistake.
const MOST_SECONDS: u64 = 3_155_760_000;

/// A duration of at least a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    seconds: u64,
}

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is not a length of time: write a whole number from 1 and a unit, such as `30d`, `12h`, `90m` or `2w`"
)]
pub struct InvalidSpan {
    /// The text that was given.
    pub value: String,
}

impl Span {
    /// A span of so many days.
    pub const fn days(days: u64) -> Self {
        Self {
            seconds: days * 86_400,
        }
    }

    /// The same length as a `Duration` of the standard library.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The length in microseconds.
    pub fn micros(self) -> i64 {
        // At most a hundred years, which fits.
        self.seconds.cast_signed() * 1_000_000
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(value: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan {
            value: value.to_owned(),
        };
        let text = value.trim();
        let (of_unit, (_, seconds)) = UNITS
            .iter()
            .find_map(|unit| Some((text.strip_suffix(unit.0)?, unit)))
            .ok_or_else(invalid)?;
        if !of_unit.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let number: u64 = of_unit.parse().map_err(|_| invalid())?;
        let seconds = number.checked_mul(*seconds).ok_or_else(invalid)?;
        if !(1..=MOST_SECONDS).contains(&seconds) {
            return Err(invalid());
        }
        Ok(Self { seconds })
    }
}

impl TryFrom<String> for Span {
    type Error = InvalidSpan;
    fn try_from(value: String) -> Result<Self, InvalidSpan> {
        value.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS
            .iter()
            .skip(1)
            .find(|(_, seconds)| self.seconds.is_multiple_of(*seconds));
        let (unit, seconds) = fits.unwrap_or(&('s', 1));
        write!(f, "{}{unit}", self.seconds / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn reads_and_prints_lengths_of_time() {
        for (text, shown) in [
            ("30d", "30d"),
            ("2w", "14d"),
            ("12h", "12h"),
            ("90m", "90m"),
            ("48h", "2d"),
            ("1s", "1s"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "-1",
            "-1d",
            "0d",
            "30",
            "d",
            "1.5d",
            "+3d",
            "3 d",
            "99999999999w",
            "30x",
            "é",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
