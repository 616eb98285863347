//! Settings of a tenant: currency, time zone, default region, retention, write-ahead log.

use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::config::{FX_DAYS, JOURNAL_MEBIBYTES, JOURNAL_SECONDS, SNAPSHOT_DAYS};
use crate::nearest;

/// All settings with their meanings, as `rollbook settings` lists them.
pub const SETTING_KEYS: [(&str, &str); 7] = [
    (
        "currency",
        "ISO 4217 code that amounts are reported in, such as EUR",
    ),
    ("timezone", "IANA zone for calendars, such as Europe/Berlin"),
    (
        "default_region",
        "ISO 3166 country for phone numbers without a prefix, such as DE",
    ),
    (
        "fx_days",
        "days that an exchange rate stays valid without a newer one, from 0 to 31, such as 7",
    ),
    (
        "snapshot_days",
        "days that snapshots are kept, from 1 to 3650, such as 30",
    ),
    (
        "journal_seconds",
        "seconds until rows in the journal are committed, from 1 to 3600, such as 5",
    ),
    (
        "journal_mebibytes",
        "mebibytes at which the journal is committed at once, from 1 to 1024, such as 64",
    ),
];

/// Range of a numeric setting.
fn bounds(key: &str) -> Option<RangeInclusive<u16>> {
    let most = match key {
        "fx_days" => return Some(0..=31),
        "snapshot_days" => 3_650,
        "journal_seconds" => 3_600,
        "journal_mebibytes" => 1_024,
        _ => return None,
    };
    Some(1..=most)
}

/// A tenant's settings. `currency` is unset until the first amounts arrive or a user sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// ISO 4217 code that amounts are reported in.
    pub currency: Option<String>,
    /// IANA time zone of the tenant's calendar.
    pub timezone: String,
    /// ISO 3166-1 alpha-2 country of phone numbers without country code.
    pub default_region: Option<String>,
    /// Days that an exchange rate stays valid without a newer one.
    pub fx_days: u16,
    /// Days that unnamed snapshots are kept.
    pub snapshot_days: u16,
    /// Seconds until rows in the journal (write-ahead log) are committed.
    pub journal_seconds: u16,
    /// Mebibytes at which the journal is committed at once.
    pub journal_mebibytes: u16,
}

impl Settings {
    /// The time zone of the tenant's calendar.
    pub fn zone(&self) -> Tz {
        self.timezone.parse().unwrap_or(Tz::UTC)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: None,
            timezone: "UTC".to_owned(),
            default_region: None,
            fx_days: FX_DAYS,
            snapshot_days: SNAPSHOT_DAYS,
            journal_seconds: JOURNAL_SECONDS,
            journal_mebibytes: JOURNAL_MEBIBYTES,
        }
    }
}

/// An unknown setting, or an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// No setting has this name.
    #[error("there is no setting `{key}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The value is invalid.
    #[error("`{value}` is not a value for `{key}`: {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// The text that was given.
        value: String,
        /// The expected value.
        expected: &'static str,
    },
}

impl Settings {
    /// The value of a setting as text; `None` if it is unset.
    ///
    /// # Errors
    /// [`InvalidSetting::UnknownKey`].
    pub fn get(&self, key: &str) -> Result<Option<String>, InvalidSetting> {
        match known_key(key)?.0 {
            "currency" => Ok(self.currency.clone()),
            "timezone" => Ok(Some(self.timezone.clone())),
            "fx_days" => Ok(Some(self.fx_days.to_string())),
            "snapshot_days" => Ok(Some(self.snapshot_days.to_string())),
            "journal_seconds" => Ok(Some(self.journal_seconds.to_string())),
            "journal_mebibytes" => Ok(Some(self.journal_mebibytes.to_string())),
            _ => Ok(self.default_region.clone()),
        }
    }

    /// The settings with one value changed.
    ///
    /// # Errors
    /// [`InvalidSetting::UnknownKey`]; [`InvalidSetting::Value`] if the value has the wrong form or is out
    /// of range.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, InvalidSetting> {
        let (key, expected) = known_key(key)?;
        let letters =
            |length| value.len() == length && value.chars().all(|c| c.is_ascii_alphabetic());
        let number = bounds(key).and_then(|bounds| {
            let number = value.parse::<u16>().ok();
            number.filter(|number| bounds.contains(number))
        });
        match (key, number) {
            ("currency", _) if letters(3) => self.currency = Some(value.to_ascii_uppercase()),
            ("timezone", _) if Tz::from_str(value).is_ok() => self.timezone = value.to_owned(),
            ("default_region", _) if letters(2) => {
                self.default_region = Some(value.to_ascii_uppercase());
            }
            ("fx_days", Some(number)) => self.fx_days = number,
            ("snapshot_days", Some(number)) => self.snapshot_days = number,
            ("journal_seconds", Some(number)) => self.journal_seconds = number,
            ("journal_mebibytes", Some(number)) => self.journal_mebibytes = number,
            _ => {
                return Err(InvalidSetting::Value {
                    key,
                    value: value.to_owned(),
                    expected,
                });
            }
        }
        Ok(self)
    }
}

fn known_key(key: &str) -> Result<(&'static str, &'static str), InvalidSetting> {
    SETTING_KEYS
        .into_iter()
        .find(|(known, _)| *known == key)
        .ok_or_else(|| InvalidSetting::UnknownKey {
            key: key.to_owned(),
            nearest: nearest(key, SETTING_KEYS.map(|(known, _)| known)),
        })
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn values_are_validated() {
        let settings = Settings::default().with("currency", "eur").unwrap();
        assert_eq!(settings.get("currency").unwrap().as_deref(), Some("EUR"));
        assert_eq!(
            settings.get("snapshot_days").unwrap().as_deref(),
            Some("30")
        );
        assert!(Settings::default().with("snapshot_days", "0").is_err());
        assert!(Settings::default().with("timezone", "Mars/Base").is_err());
        let error = Settings::default()
            .with("curency", "EUR")
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `currency`"), "{error}");
    }
}
