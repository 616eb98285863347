//! The record of one commit: the object whose existence is the commit.

use std::collections::BTreeMap;

use rollbook_model::{BatchId, ProviderName, SnapshotNumber, TableCounts, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LakeError;
use crate::state::{State, check_name};

/// One in so many records holds the whole state, so that opening a lake replays few records.
pub(crate) const STATE_EVERY: u64 = 16;

/// Why a snapshot was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Rows were ingested.
    Ingest {
        /// The batch.
        batch: BatchId,
        /// The provider of the rows.
        provider: ProviderName,
        /// Counts of the rows by outcome, for each table.
        tables: Vec<TableCounts>,
        /// The counts of each request that this commit answers, by its idempotency key.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        answers: BTreeMap<String, Vec<TableCounts>>,
    },
    /// A batch was undone.
    Undo {
        /// The batch.
        batch: BatchId,
    },
    /// Segments were evaluated.
    Refresh {
        /// The number of segments.
        segments: u64,
    },
    /// Files were rewritten as fewer files with the same rows.
    Compact {
        /// Number of files before and after, by table.
        files: BTreeMap<String, [u64; 2]>,
    },
    /// Records were linked or unlinked by a decision, or a person was erased.
    Identity {
        /// A description for people.
        done: String,
        /// The effect on persons.
        #[serde(default)]
        change: IdentityChange,
    },
    /// Rows and personal values were removed because their time was over.
    Retention {
        /// Numbers of removed rows and values, by table.
        removed: BTreeMap<String, u64>,
    },
    /// A definition or a setting was changed.
    Define {
        /// The name of the value, such as `segment/big-spenders`.
        name: String,
    },
}

/// The effect of a decision on persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityChange {
    /// Records were merged into one person.
    #[default]
    Merge,
    /// Records of one person were split.
    Unmerge,
    /// A person was erased.
    Erasure,
}

/// The changes of one table in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCommit {
    /// The version of the table's Delta log that this commit writes.
    pub version: u64,
    /// The exact bytes of the Delta log entry: one action per line.
    pub log: String,
}

/// The record of one commit, stored as JSON at `_snapshots/<20 digits>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The number of the snapshot, from 1.
    pub number: SnapshotNumber,
    /// When the commit was made, by the writer's clock.
    pub committed_at: Timestamp,
    /// A random id of the attempt: a writer recognises its own record by it.
    #[serde(default)]
    pub writer: Uuid,
    /// Why the snapshot was committed.
    pub cause: Cause,
    /// The changes of tables, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableCommit>,
    /// The persons whose rows changed: a portable Roaring treemap in hexadecimal, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub touched: String,
    /// Idempotency keys of the requests that this commit answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idempotency_keys: Vec<String>,
    /// Named values that the commit sets ([`ValueName`](crate::ValueName)); `null` removes the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, Option<serde_json::Value>>,
    /// The whole state after this commit, in every sixteenth record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<State>>,
}

impl SnapshotRecord {
    /// Checks that no name of a table or file leads out of the lake. File names in log entries are
    /// checked when the entries are parsed.
    pub(crate) fn check_paths(&self) -> Result<(), LakeError> {
        self.tables.keys().try_for_each(|name| check_name(name))?;
        self.state
            .as_ref()
            .map_or(Ok(()), |state| state.check_paths())
    }

    /// A record for a snapshot whose own record has expired.
    pub(crate) fn placeholder(number: SnapshotNumber) -> Self {
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
