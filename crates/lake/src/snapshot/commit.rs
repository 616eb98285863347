//! The commit that makes the next snapshot.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;
use rollbook_model::config::LAKE_FORMAT;
use rollbook_model::{TableDef, Timestamp, tables};
use serde_json::json;
use uuid::Uuid;

use crate::LakeError;
use crate::json::to_json;
use crate::lake::Lake;
use crate::snapshot::bitmaps;
use crate::snapshot::history::{FORMAT_PATH, NEWEST};
use crate::snapshot::writer_lease::WriterLease;
use crate::state::delta_log;
use crate::state::record::{self, Cause, STATE_EVERY, SnapshotRecord};
use crate::state::{Described, State, TableChange, TableState, note_objects};
use crate::storage::Put;

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
    /// Tries to make `commit` the snapshot after `base`.
    ///
    /// Everything that it names must be durable before. It is done when the snapshot's object
    /// exists; publishing to the Delta logs follows, and is done again by the next opener if this
    /// process dies in between.
    pub async fn commit(&self, base: &State, commit: Commit) -> Result<Committed, LakeError> {
        self.commit_with_lease(base, commit, None).await
    }

    /// The same for one who may have the turn: the others wait meanwhile.
    pub async fn commit_with_lease(
        &self,
        base: &State,
        commit: Commit,
        turn: Option<&WriterLease>,
    ) -> Result<Committed, LakeError> {
        if base.number.0 == 0 {
            let format = json!({ "format": LAKE_FORMAT }).to_string();
            self.store().put_new(FORMAT_PATH, format.as_bytes()).await?;
            let checked = self
                .store()
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
            touched: bitmaps::encode_persons(&commit.touched),
            idempotency_keys: commit.idempotency_keys,
            named: commit.named,
            state: None,
        };
        let unchanged = TableChange::default();
        for (def, change) in self.changed(base, &commit.tables) {
            let (before, at) = (base.table(def.name), commit.at);
            let change = change.unwrap_or(&unchanged);
            let metadata = delta_log::description(def, self.described(def, &before).await?, at)?;
            let entry =
                delta_log::table_commit(def, &before, change, metadata, number, at, data_change)?;
            record.tables.insert(def.name.to_owned(), entry);
        }
        let state = base.clone().apply(&record)?;
        if number.0.is_multiple_of(STATE_EVERY) {
            record.state = Some(Box::new(state.clone()));
        }
        let bytes = to_json(&record)?;
        self.wait_for_writer_lease(turn).await?;
        let (named, changes) = (&record.named, &commit.tables);
        self.must_be_there(base, named, changes).await?;
        match self
            .store()
            .put_new(&record::path(self.tenant().as_str(), number), &bytes)
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
        let path = self.path(&delta_log::log_path(def.name, 0));
        let log = self.store().get(&path).await?;
        Ok(log.as_deref().and_then(delta_log::made_as))
    }
}
