//! Whom nobody may write to: e-mails, phones and persons.
//!
//! E-mails and phones are kept as keyed hashes, so that the list holds no address in the clear and
//! also holds for persons who come later.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use rollbook_lake::{Cause, Commit, Committed, Lake, LakeError, State};
use rollbook_model::Timestamp;
use rollbook_model::hex::hex;
use rollbook_segments::Channel;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use crate::{AppError, Place};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;
const NAME: &str = "suppressions";
/// Kept apart from other uses of the tenant's key.
const PURPOSE: &[u8] = b"rollbook suppression 1\0";

/// What of somebody is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A person, by id.
    Person,
}

impl Kind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Person => "person",
        }
    }

    /// What a text is: an e-mail has an `@`, a phone number begins with `+` or `0`, or is more than
    /// digits; other digits are the id of a person.
    fn of(text: &str) -> Result<Self, AppError> {
        let text = text.trim();
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let is_phone = |byte: u8| byte.is_ascii_digit() || b" +-().".contains(&byte);
        let is_number = digits > 0 && digits == text.len();
        if text.contains('@') {
            Ok(Self::Email)
        } else if is_number && !text.starts_with('0') && text.parse::<u64>().is_ok() {
            Ok(Self::Person)
        } else if digits >= 7 && text.bytes().all(is_phone) {
            Ok(Self::Phone)
        } else {
            Err(AppError::NotSuppressible {
                text: text.to_owned(),
            })
        }
    }
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// What it is.
    pub kind: Kind,
    /// The keyed hash of an address, or the id of a person.
    pub value: String,
    /// The channel that is closed; all where there is none.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub added_at: Timestamp,
}

/// What the snapshot holds of the list.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    path: String,
}

/// The list at a snapshot.
pub(crate) async fn of(lake: &Lake, state: &State) -> Result<Vec<Suppressed>, AppError> {
    match state.value::<Pointer>(NAME)? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Ok(Vec::new()),
    }
}

/// The keyed hash of an address.
pub(crate) fn token(key: &[u8], kind: Kind, text: &str) -> String {
    let plain = match kind {
        Kind::Email => text.trim().to_lowercase(),
        Kind::Phone => text
            .chars()
            .filter(|c| c.is_ascii_digit() || *c == '+')
            .collect(),
        Kind::Person => text.trim().to_owned(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(PURPOSE);
    mac.update(kind.name().as_bytes());
    mac.update(&[0]);
    mac.update(plain.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// All entries.
pub async fn list(place: &Place) -> Result<Vec<Suppressed>, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    of(&lake, &state).await
}

/// Adds e-mails, phones or ids of persons; how many were not there yet.
pub async fn add(
    place: &Place,
    values: &[String],
    channel: Option<Channel>,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<u64, AppError> {
    change(place, values, at, |list, kind, value| {
        let is_known =
            |one: &Suppressed| one.kind == kind && one.value == value && one.channel == channel;
        if list.iter().any(is_known) {
            return false;
        }
        list.push(Suppressed {
            kind,
            value: value.to_owned(),
            channel,
            reason: reason.map(str::to_owned),
            added_at: at,
        });
        true
    })
    .await
}

/// Takes entries away, of one channel or of all; how many of the values were there.
pub async fn remove(
    place: &Place,
    values: &[String],
    channel: Option<Channel>,
    at: Timestamp,
) -> Result<u64, AppError> {
    change(place, values, at, |list, kind, value| {
        let before = list.len();
        list.retain(|one| {
            let is_meant = channel.is_none() || one.channel == channel;
            !(one.kind == kind && one.value == value && is_meant)
        });
        list.len() < before
    })
    .await
}

async fn change(
    place: &Place,
    values: &[String],
    at: Timestamp,
    mut one: impl FnMut(&mut Vec<Suppressed>, Kind, &str) -> bool,
) -> Result<u64, AppError> {
    let lake = place.lake_or_new().await?;
    let key = lake.token_key_or_new().await?;
    let mut wanted = Vec::new();
    for text in values {
        let kind = Kind::of(text)?;
        wanted.push(match kind {
            Kind::Person => (kind, text.trim().to_owned()),
            _ => (kind, token(&key, kind, text)),
        });
    }
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let mut list = of(&lake, &state).await?;
        let mut changed = 0;
        for (kind, value) in &wanted {
            changed += u64::from(one(&mut list, *kind, value));
        }
        if changed == 0 {
            return Ok(0);
        }
        let path = lake.put_content("_definitions/suppressions", &list).await?;
        let named = BTreeMap::from([(NAME.to_owned(), Some(json!(Pointer { path })))]);
        let cause = Cause::Define {
            name: NAME.to_owned(),
        };
        let commit = Commit::of_names(cause, at, named);
        if matches!(lake.commit(&state, commit).await?, Committed::Done(_)) {
            return Ok(changed);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

#[cfg(test)]
mod tests {
    use super::{Kind, token};

    #[test]
    fn what_is_suppressed_is_told_by_how_it_is_written() {
        for (text, kind) in [
            ("ann@example.com", Kind::Email),
            ("+49 30 123456", Kind::Phone),
            ("030123456", Kind::Phone),
            ("415-555-2671", Kind::Phone),
            ("12", Kind::Person),
            ("12345678", Kind::Person),
        ] {
            assert_eq!(Kind::of(text).unwrap(), kind, "{text}");
        }
        for nonsense in ["", "ann", "0", "12a", "+49"] {
            assert!(Kind::of(nonsense).is_err(), "{nonsense}");
        }
        let of = |text| token(b"key", Kind::Email, text);
        assert_eq!(of(" Ann@Example.com "), of("ann@example.com"));
        assert_ne!(
            of("ann@example.com"),
            token(b"other", Kind::Email, "ann@example.com")
        );
    }
}
