//! Entries of the Delta logs: every commit writes one per changed table, so that any Delta reader can
//! read the tables.

use std::collections::BTreeMap;

use rollbook_model::{SnapshotNumber, TableDef, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::state::actions::{
    Action, Add, CommitInfo, Format, Metadata, Protocol, Remove, schema_string,
};
use crate::state::record::TableCommit;
use crate::state::{DataFile, TableChange, TableDescription, TableState, check_name};

/// The table property that holds the number of leading columns with statistics in the log.
const COLUMNS_WITH_STATISTICS: &str = "delta.dataSkippingNumIndexedCols";

/// The protocol versions of rollbook's tables.
const PROTOCOL: Protocol = Protocol {
    min_reader_version: 1,
    min_writer_version: 2,
};

/// The log entry of a change of a table, for the version after `before`.
pub(crate) fn table_commit(
    def: &TableDef,
    before: &TableState,
    change: &TableChange,
    metadata: Option<Metadata>,
    snapshot: SnapshotNumber,
    at: Timestamp,
    data_change: bool,
) -> Result<TableCommit, LakeError> {
    let milliseconds = at.micros() / 1_000;
    let mut actions = Vec::new();
    if before.version.is_none() {
        actions.push(Action::Protocol(PROTOCOL));
    }
    actions.extend(metadata.map(Action::Metadata));
    actions.extend(
        change
            .removes
            .iter()
            .map(|file| Action::Remove(remove(file, milliseconds, data_change))),
    );
    for file in &change.adds {
        actions.push(Action::Add(add(def, file, milliseconds, data_change)?));
    }
    let operation = match (data_change, change.removes.is_empty()) {
        (false, _) => "OPTIMIZE",
        (true, true) => "WRITE",
        (true, false) => "MERGE",
    };
    actions.push(Action::CommitInfo(CommitInfo {
        timestamp: milliseconds,
        operation: operation.to_owned(),
        engine_info: concat!("rollbook/", env!("CARGO_PKG_VERSION")).to_owned(),
        rollbook_snapshot: snapshot,
    }));
    let lines = actions
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| damaged(def, &error))?;
    let version = before.version.map_or(0, |version| version + 1);
    Ok(TableCommit {
        version,
        log: lines.join("\n") + "\n",
    })
}

/// The path of a log entry, relative to the tenant's folder.
pub(crate) fn log_path(table: &str, version: u64) -> String {
    format!("{table}/_delta_log/{version:020}.json")
}

/// The path of a checkpoint, relative to the tenant's folder.
pub(crate) fn checkpoint_path(table: &str, version: u64) -> String {
    format!("{table}/_delta_log/{version:020}.checkpoint.parquet")
}

/// The path of the object that names the newest checkpoint, relative to the tenant's folder.
pub(crate) fn newest_checkpoint_path(table: &str) -> String {
    format!("{table}/_delta_log/_last_checkpoint")
}

/// The metadata that the next log entry of a table must hold; `None` where the log holds it already.
/// `described` is the metadata in the log so far.
pub(crate) fn metadata_to_write(
    def: &TableDef,
    described: Option<TableDescription>,
    at: Timestamp,
) -> Result<Option<Metadata>, LakeError> {
    let described = described.unwrap_or_else(|| TableDescription {
        id: Uuid::new_v4().to_string(),
        created_at: Some(at.micros() / 1_000),
        digest: String::new(),
    });
    let metadata = metadata(def, &described)?;
    let is_written = description_of(&metadata).is_some_and(|now| now == described);
    Ok((!is_written).then_some(metadata))
}

/// The description of a table from the metadata in its log. `None` for metadata of older programs,
/// which must be written again: without this property readers treat missing statistics as statistics
/// of empty columns.
pub(crate) fn description_of(metadata: &Metadata) -> Option<TableDescription> {
    let properties = &metadata.configuration;
    properties.get(COLUMNS_WITH_STATISTICS)?;
    let digested = format!("{}{}", json!(metadata.schema_string), json!(properties));
    Some(TableDescription {
        id: metadata.id.clone(),
        created_at: metadata.created_time,
        digest: format!("{:016x}", xxh3_64(digested.as_bytes())),
    })
}

/// The id and creation time of a Delta table from its first log entry, with an empty digest.
pub(crate) fn first_description(log: &[u8]) -> Option<TableDescription> {
    let mut lines = log.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let action: Value = serde_json::from_slice(line).ok()?;
        let metadata = action.get("metaData")?;
        Some(TableDescription {
            id: metadata["id"].as_str()?.to_owned(),
            created_at: metadata["createdTime"].as_i64(),
            digest: String::new(),
        })
    })
}

