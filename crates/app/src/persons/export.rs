//! Export of all data on one person, for a subject access request.

use arrow::error::ArrowError;
use rollbook_engine::{EngineError, Parameter, Parameters, Session};
use rollbook_model::{SnapshotNumber, Timestamp, tables};
use rollbook_queries::persons::RECORDS;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{column_order, show};
use crate::rows::json;
use crate::segments::PersonChange;
use crate::{AppError, RecordBatch, Workspace};

/// All data on a person.
#[derive(Debug, Serialize)]
pub struct PersonExport {
    /// The row of `people`, in reading order.
    #[serde(serialize_with = "column_order::serialize")]
    pub person: Value,
    /// Their records.
    pub records: Box<RawValue>,
    /// The segments that they are a member of, as of the last refresh of each.
    pub segments: Vec<String>,
    /// When they entered and left segments, oldest first.
    pub segment_changes: Option<Vec<PersonChange>>,
    /// Their rows by table.
    pub rows: TableRows,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that the traits are computed for.
    pub as_of: Timestamp,
}

/// Rows as JSON by name of the table, in the order of the tables.
#[derive(Debug)]
pub struct TableRows {
    tables: Vec<(&'static str, Box<RawValue>)>,
    count: u64,
}

impl TableRows {
    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Serialize for TableRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.tables.len()))?;
        for (table, rows) in &self.tables {
            map.serialize_entry(table, rows)?;
        }
        map.end()
    }
}

/// All data on a person: the row of `people`, the records, and their rows of every table.
///
/// # Errors
/// There is no lake; [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; a query exceeds its limits.
pub async fn export(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
) -> Result<PersonExport, AppError> {
    workspace.require("persons::export::export")?;
    let shown = show(workspace, person, as_of, true).await?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    // With one row per record, as each source has it.
    let session = workspace
        .session_of_records(&lake, &state, as_of, None)
        .await?;
    let id = [("person_id", Parameter::Int(person))];
    let records = all_rows(&session, RECORDS, &id).await?;
    let (mut tables, mut count) = (Vec::new(), 0);
    for def in tables::TABLES.iter().filter(|def| def.is_personal_fact()) {
        let sql = format!("select * from {} where person_id = $person_id", def.name);
        let found = all_rows(&session, &sql, &id).await?;
        let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
        if rows > 0 {
            tables.push((def.name, raw(&found)?));
            count += rows as u64;
        }
    }
    Ok(PersonExport {
        person: shown.person,
        records: raw(&records)?,
        segments: shown.segments,
        segment_changes: shown.segment_changes,
        rows: TableRows { tables, count },
        snapshot: shown.snapshot,
        as_of,
    })
}

/// Rows as JSON text, with their columns in order.
pub(super) fn raw(batches: &[RecordBatch]) -> Result<Box<RawValue>, AppError> {
    let bytes = json(batches).map_err(|source| AppError::Rows { source })?;
    serde_json::from_slice(&bytes).map_err(|error| AppError::Rows {
        source: ArrowError::JsonError(error.to_string()),
    })
}

/// All rows of a query: an export is not cut at the row limit.
async fn all_rows(
    session: &Session,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<RecordBatch>, EngineError> {
    let mut rows = session.stream_with(sql, parameters).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next_batch().await? {
        batches.push(batch);
    }
    Ok(batches)
}
