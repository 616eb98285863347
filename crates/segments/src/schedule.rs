//! When a segment is computed, how its members are reached, and how many are held out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a segment is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// After rows came in.
    #[default]
    OnIngest,
    /// Each time that so many seconds have passed.
    Every(u32),
    /// When somebody asks for it.
    Manual,
    /// Never: its members are a given list.
    Static,
}

/// A text that is no schedule, channel or percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidSchedule {
    text: String,
    wanted: &'static str,
}

fn invalid(text: &str, wanted: &'static str) -> InvalidSchedule {
    InvalidSchedule {
        text: text.to_owned(),
        wanted,
    }
}

/// The units of a pause, in seconds.
const UNITS: [(&str, u32); 4] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
];

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let wanted = "a schedule: on_ingest, manual, static, or a pause such as '15 minutes'";
        match text.trim() {
            "on_ingest" => return Ok(Self::OnIngest),
            "manual" => return Ok(Self::Manual),
            "static" => return Ok(Self::Static),
            _ => {}
        }
        let mut words = text.split_whitespace();
        let (Some(count), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(invalid(text, wanted));
        };
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let count = count.parse::<u32>().ok().filter(|count| *count > 0);
        let seconds = count
            .zip(unit)
            .and_then(|(count, (_, unit))| count.checked_mul(*unit));
        seconds
            .map(Self::Every)
            .ok_or_else(|| invalid(text, wanted))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnIngest => write!(f, "on_ingest"),
            Self::Manual => write!(f, "manual"),
            Self::Static => write!(f, "static"),
            Self::Every(seconds) => {
                let fits = |unit: &&(&str, u32)| seconds % unit.1 == 0;
                let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
                let count = seconds / unit;
                write!(f, "{count} {name}{}", if count == 1 { "" } else { "s" })
            }
        }
    }
}

/// How persons are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By text message.
    Sms,
}

impl Channel {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl FromStr for Channel {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        match text.trim() {
            "email" => Ok(Self::Email),
            "sms" => Ok(Self::Sms),
            _ => Err(invalid(text, "a channel: email or sms")),
        }
    }
}

/// A percentage, stored in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u16);

impl Percent {
    /// In hundredths of a percent, from 0 to 10 000.
    pub fn of_ten_thousand(self) -> u64 {
        u64::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let wanted = "a percentage from 0 to 100, with at most two decimal places, such as 10";
        let number = text.trim().trim_end_matches('%').trim_end();
        let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
        let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_plain(whole) || !is_plain(rest) || rest.len() > 2 {
            return Err(invalid(text, wanted));
        }
        let hundredths = format!("{whole}{rest:0<2}").parse::<u16>().ok();
        let known = hundredths.filter(|hundredths| *hundredths <= 10_000);
        known.map(Self).ok_or_else(|| invalid(text, wanted))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, rest) => write!(f, "{whole}.{rest:02}"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = InvalidSchedule;

            fn try_from(text: String) -> Result<Self, InvalidSchedule> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

as_text!(Schedule);
as_text!(Percent);

#[cfg(test)]
mod tests {
    use super::{Percent, Schedule};

    #[test]
    fn segment_files_round_trip() {
        for (text, written) in [
            ("on_ingest", "on_ingest"),
            ("15 minutes", "15 minutes"),
            ("60 seconds", "1 minute"),
            ("1 day", "1 day"),
            (" 90 minutes ", "90 minutes"),
            ("static", "static"),
        ] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string(), written);
            assert_eq!(written.parse(), Ok(schedule));
        }
        for nonsense in [
            "",
            "often",
            "0 days",
            "-1 days",
            "15",
            "1 fortnight",
            "9999999 days",
        ] {
            assert!(nonsense.parse::<Schedule>().is_err(), "{nonsense}");
        }
        for (text, written) in [("10", "10"), ("0.5 %", "0.50"), ("100%", "100"), ("0", "0")] {
            let percent: Percent = text.parse().unwrap();
            assert_eq!(percent.to_string(), written);
        }
        for nonsense in ["", "101", "-1", "1.234", ".5", "ten", "1e2"] {
            assert!(nonsense.parse::<Percent>().is_err(), "{nonsense}");
        }
    }
}
