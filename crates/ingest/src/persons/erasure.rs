//! The mechanism of erasure: rows of persons and their personal values are deleted, facts stay without a
//! name. Erasing a person and retention use it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use rollbook_identity::token::{MatchRule, Token};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, State, TableChange};
use rollbook_model::{TableDef, Timestamp, tables};
use serde_json::{Value, json};

use crate::IngestError;
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

/// Changes of tables and named values.
pub(crate) type Changes = (
    BTreeMap<&'static str, TableChange>,
    BTreeMap<String, Option<Value>>,
);

/// Whether records of an erased person may be ingested again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    /// They are refused.
    Refused,
    /// They are another person.
    AsAnother,
}

/// Persons who are being erased.
pub(crate) struct Erasure {
    /// Their records.
    pub(crate) records: Vec<PersonRecord>,
    identities: HashSet<i64>,
    known: MatchKeyIndex,
    naming: IdentifyingValues,
}

impl Erasure {
    /// The erasure of some persons.
    pub(crate) async fn of(
        lake: &Lake,
        base: &State,
        persons: &[i64],
    ) -> Result<Self, IngestError> {
        let persons: HashSet<i64> = persons.iter().copied().filter(|one| *one != 0).collect();
        let files = &base.table(tables::IDENTITIES.name).files;
        let records = match persons.is_empty() {
            true => Vec::new(),
            false => records::read(lake, files, |_, person| persons.contains(&person)).await?,
        };
        Self::of_records(lake, base, records).await
    }

    /// The erasure of all persons who are erased already, to repeat one that was interrupted.
    pub(crate) async fn again(lake: &Lake, state: &State) -> Result<Self, IngestError> {
        let erased = erased_records(lake, state).await?;
        let records = match erased.is_empty() {
            true => Vec::new(),
            false => {
                let files = &state.table(tables::IDENTITIES.name).files;
                records::read(lake, files, |identity, _| erased.contains(&identity)).await?
            }
        };
        Self::of_records(lake, state, records).await
    }

    async fn of_records(
        lake: &Lake,
        base: &State,
        records: Vec<PersonRecord>,
    ) -> Result<Self, IngestError> {
        let identities: HashSet<i64> = records.iter().map(|record| record.identity).collect();
        let known = MatchKeyIndex::load(lake).await?;
        let naming = match records.is_empty() {
            true => IdentifyingValues::default(),
            false => identifying_values(lake, base, &records, &known).await?,
        };
        Ok(Self {
            records,
            identities,
            known,
            naming,
        })
    }

