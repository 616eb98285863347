//! Who was erased, so that they stay so when a provider sends them again.
//!
//! What is kept are HMACs under a key of their own of the record's name and of its tokens. Whoever has
//! that key and a guess can test the guess; nothing can be read from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::nullif;
use arrow::error::ArrowError;
use rollbook_identity::shared::Shared;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_lake::{Cause, Commit, Committed, IdentityChange, Lake, LakeError, State};
use rollbook_model::{ProviderName, TableDef, tables};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::decide::Decider;
use super::marks::{Marking, MatchKeys};
use super::{Entry, write_log};
use crate::IngestError;
use crate::canonical::PERSON;
use crate::identify::ContactIds;

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// The named value that says where the list lies.
pub(crate) const ERASED: &str = "identity/erased";

/// What is known of those who were erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasedList {
    pub(crate) tokens: BTreeSet<String>,
}

/// Tells who was erased.
pub(crate) struct Erased {
    key: Option<Tokens>,
    list: ErasedList,
    tokens: Tokens,
    region: Option<String>,
}

impl Erased {
    /// Those of a snapshot; `tokens` under the tenant's key.
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

    /// The records of a batch of persons that may come in; `None` where all may.
    pub(crate) fn admitted(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let key = self.key.as_ref()?;
        let marking = Marking {
            tokens: &self.tokens,
            shared: Shared::shipped(),
            region: self.region.as_deref(),
        };
        let providers = rows["provider"].as_string::<i32>();
        let ids = rows["external_id"].as_string::<i32>();
        let all: Vec<((), usize)> = (0..rows.num_rows()).map(|row| ((), row)).collect();
        let marks = marking.of_all(rows, &all).into_iter().enumerate();
        let is_admitted = |(row, (_, marks)): (usize, ((), MatchKeys))| {
            let id = match ids.is_valid(row) {
                true => ids.value(row),
                false => "",
            };
            let mut names = names(key, providers.value(row), id, &marks).into_iter();
            Some(!names.any(|name| self.list.tokens.contains(&name)))
        };
        let admitted: BooleanArray = marks.map(is_admitted).collect();
        (admitted.true_count() < rows.num_rows()).then_some(admitted)
    }

    /// A batch of facts where those of records that were erased are nobody's, without personal values;
    /// `None` where there are none.
    pub(crate) fn without_theirs(
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

/// Where the list of those who were erased lies at a snapshot.
pub(crate) fn place_of_list(state: &State) -> Result<Option<String>, LakeError> {
    state.value(ERASED)
}

/// What is known at a snapshot of those who were erased.
pub(crate) async fn list(lake: &Lake, state: &State) -> Result<ErasedList, LakeError> {
    match state.value::<String>(ERASED)? {
        Some(path) => lake.document(&path).await,
        None => Ok(ErasedList::default()),
    }
}

/// What stands for a record and for its values.
pub(crate) fn names(key: &Tokens, provider: &str, id: &str, marks: &MatchKeys) -> Vec<String> {
    let values = marks.values.iter().filter(|value| **value != 0);
    let values = values.map(|value| value_name(key, *value));
    let record = record_name(key, provider, id);
    std::iter::once(record).chain(values).collect()
}

fn record_name(key: &Tokens, provider: &str, id: &str) -> String {
    let name = key.of_kind("record", &format!("{provider}\0{id}"));
    name.to_string()
}

/// What stands for a record that any provider may name by an address or a number alone.
pub(crate) fn contact_name(key: &Tokens, contact_id: &str) -> String {
    key.of_kind("contact", contact_id).to_string()
}

fn value_name(key: &Tokens, value: u128) -> String {
    key.of_kind("value", &format!("{value:x}")).to_string()
}

/// Lets somebody who was erased come in again, by the records and the values in normal form that they
/// may come with.
/// How many of these stood in the way.
pub async fn readmit(
    lake: &Lake,
    records: &[(ProviderName, String)],
    values: &[(MatchRule, String)],
    decider: &Decider,
) -> Result<u64, IngestError> {
    for _ in 0..ATTEMPTS {
        let base = lake.head().await?;
        let Some(key) = lake.erasure_key().await? else {
            return Ok(0);
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
        for (tier, value) in values {
            let name = value_name(&key, tokens.of(*tier, value).0);
            let contact = contact_ids.of_normal(*tier, value);
            let contact = contact.map(|id| contact_name(&key, &id));
            let removed = list.tokens.remove(&name);
            let removed = contact.is_some_and(|name| list.tokens.remove(&name)) || removed;
            count += u64::from(removed);
        }
        if count == 0 || decider.dry_run {
            return Ok(count);
        }
        let path = lake.put_content("_identity/erased", &list).await?;
        let entry = Entry {
            id: None,
            action: "readmitted",
            identity: None,
            from: None,
            to: None,
            rule: None,
            cause: None,
            evidence: json!({ "by": decider.by, "names": count }),
        };
        let log = write_log(lake, &[entry], decider.at).await?;
        let cause = Cause::Identity {
            done: format!("{count} names of somebody erased admitted again"),
            change: IdentityChange::Merge,
        };
        let named = BTreeMap::from([(ERASED.to_owned(), Some(json!(path)))]);
        let mut commit = Commit::of_names(cause, decider.at, named);
        commit.tables.insert(tables::IDENTITY_LOG.name, log);
        if let Committed::Done(_) = lake.commit(&base, commit).await? {
            return Ok(count);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// The key of a lake, made when it is first needed.
pub(crate) async fn key(lake: &Lake) -> Result<Tokens, LakeError> {
    let key: Arc<[u8]> = lake.erasure_key_or_new().await?;
    Ok(Tokens::new(&key))
}
