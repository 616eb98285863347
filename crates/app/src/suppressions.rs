//! Suppression list: e-mail addresses, phone numbers and persons that must not be contacted.
//!
//! Addresses and numbers are stored as keyed hashes, so that the list holds none in the clear and also
//! applies to persons ingested later.

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
use rollbook_ingest::persons::owners::{Owners, records_of};
use rollbook_lake::{Cause, Commit, Lake, State, Update};
use rollbook_model::Timestamp;
use rollbook_model::shares::in_shares;
use rollbook_queries::persons::{EMAILS, PHONES};
use rollbook_segments::Channel;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use crate::identity::normal_form::{forms, region};
use crate::{AppError, Workspace};

const NAME: &str = "suppressions";
/// Minimum rows per thread.
const MIN_ROWS_PER_THREAD: usize = 512;
/// Label that separates these hashes from other uses of the tenant's key.
const PURPOSE: &[u8] = b"rollbook suppression 1\0";

/// What an entry suppresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A person, by person id.
    Person,
}

impl SuppressionKind {
    /// Its name in files and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Person => "person",
        }
    }

    /// Classifies a text: an e-mail address has an `@`; a phone number begins with `+` or `0`, or has
    /// characters beside digits; other digits are a person id.
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

    /// The rule that defines its normal form; `None` for a person.
    fn rule(self) -> Option<MatchRule> {
        match self {
            Self::Email => Some(MatchRule::Email),
            Self::Phone => Some(MatchRule::Phone),
            Self::Person => None,
        }
    }
}

/// An entry of the stored list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// What it suppresses.
    pub kind: SuppressionKind,
    /// The keyed hash of an address or number, or a person id.
    pub value: String,
    /// The suppressed channel; all channels if `None`.
    pub channel: Option<Channel>,
    /// The reason.
    pub reason: Option<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// For a person, their records at that time: the entry follows these records if they are moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<i64>,
}

/// An entry with the persons that it applies to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSuppression {
    /// What it suppresses.
    pub kind: SuppressionKind,
    /// The keyed hash of an address or number, or the person id as given.
    pub value: String,
    /// The suppressed channel; all channels if `None`.
    pub channel: Option<Channel>,
    /// The reason.
    pub reason: Option<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// For a person id, the persons that it applies to now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persons: Option<Vec<u64>>,
}

/// Reference from a snapshot to the stored list.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    path: String,
}

/// The list at a snapshot.
async fn read_list(lake: &Lake, state: &State) -> Result<Vec<Suppressed>, AppError> {
    match state.value::<Pointer>(NAME)? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Ok(Vec::new()),
    }
}

