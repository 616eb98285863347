//! The identity and the person of each staged row: known ones from the lake, new ones with reserved ids.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use rollbook_lake::snapshot::ids::{IdKind, reserve};
use rollbook_lake::table::key_index::{hash_of, key_of, look_up};
use rollbook_lake::table::provider::{read_file, read_rows};
use rollbook_lake::{Lake, State};
use rollbook_model::{Shape, Timestamp, tables};

use crate::IngestError;
use crate::rows::canonical::records;
use crate::rows::identity::{Identity, KeyMap, NOBODY};
use crate::rows::stage::Stage;

/// The columns of `identities` that rows are linked by.
const IDENTITY: [&str; 5] = [
    "identity_id",
    "person_id",
    "provider",
    "external_id",
    "last_seen_at",
];
/// Identities are looked up by key if a run refers to fewer than one in this many.
const FEW: u64 = 4;

/// A record of a person that is new, or was known only from facts and had no person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewIdentity {
    pub(crate) ids: Identity,
    pub(crate) provider: Arc<str>,
    pub(crate) external_id: Box<str>,
    pub(crate) first_seen: Option<i64>,
    pub(crate) last_seen: Option<i64>,
    is_person: bool,
    /// The order in which ids are assigned: records of persons before facts, then by position in the run,
    /// then by key, since one line of a source can have several records.
    place: (usize, u64, u128),
}

/// All identities that the rows of a run can refer to.
pub(crate) struct Identities {
    known: KeyMap<Identity>,
    /// Identities that are new with this run, in the order of their ids.
    pub(crate) new: Vec<NewIdentity>,
    /// Person by identity, for identities known from facts that get their person with this run.
    pub(crate) linked: HashMap<i64, i64>,
    /// Person by identity, for identities that move to another person; rows of facts are not rewritten.
    pub(crate) moved: BTreeMap<i64, i64>,
}

