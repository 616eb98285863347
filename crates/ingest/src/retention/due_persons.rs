//! The persons whose personal values have been kept for long enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use roaring::RoaringTreemap;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{Lake, State};
use rollbook_model::table::Shape;
use rollbook_model::{TableDef, tables};

use crate::IngestError;
use crate::persons::erasure;
use crate::retention::Lines;

/// The persons who go.
#[derive(Debug, Default)]
pub(super) struct DuePersons {
    /// Those who were not seen for long.
    pub(super) unseen: BTreeSet<i64>,
    /// The others, whose `data_retention_date` has passed.
    pub(super) past: BTreeSet<i64>,
    /// How many would go if they were not under legal hold.
    pub(super) held: u64,
}

impl DuePersons {
    pub(super) async fn at(
        lake: &Lake,
        base: &State,
        lines: &Lines,
        held: &RoaringTreemap,
    ) -> Result<Self, IngestError> {
        let mut due = Self::default();
        if lines.unseen.is_none() && lines.past.is_none() {
            return Ok(due);
        }
        let owners = owners(lake, base).await?;
        if let Some(line) = lines.unseen {
            let seen = by_person(&owners, last_seen(lake, base).await?);
            let old = seen.iter().filter(|(_, at)| **at < line.micros());
            due.unseen = old.map(|(person, _)| *person).collect();
        }
        if let Some(day) = lines.past {
            let last = by_person(&owners, last_days(lake, base).await?);
            let past = last.iter().filter(|(_, last)| **last < i64::from(day));
            due.past = past.map(|(person, _)| *person).collect();
            due.past = &due.past - &due.unseen;
        }
        let before = due.unseen.len() + due.past.len();
        let is_free = |person: &i64| !held.contains(person.cast_unsigned());
        due.unseen.retain(is_free);
        due.past.retain(is_free);
        due.held = (before - due.unseen.len() - due.past.len()) as u64;
        Ok(due)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = i64> {
        self.unseen.iter().chain(&self.past).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unseen.is_empty() && self.past.is_empty()
    }
}

/// The person of each record, without erased ones.
async fn owners(lake: &Lake, base: &State) -> Result<HashMap<i64, i64>, IngestError> {
    let erased = erasure::erased_records(lake, base).await?;
    let mut owners = HashMap::new();
    let def = tables::IDENTITIES;
    for file in &base.table(def.name).files {
        let columns = ["identity_id", "person_id"];
        for batch in read_file(lake, def, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(def.name, "read"))?;
            let [identities, persons] =
                columns.map(|name| batch[name].as_primitive::<Int64Type>().values().clone());
            let rows = identities.iter().copied().zip(persons.iter().copied());
            let is_whose =
                |(identity, person): &(i64, i64)| *person > 0 && !erased.contains(identity);
            owners.extend(rows.filter(is_whose));
        }
    }
    Ok(owners)
}

/// The greatest value of the records of each person.
fn by_person(owners: &HashMap<i64, i64>, values: HashMap<i64, i64>) -> BTreeMap<i64, i64> {
    let mut greatest: BTreeMap<i64, i64> = BTreeMap::new();
    for (identity, value) in values {
        if let Some(person) = owners.get(&identity) {
            let known = greatest.entry(*person).or_insert(value);
            *known = value.max(*known);
        }
    }
    greatest
}

/// The columns with a time at which a record was seen.
fn sightings(def: &TableDef) -> Vec<&'static str> {
    match def.shape {
        Shape::Fact => def.time.into_iter().collect(),
        Shape::Person => vec!["created_at", "updated_at", "last_seen_at"],
        Shape::Own if def.name == tables::IDENTITIES.name => vec!["first_seen_at", "last_seen_at"],
        Shape::Own | Shape::Reference => Vec::new(),
    }
}

/// When each record was last seen: its own times, and those of its facts.
async fn last_seen(lake: &Lake, base: &State) -> Result<HashMap<i64, i64>, IngestError> {
    let mut seen: HashMap<i64, i64> = HashMap::new();
    for def in tables::TABLES {
        let times = sightings(def);
        if times.is_empty() {
            continue;
        }
        let columns: Vec<&str> = std::iter::once("identity_id")
            .chain(times.clone())
            .collect();
        for file in &base.table(def.name).files {
            for batch in read_file(lake, def, file, Some(&columns)).await? {
                let batch = batch.map_err(IngestError::rows(def.name, "read"))?;
                let identities = batch["identity_id"].as_primitive::<Int64Type>();
                for time in &times {
                    let times = batch[*time].as_primitive::<TimestampMicrosecondType>();
                    let rows = identities.iter().zip(times.iter());
                    for (identity, at) in rows.filter_map(|(identity, at)| identity.zip(at)) {
                        let known = seen.entry(identity).or_insert(at);
                        *known = at.max(*known);
                    }
                }
            }
        }
    }
    Ok(seen)
}

/// The `data_retention_date` of the records that have one.
async fn last_days(lake: &Lake, base: &State) -> Result<HashMap<i64, i64>, IngestError> {
    let mut days = HashMap::new();
    let def = tables::PERSONS;
    for file in &base.table(def.name).files {
        let columns = ["identity_id", "data_retention_date"];
        for batch in read_file(lake, def, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(def.name, "read"))?;
            let identities = batch["identity_id"].as_primitive::<Int64Type>().iter();
            let last = batch["data_retention_date"].as_primitive::<Date32Type>();
            let rows = identities.zip(last.iter());
            days.extend(rows.filter_map(|(identity, day)| Some((identity?, i64::from(day?)))));
        }
    }
    Ok(days)
}
