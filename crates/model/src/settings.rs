//! What a tenant sets once: the currency of its reports, its time zone, its default region.

use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::config::SNAPSHOT_DAYS;
use crate::nearest;

/// The keys that `rollbook settings` knows, with what each one is.
pub const SETTING_KEYS: [(&str, &str); 4] = [
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
        "snapshot_days",
        "days that snapshots are kept, from 1 to 3650, such as 30",
    ),
];

const MOST_SNAPSHOT_DAYS: u16 = 3_650;

/// A tenant's settings. `currency` is unset until the first amounts arrive or a user sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// ISO 4217 code that amounts are reported in.
    pub currency: Option<String>,
    /// IANA time zone of the tenant's calendar.
    pub timezone: String,
    /// ISO 3166-1 alpha-2 country assumed where a source names none.
    pub default_region: Option<String>,
    /// Days that snapshots are kept for, beside those that have a name.
    #[serde(default = "snapshot_days")]
    pub snapshot_days: u16,
}

fn snapshot_days() -> u16 {
    SNAPSHOT_DAYS
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: None,
            timezone: "UTC".to_owned(),
            default_region: None,
            snapshot_days: SNAPSHOT_DAYS,
        }
    }
}

/// A setting that does not exist, or a value that it cannot take.
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
    /// The setting exists, its value does not fit.
    #[error("`{value}` is not a value for `{key}`: it takes an {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// The text that was given.
        value: String,
        /// What the setting takes.
        expected: &'static str,
    },
}

impl Settings {
    /// The value of a setting as text, `None` where it is unset.
    pub fn get(&self, key: &str) -> Result<Option<String>, InvalidSetting> {
        match known_key(key)?.0 {
            "currency" => Ok(self.currency.clone()),
            "timezone" => Ok(Some(self.timezone.clone())),
            "snapshot_days" => Ok(Some(self.snapshot_days.to_string())),
            _ => Ok(self.default_region.clone()),
        }
    }

    /// The settings with one value changed.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, InvalidSetting> {
        let (key, expected) = known_key(key)?;
        let fits = match key {
            "currency" => value.len() == 3 && value.chars().all(|c| c.is_ascii_alphabetic()),
            "timezone" => Tz::from_str(value).is_ok(),
            "snapshot_days" => value
                .parse()
                .is_ok_and(|days: u16| (1..=MOST_SNAPSHOT_DAYS).contains(&days)),
            _ => value.len() == 2 && value.chars().all(|c| c.is_ascii_alphabetic()),
        };
        if !fits {
            return Err(InvalidSetting::Value {
                key,
                value: value.to_owned(),
                expected,
            });
        }
        match key {
            "currency" => self.currency = Some(value.to_ascii_uppercase()),
            "timezone" => self.timezone = value.to_owned(),
            "snapshot_days" => self.snapshot_days = value.parse().unwrap_or(SNAPSHOT_DAYS),
            _ => self.default_region = Some(value.to_ascii_uppercase()),
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
    fn checks_values_before_taking_them() {
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
