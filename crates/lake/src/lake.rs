//! A tenant's lake: opening it, its snapshots, and the commit that makes the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;
use roaring::RoaringTreemap;
use rollbook_model::config::LAKE_FORMAT;
use rollbook_model::{SnapshotNumber, TableDef, TenantName, Timestamp, tables};
use serde_json::json;
use uuid::Uuid;

use crate::LakeError;
use crate::delta::Described;
use crate::lease::Lease;
use crate::snapshot::{self, Cause, STATE_EVERY, SnapshotRecord};
use crate::state::{DataFile, State, TableState, note_objects};
use crate::store::{Put, Store};
use crate::turn::Turn;
use crate::{delta, objects, sets};

const FORMAT_PATH: &str = "_format.json";
/// Which snapshot was the newest not long ago.
const NEWEST: &str = "_snapshots/newest.json";

/// The lake of one tenant.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Store,
    tenant: TenantName,
    lease: Arc<Lease>,
}

/// Files that come and go in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChange {
    /// New files, durable already.
    pub adds: Vec<DataFile>,
    /// Files whose rows are elsewhere now, or gone.
    pub removes: Vec<DataFile>,
}

impl TableChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.adds.is_empty() && self.removes.is_empty()
    }
}

/// What is to become the next snapshot.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Why.
    pub cause: Cause,
    /// When, by the caller's clock.
    pub at: Timestamp,
    /// Changes by table name; empty ones are left out.
    pub tables: BTreeMap<&'static str, TableChange>,
    /// Persons whose rows change.
    pub touched: RoaringTreemap,
    /// Named values to set, or to take away.
    pub named: BTreeMap<String, Option<serde_json::Value>>,
    /// Keys of the requests that it answers.
    pub idempotency_keys: Vec<String>,
}

impl Commit {
    /// A commit that changes no table.
    pub fn of_names(
        cause: Cause,
        at: Timestamp,
        named: BTreeMap<String, Option<serde_json::Value>>,
    ) -> Self {
        Self {
            cause,
            at,
            tables: BTreeMap::new(),
            touched: RoaringTreemap::new(),
            named,
            idempotency_keys: Vec::new(),
        }
    }
}

/// How an attempt to commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is the newest snapshot now.
    Done(Box<State>),
    /// Another writer took the number: resolve anew on the newest state and try again.
    Overtaken,
}

impl Lake {
    /// Opens a lake that exists.
    pub async fn open(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::open_in(Store::at(location)?, tenant).await
    }

    /// The same in a store that is open.
    pub async fn open_in(store: Store, tenant: TenantName) -> Result<Self, LakeError> {
        let lake = Self::on(store, tenant).await?;
        if lake.newest().await?.0 == 0 {
            return Err(LakeError::NoLake {
                location: lake.store.location().to_owned(),
                tenant: lake.tenant.to_string(),
            });
        }
        Ok(lake)
    }

    /// Opens a lake, or the place where the first commit will make one.
    pub async fn open_or_new(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::on(Store::at(location)?, tenant).await
    }

    /// The lake, or the place of one, in a store that is open.
    pub async fn on(store: Store, tenant: TenantName) -> Result<Self, LakeError> {
        let lake = Self::handle(store, tenant);
        lake.check_format().await?;
        Ok(lake)
    }

    /// A handle of its own on whatever is there.
    pub(crate) fn handle(store: Store, tenant: TenantName) -> Self {
        Self {
            store,
            tenant,
            lease: Arc::default(),
        }
    }

    pub(crate) fn lease_cell(&self) -> &Lease {
        &self.lease
    }

