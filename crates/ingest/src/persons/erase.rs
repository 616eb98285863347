//! Erasing a person: identifying values are deleted, facts stay without a name.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use rollbook_identity::token::{MatchRule, Token};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Cause, Commit, IdentityChange, Lake, State, TableChange, Update};
use rollbook_model::{SnapshotNumber, TableDef, tables};
use serde::Serialize;
use serde_json::json;

use crate::IngestError;
use crate::persons::decisions::Decider;
use crate::persons::erasure_list::{ERASED, contact_name, key, list, names};
use crate::persons::identifying_values::{
    IdentifyingValues, QuarantineProviders, identifying_values, rows_of,
};
use crate::persons::log::{self, LogEntry};
use crate::persons::match_keys::{MatchKeyIndex, MatchKeys};
use crate::persons::records::{self, PersonRecord};
use crate::persons::redact::redacted;
use crate::persons::without_records;

/// Tables whose rows are deleted as a whole.
const WHOLE: [&str; 2] = ["persons", "addresses"];
/// Folders of documents whose texts are redacted.
const TEXTS: [&str; 3] = ["_definitions", "_answers", "_identity"];

/// What an erasure deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The person.
    pub person_id: i64,
    /// Records that were theirs.
    pub records: u64,
    /// Deleted rows of personal values, by table.
    pub values: BTreeMap<&'static str, u64>,
    /// Redacted texts: criteria, blocked values, and rows that wait or were refused. A dry run does not count
    /// them.
    pub texts: u64,
    /// The snapshot of it.
    pub snapshot: SnapshotNumber,
}

/// Erases a person: deletes the values that identify them, and keeps their orders and other facts as those of
/// an anonymous person. With `decider.dry_run` it only counts what would be deleted.
///
/// # Errors
/// [`IngestError::NoPerson`] where the person has no records; [`IngestError::Lake`] where the lake or its
/// vault cannot be read or written, or other writers were faster 10 times.
pub async fn erase(lake: &Lake, person: i64, decider: &Decider) -> Result<Forgotten, IngestError> {
    let update = |base: Arc<State>| async move {
        let records = match person {
            0 => Vec::new(),
            person => records::of_persons(lake, &base, &[person]).await?,
        };
        if records.is_empty() {
            return Err(IngestError::NoPerson { person });
        }
        let identities: HashSet<i64> = records.iter().map(|record| record.identity).collect();
        let known = MatchKeyIndex::load(lake).await?;
        let naming = identifying_values(lake, &base, &records, &known).await?;
        let mut forgotten = Forgotten {
            person_id: person,
            records: records.len() as u64,
            values: BTreeMap::new(),
            texts: 0,
            snapshot: base.number,
        };
        let keys = keys(lake, &base, &identities, &naming).await?;
        for (def, keys) in &keys {
            let count: usize = keys.iter().map(RecordBatch::num_rows).sum();
            forgotten.values.insert(def.name, count as u64);
        }
        if decider.dry_run {
            return Ok(Update::Keep((forgotten, None)));
        }
        let commit = commit_of(lake, &base, person, &records, &known, &naming, decider).await?;
        forgotten.snapshot = base.number.next();
        let rest = (base, identities, known, naming);
        Ok(Update::commit(commit, (forgotten, Some(rest))))
    };
    let (mut forgotten, rest) = lake.update(update).await?;
    let Some((base, identities, known, mut naming)) = rest else {
        return Ok(forgotten);
    };
    // The vault comes last: as long as it has the values, an interrupted erasure can be repeated.
    naming.values.extend(own_tokens(&identities, &known));
    for folder in TEXTS {
        let changed = lake.rewrite_documents(folder, |text| redacted(text, &naming.values));
        forgotten.texts += changed.await?;
    }
    let entries = lake.rewrite_entries(|text| redacted(text, &naming.values));
    forgotten.texts += entries.await?;
    // Values that a run wrote meanwhile go too: it notices the erasure before it commits.
    forget(lake, &base, &identities, &naming).await?;
    Ok(forgotten)
}