/// The keyed hash of one form of a value.
fn token(key: &[u8], kind: SuppressionKind, form: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(PURPOSE);
    mac.update(kind.name().as_bytes());
    mac.update(&[0]);
    mac.update(form.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The keyed hashes of all forms of a value, the normal form first.
fn tokens(
    key: &[u8],
    kind: SuppressionKind,
    rule: MatchRule,
    text: &str,
    region: Option<&str>,
) -> Vec<String> {
    let forms = forms(rule, text, region).into_iter();
    forms.map(|form| token(key, kind, &form)).collect()
}

/// The persons in `among` who are suppressed for a channel. A suppressed address applies to every person
/// who has it in any of their records.
pub(crate) async fn suppressed_persons(
    workspace: &Workspace,
    (lake, state): (&Lake, &State),
    among: &RoaringTreemap,
    channel: Channel,
    as_of: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    let mut list = read_list(lake, state).await?;
    list.retain(|one| one.channel.is_none_or(|only| only == channel));
    let mut persons = RoaringTreemap::new();
    if list.iter().any(|one| one.kind != SuppressionKind::Person) {
        let among = Some(Arc::new(among.clone()));
        let session = workspace
            .session_of_records(lake, state, as_of, among)
            .await?;
        persons = persons_with_values(lake, state, &session, &list).await?;
    }
    if list.iter().any(|one| one.kind == SuppressionKind::Person) {
        let owners = Owners::at(lake, state).await?;
        for one in &list {
            persons |= one.persons(&owners).unwrap_or_default();
        }
    }
    Ok(persons)
}

/// The persons with a suppressed address or number. In the session, `persons` has one row per record.
async fn persons_with_values(
    lake: &Lake,
    state: &State,
    session: &Session,
    list: &[Suppressed],
) -> Result<RoaringTreemap, AppError> {
    let mut persons = RoaringTreemap::new();
    let default = state.settings()?.default_region;
    for (kind, sql) in [
        (SuppressionKind::Email, EMAILS),
        (SuppressionKind::Phone, PHONES),
    ] {
        let of_kind = list.iter().filter(|one| one.kind == kind);
        let suppressed: BTreeSet<&str> = of_kind.map(|one| one.value.as_str()).collect();
        let Some(rule) = kind.rule().filter(|_| !suppressed.is_empty()) else {
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
            let is_suppressed = |row: &usize| {
                let country = countries.is_valid(*row).then(|| countries.value(*row));
                let region = region(country, default.as_deref());
                let tokens = tokens(&key, kind, rule, values.value(*row), region);
                tokens
                    .iter()
                    .any(|token| suppressed.contains(token.as_str()))
            };
            let shares = in_shares(batch.num_rows(), MIN_ROWS_PER_THREAD, |begin, count| {
                let rows = (begin..begin + count).filter(is_suppressed);
                let ids = rows.filter_map(|row| u64::try_from(ids.value(row)).ok());
                ids.collect::<Vec<_>>()
            });
            persons.extend(shares.into_iter().flatten());
        }
    }
    Ok(persons)
}

impl Suppressed {
    /// The persons that it applies to; `None` for an address or number.
    fn persons(&self, owners: &Owners) -> Option<RoaringTreemap> {
        let person = self.value.parse().ok();
        let person: u64 = person.filter(|_| self.kind == SuppressionKind::Person)?;
        Some(owners.of(person, &self.records, self.added_at))
    }
}

/// All entries.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn list(workspace: &Workspace) -> Result<Vec<ListedSuppression>, AppError> {
    workspace.require("suppressions::list")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let owners = Owners::at(&lake, &state).await?;
    let listed = read_list(&lake, &state)
        .await?
        .into_iter()
        .map(|one| ListedSuppression {
            persons: one.persons(&owners).map(|ids| ids.iter().collect()),
            kind: one.kind,
            value: one.value,
            channel: one.channel,
            reason: one.reason,
            added_at: one.added_at,
        });
    Ok(listed.collect())
}

/// Adds e-mail addresses, phone numbers or person ids; returns the number of new entries.
///
/// # Errors
/// [`AppError::NotSuppressible`]; the lake cannot be written; other writers win every attempt to commit.
pub async fn add(
    workspace: &Workspace,
    values: &[String],
    channel: Option<Channel>,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<u64, AppError> {
    workspace.require("suppressions::add")?;
    change(workspace, values, at, |list, target| {
        let is_known = |one: &Suppressed| target.matches(one) && one.channel == channel;
        let Some(value) = target.values.first().filter(|_| !list.iter().any(is_known)) else {
            return false;
        };
        list.push(Suppressed {
            kind: target.kind,
            value: value.clone(),
            channel,
            reason: reason.map(str::to_owned),
            added_at: at,
            records: target.records.clone(),
        });
        true
    })
    .await
}

/// Removes entries of one channel, or of all; returns the number of values that had entries.
///
/// # Errors
/// [`AppError::NotSuppressible`]; the lake cannot be written; other writers win every attempt to commit.
pub async fn remove(
    workspace: &Workspace,
    values: &[String],
    channel: Option<Channel>,
    at: Timestamp,
) -> Result<u64, AppError> {
    workspace.require("suppressions::remove")?;
    change(workspace, values, at, |list, target| {
        let before = list.len();
        let is_in_channel = |one: &Suppressed| channel.is_none() || one.channel == channel;
        list.retain(|one| !(target.matches(one) && is_in_channel(one)));
        list.len() < before
    })
    .await
}

/// A value to add or remove.
struct Target {
    kind: SuppressionKind,
    /// The values that represent it in the list; the first one is stored.
    values: Vec<String>,
    /// For a person, their records.
    records: Vec<i64>,
}

impl Target {
    fn matches(&self, one: &Suppressed) -> bool {
        one.kind == self.kind && self.values.contains(&one.value)
    }
}

async fn resolve_targets(
    lake: &Lake,
    state: &State,
    list: &[Suppressed],
    values: &[String],
) -> Result<Vec<Target>, AppError> {
    let key = lake.token_key_or_new().await?;
    let default = state.settings()?.default_region;
    let owners = Owners::at(lake, state).await?;
    let now = |id: &str| owners.now(id.parse().ok()?);
    let (mut all, mut ids) = (Vec::new(), Vec::new());
    for text in values {
        let kind = SuppressionKind::of(text)?;
        let values = match kind.rule() {
            Some(rule) => tokens(&key, kind, rule, text, default.as_deref()),
            None => {
                let id = normalise::text(text).unwrap_or_default();
                let person = now(&id);
                // For a merged person, entries with either id match.
                let theirs = list
                    .iter()
                    .filter(|one| one.kind == SuppressionKind::Person);
                let theirs = theirs.filter(|one| person.is_some() && now(&one.value) == person);
                let theirs: Vec<String> = theirs.map(|one| one.value.clone()).collect();
                ids.push(person.map_or(0, u64::cast_signed));
                std::iter::once(id).chain(theirs).collect()
            }
        };
        all.push(Target {
            kind,
            values,
            records: Vec::new(),
        });
    }
    let mut records = records_of(lake, state, &ids).await?;
    let of_persons = all
        .iter_mut()
        .filter(|one| one.kind == SuppressionKind::Person);
    for (one, id) in of_persons.zip(ids).filter(|(_, id)| *id != 0) {
        one.records = records.remove(&id).unwrap_or_default();
    }
    Ok(all)
}

async fn change(
    workspace: &Workspace,
    values: &[String],
    at: Timestamp,
    edit: impl Fn(&mut Vec<Suppressed>, &Target) -> bool,
) -> Result<u64, AppError> {
    let lake = workspace.lake_or_new().await?;
    let (lake, edit) = (&lake, &edit);
    let update = |state: Arc<State>| async move {
        let mut list = read_list(lake, &state).await?;
        let targets = resolve_targets(lake, &state, &list, values).await?;
        let mut changed = 0;
        for target in &targets {
            changed += u64::from(edit(&mut list, target));
        }
        if changed == 0 {
            return Ok(Update::Keep(0));
        }
        let path = lake.put_content("_definitions/suppressions", &list).await?;
        let named = BTreeMap::from([(NAME.to_owned(), Some(json!(Pointer { path })))]);
        let cause = Cause::Define {
            name: NAME.to_owned(),
        };
        let commit = Commit::of_names(cause, at, named);
        Ok::<_, AppError>(Update::commit(commit, changed))
    };
    lake.update(update).await
}

#[cfg(test)]
mod tests {
    use rollbook_identity::token::MatchRule;

    use super::{SuppressionKind, tokens};

    #[test]
    fn texts_are_classified_as_email_phone_or_person_id() {
        for (text, kind) in [
            ("ann@example.com", SuppressionKind::Email),
            ("+49 30 123456", SuppressionKind::Phone),
            ("030123456", SuppressionKind::Phone),
            ("415-555-2671", SuppressionKind::Phone),
            ("12", SuppressionKind::Person),
            ("12345678", SuppressionKind::Person),
        ] {
            assert_eq!(SuppressionKind::of(text).unwrap(), kind, "{text}");
        }
        for nonsense in ["", "ann", "0", "12a", "+49"] {
            assert!(SuppressionKind::of(nonsense).is_err(), "{nonsense}");
        }
        for (text, kind) in [
            ("tel:+49 30 123456", SuppressionKind::Phone),
            ("+49\u{a0}30/123456", SuppressionKind::Phone),
            ("+49 30 123456 ext. 5", SuppressionKind::Phone),
            ("４１５-555-2671", SuppressionKind::Phone),
            (" １２ ", SuppressionKind::Person),
        ] {
            assert_eq!(SuppressionKind::of(text).unwrap(), kind, "{text}");
        }
        let of =
            |key: &[u8], text| tokens(key, SuppressionKind::Email, MatchRule::Email, text, None);
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
