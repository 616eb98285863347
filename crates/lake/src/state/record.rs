//! The record of one commit: the object whose existence is the commit.

use std::collections::BTreeMap;

use rollbook_model::{BatchId, ProviderName, SnapshotNumber, TableCounts, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LakeError;
use crate::state::{State, must_be_name};

/// Every so many snapshots one carries the whole state, so that opening replays few.
pub(crate) const STATE_EVERY: u64 = 16;

/// Why a snapshot was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Rows were taken in.
    Ingest {
        /// The run.
        batch: BatchId,
        /// Whose mappings read them.
        provider: ProviderName,
        /// What became of the rows.
        tables: Vec<TableCounts>,
        /// The same for each request that is answered by it, by its idempotency key.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        answers: BTreeMap<String, Vec<TableCounts>>,
    },
    /// A run was taken back.
    Undo {
        /// The run.
        batch: BatchId,
    },
    /// Segments were evaluated.
    Refresh {
        /// How many.
        segments: u64,
    },
    /// Rows were written anew in better order; what they say is the same.
    Compact {
        /// Files before and after, by table.
        files: BTreeMap<String, [u64; 2]>,
    },
    /// Somebody decided whose records are, or somebody was erased.
    Identity {
        /// What was done, in words.
        done: String,
        /// What it does to persons.
        #[serde(default)]
        change: IdentityChange,
    },
    /// A definition or a setting was changed.
    Define {
        /// Its name, such as `segment/big-spenders`.
        name: String,
    },
}

/// What a decision does to persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityChange {
    /// Records come together.
    #[default]
    Merge,
    /// Records come apart.
    Unmerge,
    /// Somebody is forgotten.
    Erasure,
}

/// The changes of one table in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCommit {
    /// The Delta version that these actions become.
    pub version: u64,
    /// The exact bytes of the Delta log entry: one action a line.
    pub log: String,
}

/// One commit. Stored as JSON at `_snapshots/<20 digits>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Its number, from 1.
    pub number: SnapshotNumber,
    /// When it was made, by the clock of who made it.
    pub committed_at: Timestamp,
    /// Of whom it is: no two attempts have the same, so that none takes another's for its own.
    #[serde(default)]
    pub writer: Uuid,
    /// Why.
    pub cause: Cause,
    /// The tables that changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableCommit>,
    /// The persons whose rows changed: a portable Roaring treemap in hexadecimal, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub touched: String,
    /// Keys of the requests that this commit answers, for those who send them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idempotency_keys: Vec<String>,
    /// Named values that changed: settings, segments, memberships. `null` takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, Option<serde_json::Value>>,
    /// The whole state after this commit, in every sixteenth snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<State>>,
}

impl SnapshotRecord {
    /// Refuses names of tables and files that lead out of the lake; those of files in log entries
    /// are looked at where these are read.
    pub(crate) fn must_be_inside(&self) -> Result<(), LakeError> {
        self.tables.keys().try_for_each(|name| must_be_name(name))?;
        self.state
            .as_ref()
            .map_or(Ok(()), |state| state.must_be_inside())
    }

    /// The record of a snapshot whose own has expired; its state is all that is left of it.
    pub(crate) fn nameless(number: SnapshotNumber) -> Self {
        Self {
            number,
            committed_at: Timestamp::from_micros(0),
            writer: Uuid::new_v4(),
            cause: Cause::Define {
                name: "snapshot".to_owned(),
            },
            tables: BTreeMap::new(),
            touched: String::new(),
            idempotency_keys: Vec::new(),
            named: BTreeMap::new(),
            state: None,
        }
    }
}

pub(crate) const FOLDER: &str = "_snapshots";

pub(crate) fn path(tenant: &str, number: SnapshotNumber) -> String {
    format!("{tenant}/{FOLDER}/{:020}.json", number.0)
}

/// The number in the name of a snapshot's object.
pub(crate) fn number_of(name: &str) -> Option<SnapshotNumber> {
    name.strip_suffix(".json")
        .filter(|digits| digits.len() == 20)?
        .parse()
        .ok()
}
