//! The list of erased persons, so that ingest does not bring them back.
//!
//! It holds HMACs, under a key of its own, of each record's name and tokens. With that key a guess can be
//! tested against them, but nothing can be read from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::nullif;
use arrow::error::ArrowError;
use rollbook_identity::shared::Shared;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_lake::{Cause, Commit, IdentityChange, Lake, LakeError, State, Update};
use rollbook_model::{ProviderName, TableDef, tables};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::IngestError;
use crate::persons::decisions::Decider;
use crate::persons::log::{self, LogEntry};
use crate::persons::match_keys::{MatchKeyMaker, MatchKeys};
use crate::rows::canonical::PERSON;
use crate::rows::contact_ids::ContactIds;

/// The named value with the path of the list.
pub(crate) const ERASED: &str = "identity/erased";

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasedList {
    pub(crate) tokens: BTreeSet<String>,
    /// The number of erased records that are not in the list. With it the list differs after each erasure,
    /// by which a running ingest notices it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unlisted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Finds rows of erased persons.
pub(crate) struct ErasureFilter {
    key: Option<Tokens>,
    list: ErasedList,
    tokens: Tokens,
    region: Option<String>,
}

impl ErasureFilter {
    /// Loads the list of a snapshot; `tokens` are derived with the tenant's key.
    pub(crate) async fn at(lake: &Lake, state: &State, tokens: Tokens) -> Result<Self, LakeError> {
        let list = list(lake, state).await?;
        let key = match list.tokens.is_empty() {
            true => None,
            false => lake.erasure_key().await?,
        };
        Ok(Self {
            key: key.map(|key| Tokens::new(&key)),
            list,
            tokens,
            region: state.settings()?.default_region,
        })
    }

    /// Which records of a batch belong to persons who were not erased; `None` if all do.
    pub(crate) fn admitted(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let key = self.key.as_ref()?;
        let maker = MatchKeyMaker {
            tokens: &self.tokens,
            shared: Shared::shipped(),
            region: self.region.as_deref(),
        };
        let providers = rows["provider"].as_string::<i32>();
        let ids = rows["external_id"].as_string::<i32>();
        let all: Vec<((), usize)> = (0..rows.num_rows()).map(|row| ((), row)).collect();
        let keys = maker.of_all(rows, &all).into_iter().enumerate();
        let is_admitted = |(row, (_, keys)): (usize, ((), MatchKeys))| {
            let id = match ids.is_valid(row) {
                true => ids.value(row),
                false => "",
            };
            let mut names = names(key, providers.value(row), id, &keys).into_iter();
            Some(!names.any(|name| self.list.tokens.contains(&name)))
        };
        let admitted: BooleanArray = keys.map(is_admitted).collect();
        (admitted.true_count() < rows.num_rows()).then_some(admitted)
    }

    /// A batch of facts in which rows of erased persons have no person and no personal values; `None` if
    /// there are no such rows.
    pub(crate) fn without_persons_of_erased(
        &self,
        def: &TableDef,
        rows: &RecordBatch,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let providers = rows["provider"].as_string::<i32>();
        let records = rows[PERSON].as_string::<i32>();
        let is_theirs = |(provider, record): (Option<&str>, Option<&str>)| {
            let record = record?;
            let name = record_name(key, provider.unwrap_or_default(), record);
            let is_named = |name: &String| self.list.tokens.contains(name);
            Some(is_named(&name) || is_named(&contact_name(key, record)))
        };
        let theirs: BooleanArray = providers.iter().zip(records).map(is_theirs).collect();
        if theirs.true_count() == 0 {
            return Ok(None);
        }
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| {
            let name = field.name().as_str();
            let is_personal = def.column(name).is_some_and(|column| column.personal);
            match is_personal || name == PERSON {
                true => nullif(&rows[name], &theirs),
                false => Ok(ArrayRef::clone(&rows[name])),
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&schema), columns).map(Some)
    }
}

/// The path of the list at a snapshot.
pub(crate) fn list_path(state: &State) -> Result<Option<String>, LakeError> {
    state.value(ERASED)
}

/// Reads the list at a snapshot.
pub(crate) async fn list(lake: &Lake, state: &State) -> Result<ErasedList, LakeError> {
    match state.value::<String>(ERASED)? {
        Some(path) => lake.document(&path).await,
        None => Ok(ErasedList::default()),
    }
}

/// The list entries of a record and of its values.
pub(crate) fn names(key: &Tokens, provider: &str, id: &str, keys: &MatchKeys) -> Vec<String> {
    let values = keys.values.iter().filter(|value| **value != 0);
    let values = values.map(|value| value_name(key, *value));
    let record = record_name(key, provider, id);
    std::iter::once(record).chain(values).collect()
}

fn record_name(key: &Tokens, provider: &str, id: &str) -> String {
    let name = key.of_kind("record", &format!("{provider}\0{id}"));
    name.to_string()
}

/// The list entry of a contact id, which is the same for all providers.
pub(crate) fn contact_name(key: &Tokens, contact_id: &str) -> String {
    key.of_kind("contact", contact_id).to_string()
}

fn value_name(key: &Tokens, value: u128) -> String {
    key.of_kind("value", &format!("{value:x}")).to_string()
}

/// Removes entries from the list of erased persons, so that ingest accepts their records again: the given
/// records, and records with the given values (in normal form). Returns the number of removed entries.
///
/// # Errors
/// [`IngestError::Lake`] where the lake cannot be read or written, or other writers were faster 10 times.
pub async fn readmit(
    lake: &Lake,
    records: &[(ProviderName, String)],
    values: &[(MatchRule, String)],
    decider: &Decider,
) -> Result<u64, IngestError> {
    let update = |base: Arc<State>| async move {
        let Some(key) = lake.erasure_key().await? else {
            return Ok(Update::Keep(0));
        };
        let key = Tokens::new(&key);
        let tenants = lake.token_key_or_new().await?;
        let tokens = Tokens::new(&tenants);
        let contact_ids = ContactIds::new(tenants, None);
        let mut list = list(lake, &base).await?;
        let mut count = 0;
        for (provider, id) in records {
            let name = record_name(&key, provider.as_str(), id);
            count += u64::from(list.tokens.remove(&name));
        }
        for (match_rule, value) in values {
            let name = value_name(&key, tokens.of(*match_rule, value).0);
            let contact = contact_ids.of_normal(*match_rule, value);
            let contact = contact.map(|id| contact_name(&key, &id));
            let removed = list.tokens.remove(&name);
            let removed = contact.is_some_and(|name| list.tokens.remove(&name)) || removed;
            count += u64::from(removed);
        }
        if count == 0 || decider.dry_run {
            return Ok(Update::Keep(count));
        }
        let path = lake.put_content("_identity/erased", &list).await?;
        let entry = LogEntry {
            id: None,
            action: "readmitted",
            identity: None,
            from: None,
            to: None,
            rule: None,
            cause: None,
            evidence: json!({ "by": decider.by, "names": count }),
        };
        let log = log::write(lake, &[entry], decider.at).await?;
        let cause = Cause::Identity {
            done: format!("{count} names of somebody erased admitted again"),
            change: IdentityChange::Merge,
        };
        let named = BTreeMap::from([(ERASED.to_owned(), Some(json!(path)))]);
        let mut commit = Commit::of_names(cause, decider.at, named);
        commit.tables.insert(tables::IDENTITY_LOG.name, log);
        Ok::<_, IngestError>(Update::commit(commit, count))
    };
    lake.update(update).await
}

/// The key of the list, which is created on first use.
pub(crate) async fn key(lake: &Lake) -> Result<Tokens, LakeError> {
    let key: Arc<[u8]> = lake.erasure_key_or_new().await?;
    Ok(Tokens::new(&key))
}
