//! Commits: each makes the next snapshot.

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
use crate::state::value_name::ValueName;
use crate::state::{State, TableChange, TableDescription, TableState};
use crate::storage::Put;

/// The changes that the next snapshot makes.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The reason for the commit.
    pub cause: Cause,
    /// The time of the commit by the caller's clock.
    pub at: Timestamp,
    /// Changes by table name. Empty changes are ignored.
    pub tables: BTreeMap<&'static str, TableChange>,
    /// Persons whose rows change.
    pub touched: RoaringTreemap,
    /// Named values to set, or with `None` to remove.
    pub named: BTreeMap<String, Option<serde_json::Value>>,
    /// Idempotency keys of the requests that the commit answers.
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
    /// The commit is the newest snapshot. The state after it.
    Done(Box<State>),
    /// Another writer committed this snapshot number first: the caller reads the newest state, makes a
    /// new commit for it and tries again.
    Overtaken,
}

impl Lake {
    /// Tries to make `commit` the snapshot after `base`.
    ///
    /// Every object that the commit refers to must be durable before. The commit is done as soon as the
    /// snapshot's record exists. Its actions are copied to the Delta logs after that; where this process
    /// dies in between, the next program that opens the lake copies them.
    ///
    /// # Errors
    /// - [`LakeError::MissingObject`]: an object that the commit refers to is missing or has changed.
    /// - [`LakeError::NoConditionalPut`]: the store does not support conditional puts.
    /// - [`LakeError::ForeignCommit`]: another program wrote to a table's Delta log. The commit is done.
    /// - [`LakeError::Schema`]: a table has a column of a type that Delta does not have.
    /// - [`LakeError::Damaged`]: an action cannot be parsed, or the writer lease cannot be read.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn commit(&self, base: &State, commit: Commit) -> Result<Committed, LakeError> {
        self.commit_with_lease(base, commit, None).await
    }

    /// Like [`Lake::commit`], for a writer that may hold the writer lease. Other writers wait while
    /// it is held.
    ///
    /// # Errors
    /// The errors of [`Lake::commit`].
    pub async fn commit_with_lease(
        &self,
        base: &State,
        commit: Commit,
        lease: Option<&WriterLease>,
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
            let metadata =
                delta_log::metadata_to_write(def, self.described(def, &before).await?, at)?;
            let entry =
                delta_log::table_commit(def, &before, change, metadata, number, at, data_change)?;
            record.tables.insert(def.name.to_owned(), entry);
        }
        let state = base.clone().apply(&record)?;
        // The snapshots before a retention run expire, so that none can be replayed from them.
        let is_first = matches!(record.cause, Cause::Retention { .. });
        if is_first || number.0.is_multiple_of(STATE_EVERY) {
            record.state = Some(Box::new(state.clone()));
        }
        let bytes = to_json(&record)?;
        self.wait_for_writer_lease(lease).await?;
        let (named, changes) = (&record.named, &commit.tables);
        self.check_objects_exist(base, named, changes).await?;
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
                    // This only makes the search for the newest snapshot shorter.
                    let _ = self.replace_document(NEWEST, &number).await;
                }
                Ok(Committed::Done(Box::new(state)))
            }
        }
    }

    /// Checks that the objects that a commit refers to exist: a vacuum may have deleted those of a
    /// writer that it took for dead.
    async fn check_objects_exist(
        &self,
        before: &State,
        named: &BTreeMap<String, Option<serde_json::Value>>,
        changes: &BTreeMap<&'static str, TableChange>,
    ) -> Result<(), LakeError> {
        let files = changes.iter().flat_map(|(table, change)| {
            let adds = change.adds.iter();
            adds.map(move |file| (format!("{table}/{}", file.path), Some(file.size)))
        });
        // Objects that the value referred to before need no check.
        let (mut known, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for (name, value) in named {
            let (name, before) = (ValueName::parse(name), before.named.get(name));
            known.extend(before.into_iter().flat_map(|value| name.objects(value)));
            objects.extend(value.iter().flat_map(|value| name.objects(value)));
        }
        let objects = objects.into_iter().filter(|object| !known.contains(object));
        let all = files.chain(objects.map(|object| (object, None)));
        self.check_exist(&all.collect::<Vec<_>>()).await
    }

    /// The tables that get a log entry: those that the commit changes, and where it changes any, also
    /// those whose metadata an older program wrote.
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

    /// The description of a table; for a table whose metadata an older program wrote, one with the same
    /// id.
    async fn described(
        &self,
        def: &TableDef,
        table: &TableState,
    ) -> Result<Option<TableDescription>, LakeError> {
        if table.described.is_some() || table.version.is_none() {
            return Ok(table.described.clone());
        }
        let path = self.path(&delta_log::log_path(def.name, 0));
        let log = self.store().get(&path).await?;
        Ok(log.as_deref().and_then(delta_log::first_description))
    }
}