/// The sorted hashes of the records that staged rows refer to; `None` if there are more than `most`.
fn referred(stages: &[&Stage], most: u64) -> Option<Vec<u64>> {
    let records = stages.iter().map(|stage| stage.referred.len() as u64);
    if records.sum::<u64>() > most {
        return None;
    }
    let records = stages.iter().flat_map(|stage| stage.referred.keys());
    let mut hashes: Vec<u64> = records.map(|key| hash_of(*key)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    Some(hashes)
}

impl Identities {
    /// No new identities, and existing ones that move to other persons.
    pub(crate) fn moving(moved: BTreeMap<i64, i64>) -> Self {
        Self {
            known: KeyMap::default(),
            new: Vec::new(),
            linked: HashMap::new(),
            moved,
        }
    }

    /// Finds or creates the identities of all staged rows. A dry run reserves no ids.
    pub(crate) async fn resolve(
        lake: &Lake,
        state: &State,
        stages: &[&Stage],
        at: Timestamp,
        dry_run: bool,
    ) -> Result<Self, IngestError> {
        let mut identities = Self::moving(BTreeMap::new());
        if !stages.iter().any(|stage| stage.def.is_personal_fact()) {
            return Ok(identities);
        }
        identities.load(lake, state, stages).await?;
        let mut wanted = identities.wanted(stages)?;
        let is_new = |record: &&NewIdentity| !identities.known.contains_key(&record.place.2);
        let new_identities = wanted.iter().filter(is_new).count() as u64;
        let persons = wanted.iter().filter(|record| record.is_person).count() as u64;
        let (mut identity, mut person) = (i64::MAX / 2, i64::MAX / 2);
        if !dry_run {
            if new_identities > 0 {
                identity = reserve(lake, IdKind::Identity, new_identities, at).await?;
            }
            if persons > 0 {
                person = reserve(lake, IdKind::Person, persons, at).await?;
            }
        }
        wanted.retain_mut(|record| {
            let (_, _, key) = record.place;
            if record.is_person {
                record.ids.person = person;
                person += 1;
            }
            let before = identities.known.get(&key).copied();
            match before {
                Some(before) => {
                    record.ids.identity = before.identity;
                    record.ids.seen = before.seen;
                    identities.linked.insert(before.identity, record.ids.person);
                }
                None => {
                    record.ids.identity = identity;
                    identity += 1;
                }
            }
            identities.known.insert(key, record.ids);
            before.is_none()
        });
        identities.new = wanted;
        Ok(identities)
    }

    /// The identity of each row of a staged batch that names a record.
    pub(crate) fn find(&self, stage: &Stage, batch: &RecordBatch) -> Vec<Option<Identity>> {
        let mut buffer = Vec::new();
        let provider = batch["provider"].as_string::<i32>();
        let record = records(stage.def, batch);
        (0..batch.num_rows())
            .map(|row| {
                let record = record.is_valid(row).then(|| record.value(row))?;
                let key = key_of([provider.value(row), record], &mut buffer);
                self.known.get(&key).copied()
            })
            .collect()
    }

    /// Sets the persons of records from the result of the resolution.
    pub(crate) fn assign(&mut self, persons: &BTreeMap<i64, i64>) {
        if persons.is_empty() {
            return;
        }
        for ids in self.known.values_mut() {
            if let Some(person) = persons.get(&ids.identity) {
                ids.person = *person;
            }
        }
        let mut is_known: BTreeMap<i64, i64> = persons.clone();
        for new in &mut self.new {
            if let Some(person) = is_known.remove(&new.ids.identity) {
                new.ids.person = person;
            }
        }
        for (identity, person) in &is_known {
            if self.linked.remove(identity).is_some() && *person != 0 {
                self.linked.insert(*identity, *person);
            }
        }
        is_known.retain(|identity, _| !self.linked.contains_key(identity));
        self.moved = is_known;
    }

    /// Identity and person of each row of a staged batch.
    pub(crate) fn of_rows(&self, stage: &Stage, batch: &RecordBatch) -> (ArrayRef, ArrayRef) {
        let found = self.find(stage, batch).into_iter();
        let found: Vec<Identity> = found.map(|ids| ids.unwrap_or(NOBODY)).collect();
        let identities: Int64Array = found.iter().map(|ids| ids.identity).collect();
        let persons: Int64Array = found.iter().map(|ids| ids.person).collect();
        (Arc::new(identities), Arc::new(persons))
    }

    /// The identities in the lake that staged rows refer to, or all of them if there are many.
    async fn load(
        &mut self,
        lake: &Lake,
        state: &State,
        stages: &[&Stage],
    ) -> Result<(), IngestError> {
        let table = state.table(tables::IDENTITIES.name);
        let few = referred(stages, table.rows() / FEW);
        for file in &table.files {
            let rows = match &few {
                Some(hashes) => look_up(lake, tables::IDENTITIES, file, hashes).await?,
                None => None,
            };
            let columns = Some(&IDENTITY[..]);
            let reader = match rows {
                Some(rows) => {
                    let mut rows: Vec<u32> = rows.into_iter().map(|(row, _)| row).collect();
                    rows.dedup();
                    read_rows(lake, tables::IDENTITIES, file, &rows, columns).await?
                }
                None => read_file(lake, tables::IDENTITIES, file, columns).await?,
            };
            for batch in reader {
                self.know(&batch.map_err(IngestError::rows("identities", "read"))?);
            }
        }
        Ok(())
    }

    fn know(&mut self, batch: &RecordBatch) {
        let mut buffer = Vec::new();
        let identities = batch["identity_id"].as_primitive::<Int64Type>();
        let persons = batch["person_id"].as_primitive::<Int64Type>();
        let providers = batch["provider"].as_string::<i32>();
        let records = batch["external_id"].as_string::<i32>();
        let seen = batch["last_seen_at"].as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let key = key_of([providers.value(row), records.value(row)], &mut buffer);
            let known = Identity {
                identity: identities.value(row),
                person: persons.value(row),
                seen: Some(seen.is_valid(row).then(|| seen.value(row))),
            };
            self.known.insert(key, known);
        }
    }

    /// The records that need a new identity or person, in the order in which ids are given.
    fn wanted(&self, stages: &[&Stage]) -> Result<Vec<NewIdentity>, IngestError> {
        let mut wanted = Vec::new();
        let mut seen = HashSet::new();
        let is_person = |stage: &&Stage| stage.def.shape == Shape::Person;
        let facts = stages.iter().copied();
        let facts = facts.filter(|stage| stage.def.shape == Shape::Fact);
        let persons = stages.iter().copied().filter(is_person);
        for (rank, stage) in persons.chain(facts).enumerate() {
            let lacks = |key| self.lacks(key, stage.def.shape == Shape::Person);
            if !stage.referred.keys().any(lacks) {
                continue;
            }
            let begin = wanted.len();
            self.wanted_by(stage, rank, &mut seen, &mut wanted)?;
            wanted[begin..].sort_unstable_by_key(|record| record.place);
        }
        Ok(wanted)
    }

    /// Whether a record needs an identity or a person.
    fn lacks(&self, key: &u128, is_person: bool) -> bool {
        match self.known.get(key) {
            None => true,
            Some(ids) => is_person && ids.person == 0,
        }
    }

    fn wanted_by(
        &self,
        stage: &Stage,
        rank: usize,
        seen: &mut HashSet<u128>,
        wanted: &mut Vec<NewIdentity>,
    ) -> Result<(), IngestError> {
        let mut buffer = Vec::new();
        let mut last_provider: Arc<str> = Arc::from("");
        let is_person = stage.def.shape == Shape::Person;
        for piece in stage.batches()? {
            let piece = piece?;
            let batch = &piece.rows;
            let provider = batch["provider"].as_string::<i32>();
            let records = records(stage.def, batch);
            for (row, version) in piece.versions().enumerate() {
                let Some(version) = version.filter(|version| !(is_person && version.deleted))
                else {
                    continue;
                };
                if records.is_null(row) {
                    continue;
                }
                let key = key_of([provider.value(row), records.value(row)], &mut buffer);
                if !self.lacks(&key, is_person) || !seen.insert(key) {
                    continue;
                }
                let time = |name: &str| {
                    let column = batch.column_by_name(name).filter(|_| is_person)?;
                    let column = column.as_primitive::<TimestampMicrosecondType>();
                    column.is_valid(row).then(|| column.value(row))
                };
                if *last_provider != *provider.value(row) {
                    last_provider = Arc::from(provider.value(row));
                }
                wanted.push(NewIdentity {
                    ids: NOBODY,
                    provider: Arc::clone(&last_provider),
                    external_id: Box::from(records.value(row)),
                    first_seen: time("created_at"),
                    last_seen: time("updated_at").or_else(|| time("created_at")),
                    is_person,
                    place: (rank, version.order, key),
                });
            }
        }
        Ok(())
    }
}