/// Deletes personal values that a run wrote for persons who were erased while it ran.
pub(crate) async fn forget_again(lake: &Lake, state: &State) -> Result<(), IngestError> {
    let identities = erased_records(lake, state).await?;
    forget(lake, state, &identities, &IdentifyingValues::default()).await
}

/// The records of all erased persons.
pub(crate) async fn erased_records(
    lake: &Lake,
    state: &State,
) -> Result<HashSet<i64>, IngestError> {
    let mut identities = HashSet::new();
    let columns = ["identity_id", "external_id"];
    for file in &state.table(tables::IDENTITIES.name).files {
        for batch in read_file(lake, tables::IDENTITIES, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(tables::IDENTITIES.name, "read"))?;
            let ids = batch["identity_id"].as_primitive::<Int64Type>();
            let names = batch["external_id"].as_string::<i32>();
            let rows = ids.values().iter().zip(names);
            let erased = rows.filter(|(id, name)| *name == Some(nameless_name(**id).as_str()));
            identities.extend(erased.map(|(id, _)| *id));
        }
    }
    Ok(identities)
}

/// Deletes the values and keys of these records.
async fn forget(
    lake: &Lake,
    state: &State,
    identities: &HashSet<i64>,
    naming: &IdentifyingValues,
) -> Result<(), IngestError> {
    for (def, keys) in keys(lake, state, identities, naming).await? {
        Vault::new(lake, def).erase(&keys).await?;
    }
    let identities: Vec<i64> = identities.iter().copied().collect();
    Ok(lake.forget_keys(&identities).await?)
}

/// The external id of an erased record.
fn nameless_name(identity: i64) -> String {
    format!("erased:{identity}")
}

async fn commit_of(
    lake: &Lake,
    base: &State,
    person: i64,
    records: &[PersonRecord],
    known: &MatchKeyIndex,
    naming: &IdentifyingValues,
    decider: &Decider,
) -> Result<Commit, IngestError> {
    let key = key(lake).await?;
    let mut list = list(lake, base).await?;
    let identities: HashSet<i64> = records.iter().map(|record| record.identity).collect();
    for record in records {
        // Other persons may still be ingested with a value that they share.
        let match_keys = own(known, &identities, record.identity);
        list.tokens.extend(names(
            &key,
            &record.provider,
            &record.external_id,
            &match_keys,
        ));
    }
    let contacts = naming.contact_ids.iter();
    list.tokens
        .extend(contacts.map(|id| contact_name(&key, id)));
    let path = lake.put_content("_identity/erased", &list).await?;
    let mut changes = BTreeMap::new();
    for name in WHOLE {
        let def = tables::table(name).expect("it is a canonical table");
        changes.insert(def.name, without(lake, base, def, &identities).await?);
    }
    let def = tables::IDENTITIES;
    changes.insert(def.name, nameless(lake, base, &identities).await?);
    let log: Vec<LogEntry> = records
        .iter()
        .map(|record| LogEntry {
            id: None,
            action: "erased",
            identity: Some(record.identity),
            from: Some(person),
            to: Some(0),
            rule: None,
            cause: None,
            evidence: json!({ "by": decider.by }),
        })
        .collect();
    changes.insert(
        tables::IDENTITY_LOG.name,
        log::write(lake, &log, decider.at).await?,
    );
    changes.retain(|_, change| !change.is_empty());
    let mut named = without_records::after_erasure(lake, base, person).await?;
    named.insert(ERASED.to_owned(), Some(json!(path)));
    Ok(Commit {
        cause: Cause::Identity {
            done: format!("person {person} erased"),
            change: IdentityChange::Erasure,
        },
        at: decider.at,
        tables: changes,
        touched: [person.unsigned_abs()].into_iter().collect(),
        named,
        idempotency_keys: Vec::new(),
    })
}

