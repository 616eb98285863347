//! The Delta log entries that a commit becomes, so that any reader of Delta finds our tables.

use std::collections::HashMap;

use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{
    Action, Add, CommitInfo, MetadataExt, Protocol, Remove, StructType, new_metadata,
};
use rollbook_model::{SnapshotNumber, TableDef, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::TableChange;
use crate::snapshot::TableCommit;
use crate::state::{DataFile, FileStatistics, TableState, tags};

/// The log entry for a change of a table, as the version after the one that it has.
pub(crate) fn table_commit(
    def: &TableDef,
    before: &TableState,
    change: &TableChange,
    snapshot: SnapshotNumber,
    at: Timestamp,
    data_change: bool,
) -> Result<TableCommit, LakeError> {
    let milliseconds = at.micros() / 1_000;
    let mut actions = Vec::new();
    if before.version.is_none() {
        actions.extend(first_actions(def)?);
    }
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
    let info = HashMap::from([("rollbookSnapshot".to_owned(), json!(snapshot.0))]);
    actions.push(Action::CommitInfo(CommitInfo {
        timestamp: Some(milliseconds),
        operation: Some(operation.to_owned()),
        engine_info: Some(concat!("rollbook/", env!("CARGO_PKG_VERSION")).to_owned()),
        info,
        ..Default::default()
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

fn first_actions(def: &TableDef) -> Result<Vec<Action>, LakeError> {
    let schema: StructType = def
        .stored_schema()
        .as_ref()
        .try_into_kernel()
        .map_err(|source| LakeError::Schema {
            table: def.name.to_owned(),
            source,
        })?;
    // Cleaning up old log entries is rollbook's own work: a reader must not do it by accident.
    let configuration = [("delta.enableExpiredLogCleanup", "false")];
    let metadata = new_metadata(&schema, Vec::<String>::new(), configuration)
        .and_then(|metadata| metadata.with_table_id(Uuid::new_v4().to_string()))
        .and_then(|metadata| metadata.with_name(def.name.to_owned()))
        .map_err(|error| damaged(def, &error))?;
    let protocol: Protocol =
        serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2}))
            .map_err(|error| damaged(def, &error))?;
    Ok(vec![Action::Protocol(protocol), Action::Metadata(metadata)])
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
        partition_values: HashMap::new(),
        size: file.size.cast_signed(),
        modification_time: milliseconds,
        data_change,
        stats: Some(stats),
        tags: tags(file),
        deletion_vector: None,
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
        partition_values: Some(HashMap::new()),
        size: Some(file.size.cast_signed()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

fn damaged(def: &TableDef, error: &dyn std::fmt::Display) -> LakeError {
    LakeError::Damaged {
        path: def.name.to_owned(),
        detail: error.to_string(),
    }
}
