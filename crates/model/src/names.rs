//! Names given by users, validated once when parsed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that cannot be used, with the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{value}` is not a valid name: {rule}")]
pub struct InvalidName {
    /// What was being named, such as `segment key`.
    pub kind: &'static str,
    /// The text as given.
    pub value: String,
    /// The form of a valid name.
    pub rule: &'static str,
}

const NAME_RULE: &str = "use 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter or digit";
const COLUMN_RULE: &str = "use 1 to 64 of a-z, 0-9 and `_`, beginning with a letter";

fn parse_name(kind: &'static str, value: &str) -> Result<String, InvalidName> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = !value.is_empty()
        && value.len() <= 64
        && value.starts_with(letter)
        && value.chars().all(|c| letter(c) || c == '_' || c == '-');
    if valid {
        Ok(value.to_owned())
    } else {
        Err(InvalidName {
            kind,
            value: value.to_owned(),
            rule: NAME_RULE,
        })
    }
}

/// A tenant: a business whose data is separate from all others. Also the name of its folder in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(String);

/// A source system, such as `shopify`; the name of its folder of mappings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(String);

/// The unique key of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SegmentKey(String);

/// The name of a custom trait, which is a column of `people`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraitName(String);

/// The name of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl FromStr for TenantName {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        parse_name("tenant", value).map(Self)
    }
}

impl FromStr for ProviderName {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        parse_name("provider", value).map(Self)
    }
}

impl FromStr for SegmentKey {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        parse_name("segment key", value).map(Self)
    }
}

impl FromStr for SecretName {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        parse_name("secret name", value).map(Self)
    }
}

impl FromStr for TraitName {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let valid = value.len() <= 64
            && value.starts_with(|c: char| c.is_ascii_lowercase())
            && value
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        match valid {
            true => Ok(Self(value.to_owned())),
            false => Err(InvalidName {
                kind: "trait",
                value: value.to_owned(),
                rule: COLUMN_RULE,
            }),
        }
    }
}

impl TryFrom<String> for TenantName {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl TryFrom<String> for ProviderName {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl TryFrom<String> for SegmentKey {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl TryFrom<String> for SecretName {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl TryFrom<String> for TraitName {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl From<TraitName> for String {
    fn from(name: TraitName) -> Self {
        name.0
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl From<TenantName> for String {
    fn from(name: TenantName) -> Self {
        name.0
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.0
    }
}

impl From<SegmentKey> for String {
    fn from(name: SegmentKey) -> Self {
        name.0
    }
}

impl TenantName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ProviderName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SegmentKey {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TraitName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a snapshot: 0 is the empty lake, and each commit adds one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct SnapshotNumber(pub u64);

impl SnapshotNumber {
    /// The number of the next commit.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for SnapshotNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for SnapshotNumber {
    type Err = std::num::ParseIntError;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        value.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{SecretName, SegmentKey, TenantName, TraitName};

    #[test]
    fn names_are_lowercase_and_short() {
        assert!("big-spenders_2".parse::<SegmentKey>().is_ok());
        for bad in ["", "Big", "a b", "../up", "-x", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<SegmentKey>().is_err(), "`{bad}` was taken");
            assert!(bad.parse::<SecretName>().is_err(), "`{bad}` was taken");
        }
    }

    #[test]
    fn trait_names_are_valid_column_names() {
        assert!("vip_score2".parse::<TraitName>().is_ok());
        for bad in ["", "Vip", "vip-score", "2nd", "_m0", &"x".repeat(65)] {
            assert!(bad.parse::<TraitName>().is_err(), "`{bad}` was taken");
        }
    }

    #[test]
    fn the_message_names_the_rule() {
        let error = "_keys".parse::<TenantName>().unwrap_err().to_string();
        assert!(
            error.contains("tenant `_keys`") && error.contains("beginning with"),
            "{error}"
        );
    }
}