    /// How many personal values will be deleted, by table.
    pub(crate) async fn values(
        &self,
        lake: &Lake,
        base: &State,
    ) -> Result<BTreeMap<&'static str, u64>, IngestError> {
        Ok(Self::count_values(&self.vault_keys(lake, base).await?))
    }

    /// The same for the keys of these rows.
    pub(crate) fn count_values(
        keys: &[(&'static TableDef, Vec<RecordBatch>)],
    ) -> BTreeMap<&'static str, u64> {
        let count = |keys: &[RecordBatch]| keys.iter().map(RecordBatch::num_rows).sum::<usize>();
        let counts = keys
            .iter()
            .map(|(def, keys)| (def.name, count(keys) as u64));
        counts.collect()
    }

    /// How many rows will be deleted as a whole, by table.
    pub(crate) async fn rows(
        &self,
        lake: &Lake,
        base: &State,
    ) -> Result<BTreeMap<&'static str, u64>, IngestError> {
        let mut rows = BTreeMap::new();
        for name in WHOLE.iter().filter(|_| !self.records.is_empty()) {
            let def = tables::table(name).expect("it is a canonical table");
            let mut count = 0;
            for file in &base.table(def.name).files {
                for batch in read_file(lake, def, file, Some(&["identity_id"])).await? {
                    let batch = batch.map_err(IngestError::rows(def.name, "read"))?;
                    count += rows_of(&batch, &self.identities).true_count() as u64;
                }
            }
            if count > 0 {
                rows.insert(def.name, count);
            }
        }
        Ok(rows)
    }

    /// The keys of their personal values, and of rows in quarantine that name them, by table.
    pub(crate) async fn vault_keys(
        &self,
        lake: &Lake,
        base: &State,
    ) -> Result<Vec<(&'static TableDef, Vec<RecordBatch>)>, IngestError> {
        match self.records.is_empty() {
            true => Ok(Vec::new()),
            false => keys(lake, base, &self.identities, &self.naming).await,
        }
    }

    /// The ids of their records.
    pub(crate) fn identities(&self) -> &HashSet<i64> {
        &self.identities
    }

    /// The ids of the rows in quarantine that name them.
    pub(crate) async fn quarantined(
        &self,
        lake: &Lake,
        base: &State,
    ) -> Result<HashSet<String>, IngestError> {
        let all = keys(lake, base, &HashSet::new(), &self.naming).await?;
        let of_quarantine = all.iter().filter(|(def, _)| **def == *tables::QUARANTINE);
        let batches = of_quarantine.flat_map(|(_, batches)| batches);
        let ids = batches.flat_map(|batch| batch["quarantine_id"].as_string::<i32>().iter());
        Ok(ids.flatten().map(str::to_owned).collect())
    }

    /// Whether a text names them.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        redacted(text, &self.naming.values).is_some()
    }

    /// The changes of tables and named values.
    pub(crate) async fn changes(
        &self,
        lake: &Lake,
        base: &State,
        again: Return,
        evidence: &Value,
        at: Timestamp,
    ) -> Result<Changes, IngestError> {
        let mut list = list(lake, base).await?;
        match again {
            Return::Refused => {
                let key = key(lake).await?;
                for record in &self.records {
                    // Other persons may still be ingested with a value that they share.
                    let match_keys = own(&self.known, &self.identities, record.identity);
                    list.tokens.extend(names(
                        &key,
                        &record.provider,
                        &record.external_id,
                        &match_keys,
                    ));
                }
                let contacts = self.naming.contact_ids.iter();
                list.tokens
                    .extend(contacts.map(|id| contact_name(&key, id)));
            }
            Return::AsAnother => list.unlisted += self.records.len() as u64,
        }
        let path = lake.put_content("_identity/erased", &list).await?;
        let mut changes = BTreeMap::new();
        for name in WHOLE {
            let def = tables::table(name).expect("it is a canonical table");
            changes.insert(def.name, without(lake, base, def, &self.identities).await?);
        }
        let def = tables::IDENTITIES;
        changes.insert(def.name, nameless(lake, base, &self.identities).await?);
        let log: Vec<LogEntry> = self
            .records
            .iter()
            .map(|record| LogEntry {
                id: None,
                action: "erased",
                identity: Some(record.identity),
                from: Some(record.before),
                to: Some(0),
                rule: None,
                cause: None,
                evidence: evidence.clone(),
            })
            .collect();
        changes.insert(tables::IDENTITY_LOG.name, log::write(lake, &log, at).await?);
        changes.retain(|_, change| !change.is_empty());
        let persons: BTreeSet<i64> = self.records.iter().map(|record| record.before).collect();
        let mut named = without_records::after_erasure(lake, base, &persons).await?;
        named.insert(ERASED.to_owned(), Some(json!(path)));
        Ok((changes, named))
    }

    /// Deletes the values and their keys, and redacts texts, after the commit; returns the number of
    /// redacted texts.
    pub(crate) async fn finish(mut self, lake: &Lake, base: &State) -> Result<u64, IngestError> {
        let mut texts = 0;
        // The vault comes last: as long as it has the values, an interrupted erasure can be repeated.
        let tokens = own_tokens(&self.identities, &self.known);
        self.naming.values.extend(tokens);
        for folder in TEXTS {
            let changed =
                lake.rewrite_documents(folder, |text| redacted(text, &self.naming.values));
            texts += changed.await?;
        }
        let entries = lake.rewrite_entries(|text| redacted(text, &self.naming.values));
        texts += entries.await?;
        // Values that a run wrote meanwhile go too: it notices the erasure before it commits.
        forget(lake, base, &self.identities, &self.naming).await?;
        Ok(texts)
    }
}

/// The ids of the rows in quarantine that name a person.
///
/// # Errors
/// [`IngestError::Lake`] where the table or its vault cannot be read.
pub async fn named_in_quarantine(
    lake: &Lake,
    state: &State,
    person: i64,
) -> Result<HashSet<String>, IngestError> {
    let erasure = Erasure::of(lake, state, &[person]).await?;
    erasure.quarantined(lake, state).await
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
