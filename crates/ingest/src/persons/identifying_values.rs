//! What names somebody who is to be forgotten, in texts and in rows that were refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use rollbook_identity::token::MatchRule;
use rollbook_lake::scan::read_file;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, State};
use rollbook_model::tables::{PERSONS, QUARANTINE};
use serde_json::Value;

use super::marks::Known;
use super::redact::redacted;
use super::standing::Standing;
use crate::IngestError;
use crate::identify::ContactIds;

/// A value shorter than this is not looked for.
const SHORTEST: usize = 5;
/// A phone number with fewer digits neither: it may be any number.
const FEWEST_DIGITS: usize = 7;

/// What names somebody.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// Each an address, a number, a name to show of several words, or a first and a last name
    /// together, in lower case.
    pub(super) values: Vec<Vec<String>>,
    /// How facts call them that have an address or a number of theirs alone.
    pub(super) contact_ids: BTreeSet<String>,
    /// How their providers call them, by provider.
    records: HashMap<String, HashSet<String>>,
}

/// What names the person of some records. A last name alone is a stranger's too, and so is an address
/// or a number that records of others have.
pub(super) async fn naming(
    lake: &Lake,
    base: &State,
    records: &[Standing],
    known: &Known,
) -> Result<Naming, IngestError> {
    let identities: HashSet<i64> = records.iter().map(|record| record.identity).collect();
    let mut naming = Naming::default();
    for record in records {
        if is_telling_id(&record.external_id) {
            let of_provider = naming
                .records
                .entry(record.provider.to_string())
                .or_default();
            of_provider.insert(record.external_id.to_string());
        }
    }
    let mut values = HashSet::new();
    // Without a key no fact was ever named so.
    let region = base.settings()?.default_region;
    let contact_ids = lake.token_key().await?;
    let contact_ids = contact_ids.map(|key| ContactIds::new(key, region));
    let countries = countries(lake, base, &identities).await?;
    let vault = Vault::new(lake, PERSONS);
    let decryptor = vault.decryptor().await?;
    for batch in vault.sealed().await? {
        let batch = batch?;
        let theirs = filter_record_batch(&batch, &theirs(&batch, &identities));
        let theirs = theirs.map_err(IngestError::rows(PERSONS.name, "looked through"))?;
        let batch = decryptor.open(&theirs)?;
        let ids = batch["identity_id"].as_primitive::<Int64Type>();
        let text = |name: &str, row: usize| {
            let column = batch[name].as_string::<i32>();
            let text = column.is_valid(row).then(|| column.value(row));
            text.map(|text| text.trim().to_lowercase())
        };
        for row in 0..batch.num_rows() {
            let record = ids.value(row);
            let is_own = |tier: MatchRule| known.is_own(&identities, record, tier);
            // What is everybody's is a mark of nobody.
            let is_mark =
                |tier: MatchRule| known.of(record).is_some_and(|marks| marks.of(tier) != 0);
            let email = text("email", row).filter(|_| is_own(MatchRule::Email));
            let phone = text("phone", row).filter(|_| is_own(MatchRule::Phone));
            let by_email = email.as_ref().filter(|_| is_mark(MatchRule::Email));
            let by_email = contact_ids.as_ref().zip(by_email);
            let by_email = by_email.map(|(ids, email)| ids.of_email(email));
            let by_phone = phone.as_ref().filter(|_| is_mark(MatchRule::Phone));
            let country = countries.get(&record).map_or("", String::as_str);
            let by_phone = contact_ids.as_ref().zip(by_phone);
            let by_phone = by_phone.and_then(|(ids, phone)| ids.of_phone(phone, country));
            naming
                .contact_ids
                .extend(by_email.into_iter().chain(by_phone));
            let digits = |text: &String| text.chars().filter(char::is_ascii_digit).count();
            let phone = phone.filter(|phone| digits(phone) >= FEWEST_DIGITS);
            let shown = text("display_name", row).filter(|name| name.contains(' '));
            let alone = [email, phone, shown].into_iter().flatten();
            values.extend(alone.map(|one| vec![one]));
            let names = text("first_name", row).zip(text("last_name", row));
            values.extend(names.map(|(first, last)| vec![first, last]));
        }
    }
    let is_telling = |value: &Vec<String>| value.iter().map(String::len).sum::<usize>() >= SHORTEST;
    values.retain(is_telling);
    naming.values = values.into_iter().collect();
    Ok(naming)
}

