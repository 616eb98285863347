//! Where records stand: whose they are, and in which order they are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use rollbook_identity::resolve::{Order, authority};
use rollbook_lake::scan::read_file;
use rollbook_lake::{DataFile, Lake, State};
use rollbook_model::tables::IDENTITIES;
use sha2::{Digest, Sha256};

use super::component::Component;
use crate::IngestError;
use crate::people::People;

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) identity: i64,
    pub(crate) provider: Arc<str>,
    pub(crate) external_id: Box<str>,
    pub(crate) order: Order,
    /// Whose it is in the lake; 0 for nobody.
    pub(crate) before: i64,
    /// Whose it would be if nothing linked it.
    pub(crate) person: i64,
    /// Whether nobody has seen this record of a person before.
    pub(crate) is_new: bool,
    /// Persons without records whose it was once.
    pub(crate) once: Vec<i64>,
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
fn of_run(people: &People) -> BTreeMap<i64, Standing> {
    let persons = people.new.iter().filter(|new| new.ids.person != 0);
    let new = persons.map(|new| {
        let standing = Standing {
            identity: new.ids.identity,
            provider: Arc::clone(&new.provider),
            // Whoever shows it reads it from the lake.
            external_id: Box::default(),
            order: order(&new.provider, &new.external_id, new.first_seen),
            before: 0,
            person: new.ids.person,
            is_new: true,
            once: Vec::new(),
        };
        (new.ids.identity, standing)
    });
    new.collect()
}

/// How the records of a component stand in the lake, and those of a run beside them.
pub(crate) async fn standing(
    lake: &Lake,
    base: &State,
    component: &Component,
    people: Option<&People>,
) -> Result<Vec<Standing>, IngestError> {
    let mut records = people.map(of_run).unwrap_or_default();
    records.retain(|identity, _| component.identities.contains(identity));
    if records.len() == component.identities.len() {
        return Ok(records.into_values().collect());
    }
    let is_wanted = |identity: i64, _: i64| component.identities.contains(&identity);
    for mut standing in read(lake, &base.table(IDENTITIES.name).files, is_wanted).await? {
        // Facts named it before: it gets its person with this run.
        if let Some(given) = people.and_then(|people| people.linked.get(&standing.identity)) {
            (standing.person, standing.is_new) = (*given, true);
        }
        records.insert(standing.identity, standing);
    }
    remember(lake, base, &mut records).await?;
    Ok(records.into_values().collect())
}

/// Notes whose moved records were, of those who have none now: who comes back is who they were.
async fn remember(
    lake: &Lake,
    base: &State,
    records: &mut BTreeMap<i64, Standing>,
) -> Result<(), IngestError> {
    let Some(moves) = lake.moves(base).await? else {
        return Ok(());
    };
    for (identity, standing) in records.iter_mut() {
        let homes = moves.of(*identity).map(|moved| moved.homes.clone());
        standing.once = homes.unwrap_or_default();
    }
    let once: BTreeSet<i64> = records.values().flat_map(|one| one.once.clone()).collect();
    if once.is_empty() {
        return Ok(());
    }
    let held = read(lake, &base.table(IDENTITIES.name).files, |_, person| {
        once.contains(&person)
    })
    .await?;
    let held: BTreeSet<i64> = held.iter().map(|record| record.before).collect();
    for standing in records.values_mut() {
        standing
            .once
            .retain(|person| *person != 0 && !held.contains(person));
    }
    Ok(())
}

/// The records of some persons.
pub(crate) async fn of_persons(
    lake: &Lake,
    base: &State,
    persons: &[i64],
) -> Result<Vec<Standing>, IngestError> {
    read(lake, &base.table(IDENTITIES.name).files, |_, person| {
        persons.contains(&person)
    })
    .await
}

/// Some records.
pub(crate) async fn of_records(
    lake: &Lake,
    base: &State,
    records: &[i64],
) -> Result<Vec<Standing>, IngestError> {
    read(lake, &base.table(IDENTITIES.name).files, |identity, _| {
        records.contains(&identity)
    })
    .await
}

/// The records of the person that one belongs to, itself among them.
pub(crate) async fn around(
    lake: &Lake,
    base: &State,
    identity: i64,
) -> Result<Vec<Standing>, IngestError> {
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

/// The records in the lake that are wanted, by their ids and those of their persons.
pub(crate) async fn read(
    lake: &Lake,
    files: &[DataFile],
    is_wanted: impl Fn(i64, i64) -> bool,
) -> Result<Vec<Standing>, IngestError> {
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
                found.push(Standing {
                    identity: *identity,
                    external_id: Box::from(external_ids.value(row)),
                    provider: Arc::clone(&last),
                    order: order(&last, external_ids.value(row), created),
                    before: persons.value(row),
                    person: persons.value(row),
                    is_new: false,
                    once: Vec::new(),
                });
            }
        }
    }
    Ok(found)
}
