//! What a tenant's lake holds at one snapshot: the files of each table, and the named values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};

use deltalake_core::kernel::{Action, Add};
use rollbook_model::{Settings, SnapshotNumber};
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::delta::{Described, described_by};
use crate::snapshot::{Cause, SnapshotRecord};

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

    /// The state after one more commit.
    pub(crate) fn apply(mut self, record: &SnapshotRecord) -> Result<Self, LakeError> {
        for (name, commit) in &record.tables {
            let table = self.tables.entry(name.clone()).or_default();
            table.version = Some(commit.version);
            for line in commit.log.lines() {
                let action = serde_json::from_str(line).map_err(|error| LakeError::Damaged {
                    path: format!("{name} in snapshot {}", record.number),
                    detail: error.to_string(),
                })?;
                match action {
                    Action::Add(add) => table.files.push(data_file(&add)?),
                    Action::Metadata(said) => table.described = described_by(&said),
                    Action::Remove(gone) => table.files.retain(|file| file.path != gone.path),
                    _ => {}
                }
            }
        }
        for (name, value) in &record.named {
            match value {
                Some(value) => drop(self.named.insert(name.clone(), value.clone())),
                None => drop(self.named.remove(name)),
            }
        }
        if !record.tables.is_empty() && !matches!(record.cause, Cause::Compact { .. }) {
            self.data = record.number;
        }
        self.number = record.number;
        Ok(self)
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

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FileStatistics {
    pub(crate) num_records: u64,
    pub(crate) min_values: BTreeMap<String, i64>,
    pub(crate) max_values: BTreeMap<String, i64>,
    pub(crate) null_count: BTreeMap<String, i64>,
}

/// The file that a log entry adds.
pub(crate) fn data_file(add: &Add) -> Result<DataFile, LakeError> {
    must_be_name(&add.path)?;
    let statistics: FileStatistics = add
        .stats
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let tag = |name: &str| {
        let tags = add.tags.as_ref()?;
        tags.get(name)?.clone()
    };
    Ok(DataFile {
        groups: tag(GROUPS_TAG)
            .map(|text| groups_of(&text))
            .unwrap_or_default(),
        times: tag(TIMES_TAG).and_then(|text| pair_of(&text)),
        checksum: tag(CHECKSUM_TAG).unwrap_or_default(),
        path: add.path.clone(),
        size: add.size.unsigned_abs(),
        rows: statistics.num_records,
        min_person: statistics.min_values.get("person_id").copied(),
        max_person: statistics.max_values.get("person_id").copied(),
    })
}

/// Refuses what is not the name of a file or folder in the one that it is looked for in.
pub(crate) fn must_be_name(name: &str) -> Result<(), LakeError> {
    let mut parts = Path::new(name).components();
    let is_name = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    match is_name && parts.next().is_none() {
        true => Ok(()),
        false => Err(LakeError::Outside {
            path: name.to_owned(),
        }),
    }
}

/// The tag of an added file that says which persons its row groups hold.
const GROUPS_TAG: &str = "rollbook.groups";
/// The tag of an added file that says when the first and the last of its rows happened.
const TIMES_TAG: &str = "rollbook.times";
/// The tag of an added file that holds its checksum.
const CHECKSUM_TAG: &str = "rollbook.xxh3";

/// What a file's tags say, for the Delta log.
pub(crate) fn tags(file: &DataFile) -> Option<HashMap<String, Option<String>>> {
    let pair = |[first, last]: &[i64; 2]| format!("{first}-{last}");
    let groups = file.groups.iter().map(pair).collect::<Vec<_>>().join(" ");
    let times = file.times.as_ref().map(pair).unwrap_or_default();
    let tags = [
        (GROUPS_TAG, groups),
        (TIMES_TAG, times),
        (CHECKSUM_TAG, file.checksum.clone()),
    ];
    let known = tags.into_iter().filter(|(_, text)| !text.is_empty());
    let tags: HashMap<_, _> = known
        .map(|(name, text)| (name.to_owned(), Some(text)))
        .collect();
    (!tags.is_empty()).then_some(tags)
}

/// Persons of row groups as [`tags`] wrote them; none at all where one of them is not understood.
fn groups_of(text: &str) -> Vec<[i64; 2]> {
    let groups: Option<_> = text.split(' ').map(pair_of).collect();
    groups.unwrap_or_default()
}

/// Two numbers with a dash between them; either may be below zero.
fn pair_of(text: &str) -> Option<[i64; 2]> {
    let dash = 1 + text.get(1..)?.find('-')?;
    Some([text[..dash].parse().ok()?, text[dash + 1..].parse().ok()?])
}