/// The actions of a checkpoint of a table, one per line: `protocol`, `metaData`, and an `add` for each
/// file. `None` where the metadata in the table's log differs from what this version writes.
pub(crate) fn checkpoint_actions(
    def: &TableDef,
    table: &TableState,
    at: Timestamp,
) -> Result<Option<Vec<String>>, LakeError> {
    let Some(described) = &table.described else {
        return Ok(None);
    };
    let metadata = metadata(def, described)?;
    if description_of(&metadata).as_ref() != Some(described) {
        return Ok(None);
    }
    let mut actions = vec![Action::Protocol(PROTOCOL), Action::Metadata(metadata)];
    for file in &table.files {
        actions.push(Action::Add(add(def, file, at.micros() / 1_000, false)?));
    }
    let lines = actions.iter().map(serde_json::to_string);
    let lines = lines.collect::<Result<_, _>>();
    lines.map(Some).map_err(|error| damaged(def, &error))
}

fn metadata(def: &TableDef, described: &TableDescription) -> Result<Metadata, LakeError> {
    let schema = schema_string(&def.stored_schema()).map_err(|source| LakeError::Schema {
        table: def.name.to_owned(),
        source,
    })?;
    // Files have statistics of `person_id` alone, the first column of tables that have it. Readers
    // rely on statistics of the columns counted here, even where a file has none.
    let columns = if def.is_personal_fact() { "1" } else { "0" };
    // Rollbook deletes old log entries itself: another program must not.
    let properties = [
        ("delta.enableExpiredLogCleanup", "false"),
        (COLUMNS_WITH_STATISTICS, columns),
    ];
    Ok(Metadata {
        id: described.id.clone(),
        name: Some(def.name.to_owned()),
        description: None,
        format: Format {
            provider: "parquet".to_owned(),
            options: BTreeMap::new(),
        },
        schema_string: schema,
        partition_columns: Vec::new(),
        created_time: described.created_at,
        configuration: properties
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    })
}

