//! Values that identify a person who is being erased, for redacting texts and rows in quarantine.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use rollbook_identity::token::MatchRule;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, State};
use rollbook_model::tables::{PERSONS, QUARANTINE};
use serde_json::Value;

use crate::IngestError;
use crate::persons::match_keys::MatchKeyIndex;
use crate::persons::records::PersonRecord;
use crate::persons::redact::redacted;
use crate::rows::contact_ids::ContactIds;

/// Shorter values are not redacted.
const SHORTEST: usize = 5;
/// Phone numbers with fewer digits are not redacted, since they may be any number.
const FEWEST_DIGITS: usize = 7;

/// Values that identify a person.
#[derive(Debug, Default)]
pub(crate) struct IdentifyingValues {
    /// Each is an address, a number, a display name of several words, or a first and a last name, in lower
    /// case.
    pub(crate) values: Vec<Vec<String>>,
    /// External ids derived from their addresses and numbers.
    pub(crate) contact_ids: BTreeSet<String>,
    /// Their external ids, by provider.
    records: HashMap<String, HashSet<String>>,
}

/// The values that identify the person of these records: no last name alone, and no address or number that
/// records of other persons have.
pub(crate) async fn identifying_values(
    lake: &Lake,
    base: &State,
    records: &[PersonRecord],
    known: &MatchKeyIndex,
) -> Result<IdentifyingValues, IngestError> {
    let identities: HashSet<i64> = records.iter().map(|record| record.identity).collect();
    let mut naming = IdentifyingValues::default();
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
    // Without a key no fact has a contact id.
    let region = base.settings()?.default_region;
    let contact_ids = lake.token_key().await?;
    let contact_ids = contact_ids.map(|key| ContactIds::new(key, region));
    let countries = countries(lake, base, &identities).await?;
    let vault = Vault::new(lake, PERSONS);
    let decryptor = vault.decryptor().await?;
    for batch in vault.sealed().await? {
        let batch = batch?;
        let theirs = filter_record_batch(&batch, &rows_of(&batch, &identities));
        let theirs = theirs.map_err(IngestError::rows(PERSONS.name, "scanned"))?;
        let batch = decryptor.open(&theirs)?;
        let ids = batch["identity_id"].as_primitive::<Int64Type>();
        let text = |name: &str, row: usize| {
            let column = batch[name].as_string::<i32>();
            let text = column.is_valid(row).then(|| column.value(row));
            text.map(|text| text.trim().to_lowercase())
        };
        for row in 0..batch.num_rows() {
            let record = ids.value(row);
            let is_own = |match_rule: MatchRule| known.is_own(&identities, record, match_rule);
            // Values shared by many identify nobody.
            let is_mark = |match_rule: MatchRule| {
                known
                    .of(record)
                    .is_some_and(|keys| keys.of(match_rule) != 0)
            };
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

/// Which rows belong to these records; none in a table without records.
pub(crate) fn rows_of(batch: &RecordBatch, identities: &HashSet<i64>) -> BooleanArray {
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
                filter_record_batch(&batch, &rows_of(&batch, identities)).map_err(&failed)?;
            let ids = batch["identity_id"].as_primitive::<Int64Type>().values();
            let rows = ids.iter().zip(batch["country"].as_string::<i32>());
            countries.extend(rows.filter_map(|(id, country)| Some((*id, country?.to_owned()))));
        }
    }
    Ok(countries)
}

/// The providers of the rows in quarantine.
pub(crate) struct QuarantineProviders {
    providers: BTreeMap<String, String>,
}

impl QuarantineProviders {
    pub(crate) async fn at(lake: &Lake, state: &State) -> Result<Self, IngestError> {
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

    /// Which rows identify the person by a value or an external id.
    pub(crate) fn naming(&self, rows: &RecordBatch, naming: &IdentifyingValues) -> BooleanArray {
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

/// Whether an external id is unlikely to be some other value, as a short number would be.
fn is_telling_id(id: &str) -> bool {
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    id.len() >= if is_number { SHORTEST } else { 2 }
}

/// Whether a value of the record equals one of these texts.
fn holds(record: &Value, ids: &HashSet<String>) -> bool {
    match record {
        Value::String(text) => ids.contains(text.trim()),
        Value::Number(number) => ids.contains(&number.to_string()),
        Value::Array(all) => all.iter().any(|one| holds(one, ids)),
        Value::Object(fields) => fields.values().any(|one| holds(one, ids)),
        Value::Null | Value::Bool(_) => false,
    }
}
