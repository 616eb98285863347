//! Quarantined records as sources for the mappings that rejected them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, State};
use rollbook_model::{ProviderName, tables::QUARANTINE};

use crate::IngestError;
use crate::rows::file_columns::{FileColumns, KEY_SET};

type Record = serde_json::Map<String, serde_json::Value>;

/// Quarantined records by the mapping that refused them.
pub(crate) struct QuarantinedRecords {
    by_mapping: BTreeMap<String, MappingRecords>,
}

#[derive(Default)]
pub(crate) struct MappingRecords {
    pub(crate) ids: Vec<String>,
    files: Vec<String>,
    lines: Vec<i64>,
    cells: Vec<Record>,
}

/// The quarantined records of one mapping as a table that stands in for its driving source.
pub(crate) struct RetryTable {
    pub(crate) rows: RecordBatch,
    /// The columns that each record had in its file.
    pub(crate) file_columns: FileColumns,
}

/// Loads the quarantined records of a provider that have columns. Records that the reader refused have none:
/// their file must be repaired.
pub(crate) async fn load(
    lake: &Lake,
    state: &State,
    provider: &ProviderName,
) -> Result<QuarantinedRecords, IngestError> {
    let failed = IngestError::rows(QUARANTINE.name, "read");
    let mut records: HashMap<String, Record> = HashMap::new();
    for batch in Vault::new(lake, QUARANTINE).batches().await? {
        let batch = batch?;
        let ids = batch["quarantine_id"].as_string::<i32>();
        for (id, record) in ids.iter().zip(batch["record"].as_string::<i32>()) {
            let parsed = record.and_then(|record| serde_json::from_str(record).ok());
            if let (Some(id), Some(serde_json::Value::Object(cells))) = (id, parsed) {
                records.insert(id.to_owned(), cells);
            }
        }
    }
    let mut by_mapping: BTreeMap<String, MappingRecords> = BTreeMap::new();
    for file in &state.table(QUARANTINE.name).files {
        for batch in read_file(lake, QUARANTINE, file, None).await? {
            let batch = batch.map_err(&failed)?;
            let text =
                |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
            let lines = batch["line"].as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let id = text("quarantine_id", row);
                let is_readable = matches!(
                    text("code", row).as_str(),
                    "bad_value" | "missing_value" | "dropped"
                );
                if text("provider", row) != provider.as_str() || !is_readable {
                    continue;
                }
                if let Some(cells) = records.remove(&id) {
                    by_mapping.entry(text("mapping", row)).or_default().push(
                        id,
                        text("file", row),
                        lines.value(row),
                        cells,
                    );
                }
            }
        }
    }
    Ok(QuarantinedRecords { by_mapping })
}

impl QuarantinedRecords {
    pub(crate) fn of(&self, mapping: &str) -> Option<&MappingRecords> {
        self.by_mapping.get(mapping)
    }

    /// The index of each file in the order of file names.
    pub(crate) fn places(&self) -> HashMap<String, u64> {
        let mut files: Vec<_> = self
            .by_mapping
            .values()
            .flat_map(|r| r.files.clone())
            .collect();
        files.sort_unstable();
        files.dedup();
        files.into_iter().zip(0..).collect()
    }
}

impl MappingRecords {
    /// A row refused twice, for two of its outputs, is tried once.
    fn push(&mut self, id: String, file: String, line: i64, cells: Record) {
        self.ids.push(id);
        let known = self
            .files
            .iter()
            .zip(&self.lines)
            .any(|(f, l)| *f == file && *l == line);
        if !known {
            self.files.push(file);
            self.lines.push(line);
            self.cells.push(cells);
        }
    }

    /// The records as a text table with `_file` and `_line`; it also has the `optional` columns.
    pub(crate) fn table(&self, optional: &[String]) -> Result<RetryTable, IngestError> {
        let mut names: Vec<&str> = optional.iter().map(String::as_str).collect();
        let mut known: HashSet<&str> = names.iter().copied().collect();
        let keys = self.cells.iter().flat_map(|cells| cells.keys());
        names.extend(keys.map(String::as_str).filter(|name| known.insert(*name)));
        let column = |name: &&str| -> ArrayRef {
            let cells = self
                .cells
                .iter()
                .map(|cells| cells.get(*name).and_then(|v| v.as_str()));
            Arc::new(cells.collect::<StringArray>())
        };
        let file_columns = FileColumns::default();
        let sets = self.cells.iter().map(|cells| {
            let keys: Vec<String> = cells.keys().cloned().collect();
            file_columns.number(&keys)
        });
        let sets: UInt32Array = sets.collect();
        let mut columns: Vec<ArrayRef> = names.iter().map(column).collect();
        columns.push(Arc::new(StringArray::from_iter_values(&self.files)));
        columns.push(Arc::new(Int64Array::from(self.lines.clone())));
        columns.push(Arc::new(sets));
        let text = names
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true));
        let place = [
            Field::new("_file", DataType::Utf8, true),
            Field::new("_line", DataType::Int64, true),
            Field::new(KEY_SET, DataType::UInt32, true),
        ];
        let schema = Arc::new(Schema::new(text.chain(place).collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, columns)
            .map_err(IngestError::rows(QUARANTINE.name, "assembled"))?;
        Ok(RetryTable { rows, file_columns })
    }
}
