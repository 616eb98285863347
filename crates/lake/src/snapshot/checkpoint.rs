//! Checkpoints of Delta logs: the content of a log up to a version in one object, so that readers need
//! not read the log from its beginning. They follow from the state of a snapshot; without them readers
//! are slower and nothing else.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use rollbook_model::{TableDef, Timestamp, tables};
use serde_json::{Value, json};

use crate::LakeError;
use crate::lake::Lake;
use crate::state::delta_log;
use crate::state::{State, TableState};

/// Versions of a table between two checkpoints. A reader needs about as long for so many log entries
/// as for a checkpoint.
const CHECKPOINT_EVERY: u64 = 32;

impl Lake {
    /// Writes checkpoints of the tables that a commit changed, where one is due. Errors are ignored: the
    /// next checkpoint replaces one that could not be written.
    pub(crate) async fn put_checkpoints(&self, before: &State, after: &State, at: Timestamp) {
        for (name, table) in &after.tables {
            let (Some(def), Some(version)) = (tables::table(name), table.version) else {
                continue;
            };
            let known = before.tables.get(name);
            let is_changed = known.is_none_or(|known| known.version != table.version);
            // A table of an older program may have a long log without any checkpoint.
            let is_first = known.is_some_and(|known| known.described.is_none());
            if is_changed && version > 0 && (is_first || version.is_multiple_of(CHECKPOINT_EVERY)) {
                drop(self.put_checkpoint(def, table, at).await);
            }
        }
    }

    /// Writes a checkpoint of a table that was copied with a log of any length.
    pub(crate) async fn put_checkpoint_of_backup(
        &self,
        def: &TableDef,
        table: &TableState,
        at: Timestamp,
    ) -> Result<(), LakeError> {
        match table.version {
            Some(version) if version >= CHECKPOINT_EVERY => {
                self.put_checkpoint(def, table, at).await
            }
            _ => Ok(()),
        }
    }

    async fn put_checkpoint(
        &self,
        def: &TableDef,
        table: &TableState,
        at: Timestamp,
    ) -> Result<(), LakeError> {
        let (Some(version), Some(actions)) = (
            table.version,
            delta_log::checkpoint_actions(def, table, at)?,
        ) else {
            return Ok(());
        };
        let failed = |source| LakeError::Parquet {
            doing: "write",
            path: delta_log::checkpoint_path(def.name, version),
            source,
        };
        let rows = rows_of(&actions).map_err(|error| failed(error.into()))?;
        let bytes = parquet_of(&rows).map_err(failed)?;
        let path = self.path(&delta_log::checkpoint_path(def.name, version));
        self.store().put_new(&path, &bytes).await?;
        // Readers follow this object to the checkpoint, so the checkpoint is written first.
        let newest = json!({
            "version": version,
            "size": actions.len(),
            "sizeInBytes": bytes.len(),
            "numOfAddFiles": table.files.len(),
        });
        let path = self.path(&delta_log::newest_checkpoint_path(def.name));
        let newest = newest.to_string();
        self.store().put_over(&path, newest.as_bytes()).await
    }

    /// The version of a table's newest checkpoint; `None` where there is no checkpoint.
    pub(crate) async fn newest_checkpoint(&self, table: &str) -> Result<Option<u64>, LakeError> {
        let path = self.path(&delta_log::newest_checkpoint_path(table));
        let found = self.store().get(&path).await?;
        let found = found.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        Ok(found.and_then(|newest| newest["version"].as_u64()))
    }
}

/// Actions of a log as rows of a checkpoint.
fn rows_of(actions: &[String]) -> Result<RecordBatch, ArrowError> {
    let schema = schema();
    let lines = actions.join("\n");
    let batches = ReaderBuilder::new(Arc::clone(&schema)).build(Cursor::new(lines))?;
    let batches: Vec<RecordBatch> = batches.collect::<Result<_, _>>()?;
    concat_batches(&schema, &batches)
}

fn parquet_of(rows: &RecordBatch) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.into_inner()
}

/// The columns of a checkpoint: one for each kind of action, with the fields that rollbook writes.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let map = |name: &str| {
        let key = Field::new("key", DataType::Utf8, false);
        let entry = DataType::Struct(Fields::from(vec![key, text("value")]));
        let entries = Arc::new(Field::new("key_value", entry, false));
        Field::new(name, DataType::Map(entries, false), true)
    };
    let element = Arc::new(text("element"));
    let file = |own: Vec<Field>| {
        let shared = vec![
            text("path"),
            map("partitionValues"),
            long("size"),
            flag("dataChange"),
            map("tags"),
        ];
        shared.into_iter().chain(own).collect::<Vec<_>>()
    };
    Arc::new(Schema::new(vec![
        group(
            "txn",
            vec![text("appId"), long("version"), long("lastUpdated")],
        ),
        group("add", file(vec![long("modificationTime"), text("stats")])),
        group(
            "remove",
            file(vec![
                long("deletionTimestamp"),
                flag("extendedFileMetadata"),
            ]),
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                Field::new("partitionColumns", DataType::List(element), true),
                long("createdTime"),
                map("configuration"),
            ],
        ),
        group(
            "protocol",
            vec![int("minReaderVersion"), int("minWriterVersion")],
        ),
    ]))
}