/// Rewrites the files with rows of these records, changed by `change`.
async fn rewritten(
    lake: &Lake,
    base: &State,
    def: &'static TableDef,
    identities: &HashSet<i64>,
    mut change: impl FnMut(&RecordBatch, &BooleanArray) -> Result<RecordBatch, arrow::error::ArrowError>,
) -> Result<TableChange, IngestError> {
    let failed = IngestError::rows(def.name, "rewritten");
    let mut done = TableChange::default();
    for file in &base.table(def.name).files {
        let (mut any, mut batches) = (false, Vec::new());
        for batch in read_file(lake, def, file, None).await? {
            let batch = batch.map_err(&failed)?;
            let theirs = rows_of(&batch, identities);
            any |= theirs.true_count() > 0;
            batches.push(change(&batch, &theirs).map_err(&failed)?);
        }
        if any {
            let mut writer = TableWriter::new(lake, def);
            for batch in &batches {
                writer.write(batch).await?;
            }
            done.removes.push(file.clone());
            done.adds.extend(writer.finish().await?);
        }
    }
    Ok(done)
}

async fn without(
    lake: &Lake,
    base: &State,
    def: &'static TableDef,
    identities: &HashSet<i64>,
) -> Result<TableChange, IngestError> {
    rewritten(lake, base, def, identities, |batch, theirs| {
        filter_record_batch(batch, &arrow::compute::not(theirs)?)
    })
    .await
}

/// Rewrites the records without their external ids.
async fn nameless(
    lake: &Lake,
    base: &State,
    identities: &HashSet<i64>,
) -> Result<TableChange, IngestError> {
    rewritten(
        lake,
        base,
        tables::IDENTITIES,
        identities,
        |batch, theirs| {
            let ids = batch["identity_id"].as_primitive::<Int64Type>();
            let names = batch["external_id"].as_string::<i32>();
            let name = |row: usize| match theirs.value(row) {
                true => nameless_name(ids.value(row)),
                false => names.value(row).to_owned(),
            };
            let names: StringArray = (0..batch.num_rows()).map(|row| Some(name(row))).collect();
            let schema = batch.schema();
            let columns = schema
                .fields()
                .iter()
                .map(|field| match field.name().as_str() {
                    "external_id" => Arc::new(names.clone()) as ArrayRef,
                    name => ArrayRef::clone(&batch[name]),
                });
            RecordBatch::try_new(Arc::clone(&schema), columns.collect())
        },
    )
    .await
}

/// The match keys of a record that no record of another person has.
fn own(known: &MatchKeyIndex, identities: &HashSet<i64>, identity: i64) -> MatchKeys {
    let mut match_keys = known.of(identity).unwrap_or_default();
    for (match_rule, value) in MatchRule::ALL.into_iter().zip(&mut match_keys.values) {
        if !known.is_own(identities, identity, match_rule) {
            *value = 0;
        }
    }
    match_keys
}

/// Tokens of the values that no other person has.
fn own_tokens(identities: &HashSet<i64>, known: &MatchKeyIndex) -> Vec<Vec<String>> {
    let mut tokens = Vec::new();
    for identity in identities {
        let own = own(known, identities, *identity).values.into_iter();
        let own = own.filter(|token| *token != 0);
        tokens.extend(own.map(|token| vec![Token(token).to_string()]));
    }
    tokens
}

/// The vault keys of all their personal values, and of rows in quarantine that name them.
async fn keys(
    lake: &Lake,
    state: &State,
    identities: &HashSet<i64>,
    naming: &IdentifyingValues,
) -> Result<Vec<(&'static TableDef, Vec<RecordBatch>)>, IngestError> {
    let mut all = Vec::new();
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let failed = IngestError::rows(def.name, "scanned");
        let mut found = Vec::new();
        let vault = Vault::new(lake, def);
        let refused = match def.name == tables::QUARANTINE.name {
            true => Some((
                vault.decryptor().await?,
                QuarantineProviders::at(lake, state).await?,
            )),
            false => None,
        };
        for batch in vault.sealed().await? {
            let batch = batch?;
            let theirs = match (batch.column_by_name("identity_id"), &refused) {
                (Some(_), _) => rows_of(&batch, identities),
                (None, Some((decryptor, refused))) => {
                    refused.naming(&decryptor.open(&batch)?, naming)
                }
                (None, None) => continue,
            };
            if theirs.true_count() > 0 {
                found.push(filter_record_batch(&batch, &theirs).map_err(&failed)?);
            }
        }
        if !found.is_empty() {
            all.push((def, found));
        }
    }
    Ok(all)
}
