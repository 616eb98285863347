//! What a tenant's lake holds at one snapshot: the files of each table, and the named values.

pub(crate) mod actions;
pub mod delta_log;
pub(crate) mod heads;
pub mod record;
mod replay;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use rollbook_model::{Settings, SnapshotNumber};
use serde::{Deserialize, Serialize};

use crate::LakeError;

/// The named value that is there as long as each refund and order line is known to be of an order
/// that the lake has.
pub const ORDERS_COMPLETE: &str = "orders/complete";

/// A Parquet file of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its name, relative to the table's folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// Smallest `person_id` in it, where the table has one.
    pub min_person: Option<i64>,
    /// Largest `person_id` in it.
    pub max_person: Option<i64>,
    /// First and last `person_id` of each row group; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<[i64; 2]>,
    /// First and last moment of its rows, in microseconds; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<[i64; 2]>,
    /// The XXH3 of its bytes in hexadecimal; empty in files of older programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
}

/// What the log of a table says of the table itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// The id of the Delta table, the same for ever.
    pub id: String,
    /// When the table was made, in milliseconds.
    pub created_at: Option<i64>,
    /// A hash of its columns and properties.
    pub digest: String,
}

/// One table at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableState {
    /// Its newest Delta version; `None` before the first commit that has rows of it.
    pub version: Option<u64>,
    /// Its files, in the order in which they were added.
    pub files: Vec<DataFile>,
    /// What its log says of it; `None` where that is to be said anew with the next rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<Described>,
}

impl TableState {
    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
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

/// All tables and named values at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The snapshot; 0 is a lake without a commit.
    pub number: SnapshotNumber,
    /// The newest snapshot that changed a table: the data that figures are computed from.
    pub data: SnapshotNumber,
    /// Tables that have been committed to.
    pub tables: BTreeMap<String, TableState>,
    /// Named values, such as `settings` or `segment/big-spenders`.
    pub named: BTreeMap<String, serde_json::Value>,
}

impl State {
    /// The table, empty where nothing of it was committed.
    pub fn table(&self, name: &str) -> TableState {
        self.tables.get(name).cloned().unwrap_or_default()
    }

    /// The tenant's settings.
    pub fn settings(&self) -> Result<Settings, LakeError> {
        self.value("settings").map(Option::unwrap_or_default)
    }

    /// A named value, `None` where there is none of that name.
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

    /// The named values below a prefix such as `segment/`, in order of their names.
    pub fn names_below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.named
            .keys()
            .filter_map(move |name| name.strip_prefix(prefix))
    }

    /// All objects that it consists of, relative to the tenant's folder, with their sizes where
    /// these are known.
    pub(crate) fn all_objects(&self) -> Vec<(String, Option<u64>)> {
        let files = self.tables.iter().flat_map(|(name, table)| {
            let files = table.files.iter();
            files.map(move |file| (format!("{name}/{}", file.path), Some(file.size)))
        });
        let objects = self.objects().into_iter().map(|object| (object, None));
        files.chain(objects).collect()
    }

    /// Refuses names of tables and files that lead anywhere else.
    pub(crate) fn must_be_inside(&self) -> Result<(), LakeError> {
        for (name, table) in &self.tables {
            must_be_name(name)?;
            for file in &table.files {
                must_be_name(&file.path)?;
            }
        }
        Ok(())
    }

    /// The objects that the named values point to, relative to the tenant's folder.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
        let mut objects = BTreeSet::new();
        self.named
            .values()
            .for_each(|value| note_objects(value, &mut objects));
        objects
    }
}

/// Texts in a named value that begin like a folder of objects.
pub(crate) fn note_objects(value: &serde_json::Value, objects: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) if text.starts_with('_') && text.contains('/') => {
            objects.insert(text.clone());
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| note_objects(v, objects)),
        serde_json::Value::Object(all) => all.values().for_each(|v| note_objects(v, objects)),
        _ => {}
    }
}

/// Refuses what is not the name of a file or folder in the one that it is looked for in.
pub(crate) fn must_be_name(name: &str) -> Result<(), LakeError> {
    let mut parts = Path::new(name).components();
    let is_name = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    match is_name && parts.next().is_none() {
        true => Ok(()),
        false => Err(LakeError::PathOutsideLake {
            path: name.to_owned(),
        }),
    }
}
