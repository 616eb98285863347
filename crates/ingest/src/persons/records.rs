//! Records of persons in the lake: their person, and the order in which they are resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use rollbook_identity::resolve::{Order, authority};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{DataFile, Lake, State};
use rollbook_model::tables::IDENTITIES;
use sha2::{Digest, Sha256};

use crate::IngestError;
use crate::persons::component::Component;
use crate::rows::identities::Identities;

/// A record of a person.
#[derive(Debug, Clone)]
pub(crate) struct PersonRecord {
    pub(crate) identity: i64,
    pub(crate) provider: Arc<str>,
    pub(crate) external_id: Box<str>,
    pub(crate) order: Order,
    /// Its person in the lake; 0 for none.
    pub(crate) before: i64,
    /// Its person if nothing links it.
    pub(crate) person: i64,
    /// Whether the lake does not have it as a record of a person yet.
    pub(crate) is_new: bool,
    /// Persons without records to which it once belonged.
    pub(crate) former_persons: Vec<i64>,
}

fn order(provider: &str, external_id: &str, created: Option<i64>) -> Order {
    let digest: [u8; 32] = Sha256::digest(external_id.as_bytes()).into();
    Order {
        authority: authority(provider),
        created: created.unwrap_or(i64::MAX),
        provider: 0,
        digest: digest[..16].try_into().expect("a digest is 32 bytes"),
    }
}

/// The records of persons that are new with a run.
fn of_run(identities: &Identities) -> BTreeMap<i64, PersonRecord> {
    let persons = identities.new.iter().filter(|new| new.ids.person != 0);
    let new = persons.map(|new| {
        let record = PersonRecord {
            identity: new.ids.identity,
            provider: Arc::clone(&new.provider),
            // Callers that display it read it from the lake.
            external_id: Box::default(),
            order: order(&new.provider, &new.external_id, new.first_seen),
            before: 0,
            person: new.ids.person,
            is_new: true,
            former_persons: Vec::new(),
        };
        (new.ids.identity, record)
    });
    new.collect()
}

/// The records of a connected component, from the lake and from a run.
pub(crate) async fn of_component(
    lake: &Lake,
    base: &State,
    component: &Component,
    identities: Option<&Identities>,
) -> Result<Vec<PersonRecord>, IngestError> {
    let mut records = identities.map(of_run).unwrap_or_default();
    records.retain(|identity, _| component.identities.contains(identity));
    if records.len() == component.identities.len() {
        return Ok(records.into_values().collect());
    }
    let is_wanted = |identity: i64, _: i64| component.identities.contains(&identity);
    for mut record in read(lake, &base.table(IDENTITIES.name).files, is_wanted).await? {
        // Facts named it before: it gets its person with this run.
        if let Some(given) =
            identities.and_then(|identities| identities.linked.get(&record.identity))
        {
            (record.person, record.is_new) = (*given, true);
        }
        records.insert(record.identity, record);
    }
    remember(lake, base, &mut records).await?;
    Ok(records.into_values().collect())
}

/// Sets the former persons of moved records, if these have no records now: a person who gets records back
/// keeps the id.
async fn remember(
    lake: &Lake,
    base: &State,
    records: &mut BTreeMap<i64, PersonRecord>,
) -> Result<(), IngestError> {
    let Some(moves) = lake.identity_remap(base).await? else {
        return Ok(());
    };
    for (identity, record) in records.iter_mut() {
        let homes = moves.get(*identity).map(|moved| moved.homes.clone());
        record.former_persons = homes.unwrap_or_default();
    }
    let former_persons: BTreeSet<i64> = records
        .values()
        .flat_map(|one| one.former_persons.clone())
        .collect();
    if former_persons.is_empty() {
        return Ok(());
    }
    let held = read(lake, &base.table(IDENTITIES.name).files, |_, person| {
        former_persons.contains(&person)
    })
    .await?;
    let held: BTreeSet<i64> = held.iter().map(|record| record.before).collect();
    for record in records.values_mut() {
        record
            .former_persons
            .retain(|person| *person != 0 && !held.contains(person));
    }
    Ok(())
}

/// The records of these persons.
pub(crate) async fn of_persons(
    lake: &Lake,
    base: &State,
    persons: &[i64],
) -> Result<Vec<PersonRecord>, IngestError> {
    read(lake, &base.table(IDENTITIES.name).files, |_, person| {
        persons.contains(&person)
    })
    .await
}

/// The records with these ids.
pub(crate) async fn of_records(
    lake: &Lake,
    base: &State,
    records: &[i64],
) -> Result<Vec<PersonRecord>, IngestError> {
    read(lake, &base.table(IDENTITIES.name).files, |identity, _| {
        records.contains(&identity)
    })
    .await
}

/// All records of the person to whom a record belongs.
pub(crate) async fn around(
    lake: &Lake,
    base: &State,
    identity: i64,
) -> Result<Vec<PersonRecord>, IngestError> {
    let one = read(lake, &base.table(IDENTITIES.name).files, |known, _| {
        known == identity
    })
    .await?;
    let one = one.first().ok_or(IngestError::NoRecord { identity })?;
    match one.before {
        0 => Ok(vec![one.clone()]),
        person => of_persons(lake, base, &[person]).await,
    }
}

/// The records in these files that `is_wanted` accepts, called with record id and person id.
pub(crate) async fn read(
    lake: &Lake,
    files: &[DataFile],
    is_wanted: impl Fn(i64, i64) -> bool,
) -> Result<Vec<PersonRecord>, IngestError> {
    let mut found = Vec::new();
    let mut last: Arc<str> = Arc::from("");
    for file in files {
        for batch in read_file(lake, IDENTITIES, file, None).await? {
            let batch = batch.map_err(IngestError::rows(IDENTITIES.name, "read"))?;
            let identities = batch["identity_id"].as_primitive::<Int64Type>();
            let persons = batch["person_id"].as_primitive::<Int64Type>();
            let providers = batch["provider"].as_string::<i32>();
            let external_ids = batch["external_id"].as_string::<i32>();
            let seen = batch["first_seen_at"].as_primitive::<TimestampMicrosecondType>();
            for (row, identity) in identities.values().iter().enumerate() {
                if !is_wanted(*identity, persons.value(row)) {
                    continue;
                }
                if *last != *providers.value(row) {
                    last = Arc::from(providers.value(row));
                }
                let created = seen.is_valid(row).then(|| seen.value(row));
                found.push(PersonRecord {
                    identity: *identity,
                    external_id: Box::from(external_ids.value(row)),
                    provider: Arc::clone(&last),
                    order: order(&last, external_ids.value(row), created),
                    before: persons.value(row),
                    person: persons.value(row),
                    is_new: false,
                    former_persons: Vec::new(),
                });
            }
        }
    }
    Ok(found)
}