    /// Where its objects lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The path in the store of something in the tenant's folder.
    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.tenant)
    }

    pub(crate) async fn list(&self, below: &str) -> Result<Vec<String>, LakeError> {
        self.store.list(&self.path(below)).await
    }

    /// The state at the newest snapshot, with its Delta logs published.
    pub async fn head(&self) -> Result<State, LakeError> {
        let newest = self.newest().await?;
        if newest.0 == 0 {
            return self.replay(newest).await;
        }
        let tenant = self.tenant.as_str();
        let record = self.store.head(&snapshot::path(tenant, newest)).await?;
        let known = record.as_ref();
        let known = known.and_then(|record| self.store.heads().get(tenant, newest, record));
        if let Some(state) = known {
            return Ok(state.as_ref().clone());
        }
        let state = self.replay(newest).await?;
        // Whoever committed it may have died before publishing: anyone may do it again.
        self.publish(&self.record(newest).await?).await?;
        if let Some(record) = record {
            self.store.heads().note(tenant, newest, record, &state);
        }
        Ok(state)
    }

    /// The state at a snapshot.
    pub async fn state(&self, number: SnapshotNumber) -> Result<State, LakeError> {
        let newest = self.newest().await?;
        if number.0 == 0 || number > newest {
            return Err(LakeError::NoSnapshot { number, newest });
        }
        match self.replay(number).await {
            Err(LakeError::Expired { number }) => {
                let kept = self.kept_state(number).await?;
                kept.ok_or(LakeError::Expired { number })
            }
            found => found,
        }
    }

    /// The records of all snapshots, oldest first.
    pub async fn records(&self) -> Result<Vec<SnapshotRecord>, LakeError> {
        let (oldest, newest) = self.span().await?;
        let mut records = Vec::new();
        for number in oldest.0.max(1)..=newest.0 {
            records.extend(self.find_record(SnapshotNumber(number)).await?);
        }
        Ok(records)
    }

    /// The newest snapshot after `after` that answers the request with this key, if there is one.
    pub async fn answering(
        &self,
        key: &str,
        after: SnapshotNumber,
    ) -> Result<Option<SnapshotRecord>, LakeError> {
        let newest = self.newest().await?;
        for number in (self.first_after(after).await?.0..=newest.0).rev() {
            let record = self.find_record(SnapshotNumber(number)).await?;
            let answers = |record: &SnapshotRecord| {
                let mut keys = record.idempotency_keys.iter();
                keys.any(|known| known == key)
            };
            if record.as_ref().is_some_and(answers) {
                return Ok(record);
            }
        }
        Ok(None)
    }

    /// The keys of all requests that snapshots after `after` answer, and of each which.
    pub async fn answered_since(
        &self,
        after: SnapshotNumber,
    ) -> Result<HashMap<String, SnapshotNumber>, LakeError> {
        let newest = self.newest().await?;
        let mut answered = HashMap::new();
        for number in self.first_after(after).await?.0..=newest.0 {
            if let Some(record) = self.find_record(SnapshotNumber(number)).await? {
                let keys = record.idempotency_keys.into_iter();
                answered.extend(keys.map(|key| (key, record.number)));
            }
        }
        Ok(answered)
    }

    /// Tries to make `commit` the snapshot after `base`.
    ///
    /// Everything that it names must be durable before. It is done when the snapshot's object
    /// exists; publishing to the Delta logs follows, and is done again by the next opener if this
    /// process dies in between.
    pub async fn commit(&self, base: &State, commit: Commit) -> Result<Committed, LakeError> {
        self.commit_in_turn(base, commit, None).await
    }

    /// The same for one who may have the turn: the others wait meanwhile.
    pub async fn commit_in_turn(
        &self,
        base: &State,
        commit: Commit,
        turn: Option<&Turn>,
    ) -> Result<Committed, LakeError> {
        if base.number.0 == 0 {
            let format = json!({ "format": LAKE_FORMAT }).to_string();
            self.store.put_new(FORMAT_PATH, format.as_bytes()).await?;
            let checked = self
                .store
                .check_conditional_put(FORMAT_PATH, format.as_bytes());
            checked.await?;
        }
        let number = base.number.next();
        let data_change = !matches!(commit.cause, Cause::Compact { .. });
        let mut record = SnapshotRecord {
            number,
            committed_at: commit.at,
            writer: Uuid::new_v4(),
            cause: commit.cause,
            tables: BTreeMap::new(),
            touched: sets::encode_persons(&commit.touched),
            idempotency_keys: commit.idempotency_keys,
            named: commit.named,
            state: None,
        };
        let unchanged = TableChange::default();
        for (def, change) in self.changed(base, &commit.tables) {
            let (before, at) = (base.table(def.name), commit.at);
            let change = change.unwrap_or(&unchanged);
            let metadata = delta::description(def, self.described(def, &before).await?, at)?;
            let entry =
                delta::table_commit(def, &before, change, metadata, number, at, data_change)?;
            record.tables.insert(def.name.to_owned(), entry);
        }
        let state = base.clone().apply(&record)?;
        if number.0.is_multiple_of(STATE_EVERY) {
            record.state = Some(Box::new(state.clone()));
        }
        let bytes = objects::to_json(&record)?;
        self.give_way(turn).await?;
        let (named, changes) = (&record.named, &commit.tables);
        self.must_be_there(base, named, changes).await?;
        match self
            .store
            .put_new(&snapshot::path(self.tenant.as_str(), number), &bytes)
            .await?
        {
            Put::Exists => Ok(Committed::Overtaken),
            Put::Done => {
                self.publish(&record).await?;
                self.put_checkpoints(base, &state, commit.at).await;
                if number.0.is_multiple_of(STATE_EVERY) {
                    // It saves looking for it and no more.
                    let _ = self.replace_document(NEWEST, &number).await;
                }
                Ok(Committed::Done(Box::new(state)))
            }
        }
    }

    /// Makes sure that what a commit names is there: a run may take long, and somebody may have
    /// removed what nobody named yet.
    async fn must_be_there(
        &self,
        before: &State,
        named: &BTreeMap<String, Option<serde_json::Value>>,
        changes: &BTreeMap<&'static str, TableChange>,
    ) -> Result<(), LakeError> {
        let files = changes.iter().flat_map(|(table, change)| {
            let adds = change.adds.iter();
            adds.map(move |file| (format!("{table}/{}", file.path), Some(file.size)))
        });
        // Most names that a value gives are those that it gave before.
        let (mut known, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for (name, value) in named {
            if let Some(before) = before.named.get(name) {
                note_objects(before, &mut known);
            }
            value.iter().for_each(|one| note_objects(one, &mut objects));
        }
        let objects = objects.into_iter().filter(|object| !known.contains(object));
        let all = files.chain(objects.map(|object| (object, None)));
        self.must_have(&all.collect::<Vec<_>>()).await
    }

    /// Makes sure that objects are there, and of that size where one is given.
    pub(crate) async fn must_have(
        &self,
        objects: &[(String, Option<u64>)],
    ) -> Result<(), LakeError> {
        for some in objects.chunks(self.store.read_at_once()) {
            let looked = some.iter().map(|(below, _)| async move {
                let path = self.path(below);
                self.store.get_size(&path).await
            });
            for ((below, size), found) in some.iter().zip(try_join_all(looked).await?) {
                if found.is_none() || size.is_some() && *size != found {
                    return Err(LakeError::Vanished {
                        path: below.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The tables that a commit has to say something of: those that it changes, and with them all
    /// that older programs described.
    fn changed<'a>(
        &self,
        base: &State,
        changes: &'a BTreeMap<&'static str, TableChange>,
    ) -> Vec<(&'static TableDef, Option<&'a TableChange>)> {
        let change_of = |def: &TableDef| changes.get(def.name).filter(|one| !one.is_empty());
        let any = changes.values().any(|change| !change.is_empty());
        let is_old = |def: &TableDef| {
            let table = base.tables.get(def.name);
            any && table.is_some_and(|table| table.version.is_some() && table.described.is_none())
        };
        let all = tables::TABLES.iter().map(|def| (def, change_of(def)));
        all.filter(|(def, change)| change.is_some() || is_old(def))
            .collect()
    }

    /// How a table is described; of one that an older program described, which it is.
    async fn described(
        &self,
        def: &TableDef,
        table: &TableState,
    ) -> Result<Option<Described>, LakeError> {
        if table.described.is_some() || table.version.is_none() {
            return Ok(table.described.clone());
        }
        let path = self.path(&delta::log_path(def.name, 0));
        let log = self.store.get(&path).await?;
        Ok(log.as_deref().and_then(delta::made_as))
    }

    /// Writes the record's actions to the Delta logs, where they are not there yet.
    async fn publish(&self, record: &SnapshotRecord) -> Result<(), LakeError> {
        for (table, entry) in &record.tables {
            let path = self.path(&delta::log_path(table, entry.version));
            // Who only reads finds them published already: asking costs less than a put.
            let is_published = match self.store.get(&path).await? {
                Some(found) => found == entry.log.as_bytes(),
                // The same bytes count as put, whoever put them.
                None => self.store.put_new(&path, entry.log.as_bytes()).await? == Put::Done,
            };
            if !is_published {
                return Err(LakeError::ForeignCommit {
                    table: table.clone(),
                    version: entry.version,
                });
            }
        }
        Ok(())
    }

    async fn check_format(&self) -> Result<(), LakeError> {
        let Some(bytes) = self.store.get(FORMAT_PATH).await? else {
            return Ok(());
        };
        let found = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| value["format"].as_u64())
            .ok_or_else(|| LakeError::Damaged {
                path: FORMAT_PATH.to_owned(),
                detail: "it does not say which format the lake has".to_owned(),
            })?;
        if found > u64::from(LAKE_FORMAT) {
            return Err(LakeError::NewerFormat {
                location: self.store.location().to_owned(),
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: LAKE_FORMAT,
            });
        }
        if found < u64::from(LAKE_FORMAT) {
            return Err(LakeError::OlderFormat {
                location: self.store.location().to_owned(),
                found: u32::try_from(found).unwrap_or_default(),
                needed: LAKE_FORMAT,
            });
        }
        Ok(())
    }

    /// The newest snapshot; 0 where there is none. Numbers follow each other, so it is searched for
    /// from one that was the newest not long ago, and the folder is not listed.
    async fn newest(&self) -> Result<SnapshotNumber, LakeError> {
        let noted = self.find_document(NEWEST).await.ok().flatten();
        let noted = noted.unwrap_or(SnapshotNumber(0));
        if noted.0 == 0 || !self.exists(noted).await? {
            return self.span().await.map(|(_, newest)| newest);
        }
        let (mut low, mut step) = (noted.0, 1);
        while self.exists(SnapshotNumber(low + step)).await? {
            low += step;
            step *= 2;
        }
        let mut high = low + step;
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.exists(SnapshotNumber(middle)).await? {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(SnapshotNumber(low))
    }

    async fn exists(&self, number: SnapshotNumber) -> Result<bool, LakeError> {
        let path = snapshot::path(self.tenant.as_str(), number);
        Ok(self.store.get_size(&path).await?.is_some())
    }

    /// The first snapshot after `after` that has not expired.
    async fn first_after(&self, after: SnapshotNumber) -> Result<SnapshotNumber, LakeError> {
        if self.exists(after.next()).await? {
            return Ok(after.next());
        }
        let (oldest, _) = self.span().await?;
        Ok(oldest.max(after.next()))
    }

    /// The oldest snapshot that has not expired and the newest one; 0 where there is none.
    pub(crate) async fn span(&self) -> Result<(SnapshotNumber, SnapshotNumber), LakeError> {
        let names = self.list(snapshot::FOLDER).await?;
        let mut numbers = names.iter().filter_map(|name| snapshot::number_of(name));
        let oldest = numbers.next().unwrap_or_default();
        Ok((oldest, numbers.next_back().unwrap_or(oldest)))
    }

    pub(crate) async fn record(&self, number: SnapshotNumber) -> Result<SnapshotRecord, LakeError> {
        let path = snapshot::path(self.tenant.as_str(), number);
        let bytes = self
            .store
            .get(&path)
            .await?
            .ok_or_else(|| LakeError::Damaged {
                path: path.clone(),
                detail: "it is missing".to_owned(),
            })?;
        let record: SnapshotRecord = objects::from_json(&path, &bytes)?;
        record.must_be_inside()?;
        Ok(record)
    }

    /// The record of a snapshot; `None` if it has expired since it was listed.
    pub(crate) async fn find_record(
        &self,
        number: SnapshotNumber,
    ) -> Result<Option<SnapshotRecord>, LakeError> {
        match self.record(number).await {
            Err(LakeError::Damaged { .. }) if self.has_expired(number).await? => Ok(None),
            found => found.map(Some),
        }
    }

    async fn has_expired(&self, number: SnapshotNumber) -> Result<bool, LakeError> {
        let (oldest, _) = self.span().await?;
        Ok(number < oldest)
    }

    pub(crate) async fn replay(&self, until: SnapshotNumber) -> Result<State, LakeError> {
        let mut later = Vec::new();
        let mut state = State::default();
        let mut number = until;
        while number.0 > 0 {
            let expired = LakeError::Expired { number: until };
            let mut record = self.find_record(number).await?.ok_or(expired)?;
            if let Some(whole) = record.state.take() {
                state = *whole;
                break;
            }
            later.push(record);
            number = SnapshotNumber(number.0 - 1);
        }
        later.iter().rev().try_fold(state, State::apply)
    }
}

#[cfg(test)]
mod tests;
