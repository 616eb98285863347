//! Whom nobody may write to: e-mails, phones and persons.
//!
//! E-mails and phones are kept as keyed hashes, so that the list holds no address in the clear and
//! also holds for persons who come later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hmac::{Hmac, Mac};
use roaring::RoaringTreemap;
use rollbook_engine::Session;
use rollbook_identity::normalise;
use rollbook_identity::token::MatchRule;
use rollbook_ingest::linking::owners::{Owners, records_of};
use rollbook_lake::{Cause, Commit, Committed, Lake, LakeError, State};
use rollbook_model::Timestamp;
use rollbook_model::shares::in_shares;
use rollbook_queries::persons::{EMAILS, PHONES};
use rollbook_segments::Channel;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use crate::normal::{forms, region};
use crate::{AppError, Workspace};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;
const NAME: &str = "suppressions";
/// Rows that are worth a thread.
const FEWEST: usize = 512;
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
        let folded = normalise::text(text).unwrap_or_default();
        let digits = folded.bytes().filter(u8::is_ascii_digit).count();
        let is_number = digits > 0 && digits == folded.len();
        let number = folded.strip_prefix("tel:").unwrap_or(&folded);
        let number = number.split(['x', 'e']).next().unwrap_or_default();
        if folded.contains('@') {
            Ok(Self::Email)
        } else if is_number && !folded.starts_with('0') && folded.parse::<u64>().is_ok() {
            Ok(Self::Person)
        } else if digits >= 7 && !number.chars().any(char::is_alphabetic) {
            Ok(Self::Phone)
        } else {
            Err(AppError::NotSuppressible {
                text: text.to_owned(),
            })
        }
    }

    /// The rule whose normal form it has; none of a person.
    fn tier(self) -> Option<MatchRule> {
        match self {
            Self::Email => Some(MatchRule::Email),
            Self::Phone => Some(MatchRule::Phone),
            Self::Person => None,
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
    /// Of a person, the records that they had then: it goes where these go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<i64>,
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is.
    pub kind: Kind,
    /// The keyed hash of an address, or the id of a person as it was given.
    pub value: String,
    /// The channel that is closed; all where there is none.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub added_at: Timestamp,
    /// Of an id, the persons for whom it holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persons: Option<Vec<u64>>,
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

/// The keyed hash of a value in one of its forms.
fn token(key: &[u8], kind: Kind, form: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(PURPOSE);
    mac.update(kind.name().as_bytes());
    mac.update(&[0]);
    mac.update(form.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The keyed hashes of all forms of a value, that of the normal form first.
fn tokens(
    key: &[u8],
    kind: Kind,
    tier: MatchRule,
    text: &str,
    region: Option<&str>,
) -> Vec<String> {
    let forms = forms(tier, text, region).into_iter();
    forms.map(|form| token(key, kind, &form)).collect()
}

/// Those of some persons whom a channel may not reach: what is said of an address holds for whoever has
/// it in any of their records.
pub(crate) async fn persons(
    workspace: &Workspace,
    (lake, state): (&Lake, &State),
    among: &RoaringTreemap,
    channel: Channel,
    as_of: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    let mut list = of(lake, state).await?;
    list.retain(|one| one.channel.is_none_or(|only| only == channel));
    let mut persons = RoaringTreemap::new();
    if list.iter().any(|one| one.kind != Kind::Person) {
        let among = Some(Arc::new(among.clone()));
        let session = workspace
            .session_of_records(lake, state, as_of, among)
            .await?;
        persons = with_values(lake, state, &session, &list).await?;
    }
    if list.iter().any(|one| one.kind == Kind::Person) {
        let owners = Owners::at(lake, state).await?;
        for one in &list {
            persons |= one.persons(&owners).unwrap_or_default();
        }
    }
    Ok(persons)
}

/// The persons of a session who have one of the values of a list; the session has a row in `persons` for
/// each record.
async fn with_values(
    lake: &Lake,
    state: &State,
    session: &Session,
    list: &[Suppressed],
) -> Result<RoaringTreemap, AppError> {
    let mut persons = RoaringTreemap::new();
    let default = state.settings()?.default_region;
    for (kind, sql) in [(Kind::Email, EMAILS), (Kind::Phone, PHONES)] {
        let of_kind = list.iter().filter(|one| one.kind == kind);
        let closed: BTreeSet<&str> = of_kind.map(|one| one.value.as_str()).collect();
        let Some(tier) = kind.tier().filter(|_| !closed.is_empty()) else {
            continue;
        };
        let key = lake.token_key_or_new().await?;
        let mut rows = session.stream(sql).await?;
        while let Some(batch) = rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let texts = |at: usize| -> Result<StringArray, AppError> {
                let texts = cast(batch.column(at), &DataType::Utf8);
                let texts = texts.map_err(|source| AppError::Rows { source })?;
                Ok(texts.as_string::<i32>().clone())
            };
            let (values, countries) = (texts(1)?, texts(2)?);
            let is_closed = |row: &usize| {
                let country = countries.is_valid(*row).then(|| countries.value(*row));
                let region = region(country, default.as_deref());
                let tokens = tokens(&key, kind, tier, values.value(*row), region);
                tokens.iter().any(|token| closed.contains(token.as_str()))
            };
            let shares = in_shares(batch.num_rows(), FEWEST, |begin, count| {
                let rows = (begin..begin + count).filter(is_closed);
                let ids = rows.filter_map(|row| u64::try_from(ids.value(row)).ok());
                ids.collect::<Vec<_>>()
            });
            persons.extend(shares.into_iter().flatten());
        }
    }
    Ok(persons)
}

impl Suppressed {
    /// The persons for whom it holds; `None` where it is about an address.
    fn persons(&self, owners: &Owners) -> Option<RoaringTreemap> {
        let person = self.value.parse().ok();
        let person: u64 = person.filter(|_| self.kind == Kind::Person)?;
        Some(owners.of(person, &self.records, self.added_at))
    }
}

/// All entries.
pub async fn list(workspace: &Workspace) -> Result<Vec<Listed>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let owners = Owners::at(&lake, &state).await?;
    let listed = of(&lake, &state).await?.into_iter().map(|one| Listed {
        persons: one.persons(&owners).map(|ids| ids.iter().collect()),
        kind: one.kind,
        value: one.value,
        channel: one.channel,
        reason: one.reason,
        added_at: one.added_at,
    });
    Ok(listed.collect())
}

/// Adds e-mails, phones or ids of persons; how many were not there yet.
pub async fn add(
    workspace: &Workspace,
    values: &[String],
    channel: Option<Channel>,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<u64, AppError> {
    change(workspace, values, at, |list, wanted| {
        let is_known = |one: &Suppressed| wanted.is(one) && one.channel == channel;
        let Some(value) = wanted.values.first().filter(|_| !list.iter().any(is_known)) else {
            return false;
        };
        list.push(Suppressed {
            kind: wanted.kind,
            value: value.clone(),
            channel,
            reason: reason.map(str::to_owned),
            added_at: at,
            records: wanted.records.clone(),
        });
        true
    })
    .await
}

/// Takes entries away, of one channel or of all; how many of the values were there.
pub async fn remove(
    workspace: &Workspace,
    values: &[String],
    channel: Option<Channel>,
    at: Timestamp,
) -> Result<u64, AppError> {
    change(workspace, values, at, |list, wanted| {
        let before = list.len();
        let is_meant = |one: &Suppressed| channel.is_none() || one.channel == channel;
        list.retain(|one| !(wanted.is(one) && is_meant(one)));
        list.len() < before
    })
    .await
}

/// A value that is to be added or taken away.
struct Wanted {
    kind: Kind,
    /// What stands for it in the list; the first is what is added.
    values: Vec<String>,
    /// Of a person, their records.
    records: Vec<i64>,
}

impl Wanted {
    fn is(&self, one: &Suppressed) -> bool {
        one.kind == self.kind && self.values.contains(&one.value)
    }
}

async fn wanted(
    lake: &Lake,
    state: &State,
    list: &[Suppressed],
    values: &[String],
) -> Result<Vec<Wanted>, AppError> {
    let key = lake.token_key_or_new().await?;
    let default = state.settings()?.default_region;
    let owners = Owners::at(lake, state).await?;
    let now = |id: &str| owners.now(id.parse().ok()?);
    let (mut all, mut ids) = (Vec::new(), Vec::new());
    for text in values {
        let kind = Kind::of(text)?;
        let values = match kind.tier() {
            Some(tier) => tokens(&key, kind, tier, text, default.as_deref()),
            None => {
                let id = normalise::text(text).unwrap_or_default();
                let person = now(&id);
                // Of somebody who became another, it holds whichever id was given.
                let theirs = list.iter().filter(|one| one.kind == Kind::Person);
                let theirs = theirs.filter(|one| person.is_some() && now(&one.value) == person);
                let theirs: Vec<String> = theirs.map(|one| one.value.clone()).collect();
                ids.push(person.map_or(0, u64::cast_signed));
                std::iter::once(id).chain(theirs).collect()
            }
        };
        all.push(Wanted {
            kind,
            values,
            records: Vec::new(),
        });
    }
    let mut records = records_of(lake, state, &ids).await?;
    let of_persons = all.iter_mut().filter(|one| one.kind == Kind::Person);
    for (one, id) in of_persons.zip(ids).filter(|(_, id)| *id != 0) {
        one.records = records.remove(&id).unwrap_or_default();
    }
    Ok(all)
}

async fn change(
    workspace: &Workspace,
    values: &[String],
    at: Timestamp,
    mut one: impl FnMut(&mut Vec<Suppressed>, &Wanted) -> bool,
) -> Result<u64, AppError> {
    let lake = workspace.lake_or_new().await?;
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let mut list = of(&lake, &state).await?;
        let wanted = wanted(&lake, &state, &list, values).await?;
        let mut changed = 0;
        for wanted in &wanted {
            changed += u64::from(one(&mut list, wanted));
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
    use rollbook_identity::token::MatchRule;

    use super::{Kind, tokens};

    #[test]
    fn kind_of_suppression_follows_from_the_value() {
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
        for (text, kind) in [
            ("tel:+49 30 123456", Kind::Phone),
            ("+49\u{a0}30/123456", Kind::Phone),
            ("+49 30 123456 ext. 5", Kind::Phone),
            ("４１５-555-2671", Kind::Phone),
            (" １２ ", Kind::Person),
        ] {
            assert_eq!(Kind::of(text).unwrap(), kind, "{text}");
        }
        let of = |key: &[u8], text| tokens(key, Kind::Email, MatchRule::Email, text, None);
        assert_eq!(
            of(b"key", " Ann@Example.com "),
            of(b"key", "ann@example.com")
        );
        assert_ne!(
            of(b"key", "ann@example.com"),
            of(b"other", "ann@example.com")
        );
    }
}
