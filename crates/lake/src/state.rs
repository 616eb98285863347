//! The state of a tenant's lake at one snapshot: the files of each table, and the named values.

pub(crate) mod actions;
pub mod delta_log;
pub(crate) mod heads;
pub mod record;
mod replay;
pub mod value_name;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use rollbook_model::{Settings, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::state::value_name::ValueName;

/// A Parquet file of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// The name of the file in the table's folder.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Number of rows.
    pub rows: u64,
    /// Smallest `person_id` of the file, where the table has this column.
    pub min_person: Option<i64>,
    /// Largest `person_id` of the file, where the table has this column.
    pub max_person: Option<i64>,
    /// First and last `person_id` of each row group; empty where they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<[i64; 2]>,
    /// First and last time of the rows, in microseconds; `None` where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<[i64; 2]>,
    /// The XXH3 hash of the file's bytes in hexadecimal; empty for files of older programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
}

/// The metadata of a table in its Delta log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDescription {
    /// The id of the Delta table. It never changes.
    pub id: String,
    /// When the table was created, in milliseconds.
    pub created_at: Option<i64>,
    /// A hash of the table's columns and properties.
    pub digest: String,
}

/// One table at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableState {
    /// The newest version of the table's Delta log; `None` before the first commit of rows.
    pub version: Option<u64>,
    /// The files of the table, in the order in which they were added.
    pub files: Vec<DataFile>,
    /// The table's metadata in its Delta log; `None` where the next commit of rows must write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<TableDescription>,
}

impl TableState {
    /// Number of rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// Files that a commit adds to a table and removes from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChange {
    /// New files. They are durable before the commit.
    pub adds: Vec<DataFile>,
    /// Files whose rows are in other files now, or deleted.
    pub removes: Vec<DataFile>,
}

impl TableChange {
    /// Whether the change adds and removes no file.
    pub fn is_empty(&self) -> bool {
        self.adds.is_empty() && self.removes.is_empty()
    }
}

/// The retention runs up to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removals {
    /// The snapshot of the last run that removed something. Older ones are gone.
    pub snapshot: SnapshotNumber,
    /// Changes of memberships that were committed up to this snapshot may be missing in the ledger.
    #[serde(default)]
    pub changes: SnapshotNumber,
    /// Changes of memberships that were computed before this time may be missing in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_before: Option<Timestamp>,
    /// The objects of the reports of all runs, oldest first.
    pub reports: Vec<String>,
}

/// All tables and named values at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The snapshot; 0 before the first commit.
    pub number: SnapshotNumber,
    /// The newest snapshot that changed rows of a table. Results are computed from its data.
    pub data: SnapshotNumber,
    /// Tables that have been committed to.
    pub tables: BTreeMap<String, TableState>,
    /// Named values, such as `settings` or `segment/big-spenders`.
    pub named: BTreeMap<String, serde_json::Value>,
}

impl State {
    /// A table, empty before its first commit.
    pub fn table(&self, name: &str) -> TableState {
        self.tables.get(name).cloned().unwrap_or_default()
    }

    /// The tenant's settings; the defaults where none are stored.
    ///
    /// # Errors
    /// [`LakeError::Damaged`]: the stored settings cannot be parsed.
    pub fn settings(&self) -> Result<Settings, LakeError> {
        self.value(&ValueName::Settings.to_string())
            .map(Option::unwrap_or_default)
    }

    /// The last retention run that removed something; `None` if there was none.
    ///
    /// # Errors
    /// [`LakeError::Damaged`]: the stored value cannot be parsed.
    pub fn removals(&self) -> Result<Option<Removals>, LakeError> {
        self.value(&ValueName::Removals.to_string())
    }

    /// The first snapshot that a retention run left; `None` if there was no such run.
    pub(crate) fn first_retained(&self) -> Result<Option<SnapshotNumber>, LakeError> {
        Ok(self.removals()?.map(|removals| removals.snapshot))
    }

    /// A named value, `None` where the snapshot holds no value of that name.
    ///
    /// # Errors
    /// [`LakeError::Damaged`]: the value cannot be parsed as a `T`.
    pub fn value<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, LakeError> {
        let damaged = |error: serde_json::Error| LakeError::Damaged {
            path: name.to_owned(),
            detail: error.to_string(),
        };
        self.named
            .get(name)
            .map(|v| serde_json::from_value(v.clone()).map_err(damaged))
            .transpose()
    }

    /// The names of the values whose names begin with a prefix such as `segment/`, without the prefix,
    /// in order.
    pub fn names_below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.named
            .keys()
            .filter_map(move |name| name.strip_prefix(prefix))
    }

    /// The data files and the objects that named values refer to, relative to the tenant's folder, with
    /// the sizes of the data files.
    pub(crate) fn all_objects(&self) -> Vec<(String, Option<u64>)> {
        let files = self.tables.iter().flat_map(|(name, table)| {
            let files = table.files.iter();
            files.map(move |file| (format!("{name}/{}", file.path), Some(file.size)))
        });
        let objects = self.objects().into_iter().map(|object| (object, None));
        files.chain(objects).collect()
    }

    /// Checks that no name of a table or file leads out of its folder.
    pub(crate) fn check_paths(&self) -> Result<(), LakeError> {
        for (name, table) in &self.tables {
            check_name(name)?;
            for file in &table.files {
                check_name(&file.path)?;
            }
        }
        Ok(())
    }

    /// The objects that the named values refer to, relative to the tenant's folder.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
        let named = self.named.iter();
        let objects = named.flat_map(|(name, value)| ValueName::parse(name).objects(value));
        objects.collect()
    }
}

/// Checks that a name is that of a file or folder, and no path.
pub(crate) fn check_name(name: &str) -> Result<(), LakeError> {
    let mut parts = Path::new(name).components();
    let is_name = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    match is_name && parts.next().is_none() {
        true => Ok(()),
        false => Err(LakeError::PathOutsideLake {
            path: name.to_owned(),
        }),
    }
}