fn add(
    def: &TableDef,
    file: &DataFile,
    milliseconds: i64,
    data_change: bool,
) -> Result<Add, LakeError> {
    let person = |value: Option<i64>| {
        value
            .map(|v| ("person_id".to_owned(), v))
            .into_iter()
            .collect()
    };
    let statistics = FileStatistics {
        num_records: file.rows,
        min_values: person(file.min_person),
        max_values: person(file.max_person),
        null_count: person(file.min_person.map(|_| 0)),
    };
    let stats = serde_json::to_string(&statistics).map_err(|error| damaged(def, &error))?;
    Ok(Add {
        path: file.path.clone(),
        partition_values: BTreeMap::new(),
        size: file.size.cast_signed(),
        modification_time: milliseconds,
        data_change,
        stats: Some(stats),
        tags: tags(file),
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

fn remove(file: &DataFile, milliseconds: i64, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(milliseconds),
        extended_file_metadata: Some(true),
        partition_values: Some(BTreeMap::new()),
        size: Some(file.size.cast_signed()),
    }
}

fn damaged(def: &TableDef, error: &dyn std::fmt::Display) -> LakeError {
    LakeError::Damaged {
        path: def.name.to_owned(),
        detail: error.to_string(),
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
    check_name(&add.path)?;
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

/// The tag of an added file that holds the first and last person of each row group.
const GROUPS_TAG: &str = "rollbook.groups";
/// The tag of an added file that holds the first and last time of its rows.
const TIMES_TAG: &str = "rollbook.times";
/// The tag of an added file that holds its checksum.
const CHECKSUM_TAG: &str = "rollbook.xxh3";

/// The tags of a file in the Delta log.
fn tags(file: &DataFile) -> Option<BTreeMap<String, Option<String>>> {
    let pair = |[first, last]: &[i64; 2]| format!("{first}-{last}");
    let groups = file.groups.iter().map(pair).collect::<Vec<_>>().join(" ");
    let times = file.times.as_ref().map(pair).unwrap_or_default();
    let tags = [
        (GROUPS_TAG, groups),
        (TIMES_TAG, times),
        (CHECKSUM_TAG, file.checksum.clone()),
    ];
    let known = tags.into_iter().filter(|(_, text)| !text.is_empty());
    let tags: BTreeMap<_, _> = known
        .map(|(name, text)| (name.to_owned(), Some(text)))
        .collect();
    (!tags.is_empty()).then_some(tags)
}

/// The first and last person of each row group, as [`tags`] wrote them; empty where the text cannot be
/// parsed.
fn groups_of(text: &str) -> Vec<[i64; 2]> {
    let groups: Option<_> = text.split(' ').map(pair_of).collect();
    groups.unwrap_or_default()
}

/// Two numbers with a dash between them. Both may be negative.
fn pair_of(text: &str) -> Option<[i64; 2]> {
    let dash = 1 + text.get(1..)?.find('-')?;
    Some([text[..dash].parse().ok()?, text[dash + 1..].parse().ok()?])
}

#[cfg(test)]
mod tests {
    use rollbook_model::{SnapshotNumber, Timestamp, tables};

    use super::{description_of, first_description, metadata, metadata_to_write, table_commit};
    use crate::state::actions::Action;
    use crate::state::{DataFile, TableChange, TableDescription, TableState};

    #[test]
    fn only_the_first_column_has_statistics() {
        for def in tables::TABLES {
            let first = def.stored_schema().field(0).name().clone();
            assert_eq!(first == "person_id", def.is_personal_fact(), "{}", def.name);
        }
    }

    #[test]
    fn delta_metadata_is_written_once() {
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        for def in tables::TABLES {
            let written = metadata_to_write(def, None, at).unwrap().unwrap();
            let line = serde_json::to_string(&Action::Metadata(written.clone())).unwrap();
            let known = first_description(format!("{{}}\n{line}\n").as_bytes()).unwrap();
            let described = description_of(&written).unwrap();
            assert_eq!(
                (&known.id, known.created_at),
                (&described.id, described.created_at)
            );
            let later = Timestamp::from_micros(1_800_000_000_000_000);
            let again = metadata_to_write(def, Some(described), later).unwrap();
            assert_eq!(again, None);
            // Other metadata is written again, with the id of the same table.
            assert_eq!(
                metadata_to_write(def, Some(known), later).unwrap(),
                Some(written)
            );
        }
    }

    /// The digest of a table covers these bytes: a change of them writes the metadata of every table
    /// again.
    #[test]
    fn log_entries_are_written_byte_for_byte() {
        let def = tables::table("products").unwrap();
        let file = |name: &str| DataFile {
            path: format!("part-{name}.parquet"),
            size: 2048,
            rows: 3,
            min_person: None,
            max_person: None,
            groups: Vec::new(),
            times: None,
            checksum: String::new(),
        };
        let tagged = DataFile {
            min_person: Some(-1),
            max_person: Some(9),
            groups: vec![[-1, 4], [5, 9]],
            times: Some([-7, 8]),
            checksum: "00c0ffee".to_owned(),
            ..file("1-b")
        };
        let change = TableChange {
            adds: vec![file("1-a"), tagged],
            removes: vec![file("0-c")],
        };
        let described = TableDescription {
            id: "5f0c".to_owned(),
            created_at: Some(1_700_000_000_000),
            digest: String::new(),
        };
        let entry = |before: &TableState, is_new: bool| {
            let written = is_new.then(|| metadata(def, &described).unwrap());
            let at = Timestamp::from_micros(1_700_000_000_123_456);
            let snapshot = SnapshotNumber(42);
            table_commit(def, before, &change, written, snapshot, at, is_new).unwrap()
        };
        let first = entry(&TableState::default(), true);
        assert_eq!(first.version, 0);
        assert_eq!(first.log, FIRST.join("\n") + "\n");
        let known = TableState {
            version: Some(7),
            ..TableState::default()
        };
        let rewritten = entry(&known, false);
        assert_eq!(rewritten.version, 8);
        let later = FIRST[2..].join("\n") + "\n";
        let later = later.replace(r#""dataChange":true"#, r#""dataChange":false"#);
        assert_eq!(rewritten.log, later.replace("MERGE", "OPTIMIZE"));
    }

    const FIRST: [&str; 6] = [
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#,
        r#"{"metaData":{"id":"5f0c","name":"products","description":null,"format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"provider\",\"type\":\"string\",\"nullable\":false,\"metadata\":{}},{\"name\":\"external_id\",\"type\":\"string\",\"nullable\":false,\"metadata\":{}},{\"name\":\"parent_id\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},{\"name\":\"name\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},{\"name\":\"sku\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},{\"name\":\"category\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},{\"name\":\"price\",\"type\":\"decimal(19,4)\",\"nullable\":true,\"metadata\":{}},{\"name\":\"currency\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},{\"name\":\"is_active\",\"type\":\"boolean\",\"nullable\":true,\"metadata\":{}},{\"name\":\"properties\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":[],"createdTime":1700000000000,"configuration":{"delta.dataSkippingNumIndexedCols":"0","delta.enableExpiredLogCleanup":"false"}}}"#,
        r#"{"remove":{"path":"part-0-c.parquet","dataChange":true,"deletionTimestamp":1700000000123,"extendedFileMetadata":true,"partitionValues":{},"size":2048}}"#,
        r#"{"add":{"path":"part-1-a.parquet","partitionValues":{},"size":2048,"modificationTime":1700000000123,"dataChange":true,"stats":"{\"numRecords\":3,\"minValues\":{},\"maxValues\":{},\"nullCount\":{}}","tags":null,"baseRowId":null,"defaultRowCommitVersion":null,"clusteringProvider":null}}"#,
        r#"{"add":{"path":"part-1-b.parquet","partitionValues":{},"size":2048,"modificationTime":1700000000123,"dataChange":true,"stats":"{\"numRecords\":3,\"minValues\":{\"person_id\":-1},\"maxValues\":{\"person_id\":9},\"nullCount\":{\"person_id\":0}}","tags":{"rollbook.groups":"-1-4 5-9","rollbook.times":"-7-8","rollbook.xxh3":"00c0ffee"},"baseRowId":null,"defaultRowCommitVersion":null,"clusteringProvider":null}}"#,
        r#"{"commitInfo":{"timestamp":1700000000123,"operation":"MERGE","engineInfo":"rollbook/0.1.0","rollbookSnapshot":42}}"#,
    ];
}