/// Which rows are of some records; none in a table that names no record.
pub(crate) fn theirs(batch: &RecordBatch, identities: &HashSet<i64>) -> BooleanArray {
    let Some(column) = batch.column_by_name("identity_id") else {
        return BooleanArray::from(vec![false; batch.num_rows()]);
    };
    let column = column.as_primitive::<Int64Type>().iter();
    column
        .map(|identity| Some(identity.is_some_and(|one| identities.contains(&one))))
        .collect()
}

/// The countries of some records.
async fn countries(
    lake: &Lake,
    base: &State,
    identities: &HashSet<i64>,
) -> Result<HashMap<i64, String>, IngestError> {
    let failed = IngestError::rows(PERSONS.name, "read");
    let mut countries = HashMap::new();
    for file in &base.table(PERSONS.name).files {
        let columns = ["identity_id", "country"];
        for batch in read_file(lake, PERSONS, file, Some(&columns)).await? {
            let batch = batch.map_err(&failed)?;
            let batch =
                filter_record_batch(&batch, &theirs(&batch, identities)).map_err(&failed)?;
            let ids = batch["identity_id"].as_primitive::<Int64Type>().values();
            let rows = ids.iter().zip(batch["country"].as_string::<i32>());
            countries.extend(rows.filter_map(|(id, country)| Some((*id, country?.to_owned()))));
        }
    }
    Ok(countries)
}

/// Whose rows were refused.
pub(super) struct Refused {
    providers: BTreeMap<String, String>,
}

impl Refused {
    pub(super) async fn at(lake: &Lake, state: &State) -> Result<Self, IngestError> {
        let mut providers = BTreeMap::new();
        for file in &state.table(QUARANTINE.name).files {
            let columns = ["quarantine_id", "provider"];
            for batch in read_file(lake, QUARANTINE, file, Some(&columns)).await? {
                let batch = batch.map_err(IngestError::rows(QUARANTINE.name, "read"))?;
                let text = |name: &str| batch[name].as_string::<i32>().iter().flatten();
                let rows = text("quarantine_id").zip(text("provider"));
                providers.extend(rows.map(|(id, provider)| (id.to_owned(), provider.to_owned())));
            }
        }
        Ok(Self { providers })
    }

    /// Which of some rows name somebody, by a value or as their provider calls them.
    pub(super) fn naming(&self, rows: &RecordBatch, naming: &Naming) -> BooleanArray {
        let text = |name: &str, row: usize| {
            let column = rows[name].as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let is_theirs = |row: usize| {
            let mut texts = ["value", "record"]
                .into_iter()
                .filter_map(|name| text(name, row));
            if texts.any(|text| redacted(text, &naming.values).is_some()) {
                return true;
            }
            let provider = self
                .providers
                .get(text("quarantine_id", row).unwrap_or_default());
            let ids = provider.and_then(|provider| naming.records.get(provider));
            let record = ids.zip(text("record", row));
            record.is_some_and(|(ids, record)| {
                let record = serde_json::from_str(record).unwrap_or(Value::Null);
                holds(&record, ids)
            })
        };
        (0..rows.num_rows())
            .map(|row| Some(is_theirs(row)))
            .collect()
    }
}

/// Whether a provider's name for somebody is unlikely to be another value: a short number is.
fn is_telling_id(id: &str) -> bool {
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    id.len() >= if is_number { SHORTEST } else { 2 }
}

/// Whether one of some texts is a value of a record as it stands.
fn holds(record: &Value, ids: &HashSet<String>) -> bool {
    match record {
        Value::String(text) => ids.contains(text.trim()),
        Value::Number(number) => ids.contains(&number.to_string()),
        Value::Array(all) => all.iter().any(|one| holds(one, ids)),
        Value::Object(fields) => fields.values().any(|one| holds(one, ids)),
        Value::Null | Value::Bool(_) => false,
    }
}
