//! Export of all data on one person, for a subject access request.

use rollbook_engine::{EngineError, Parameter, Parameters, Session};
use rollbook_model::{Timestamp, tables};
use rollbook_queries::persons::RECORDS;
use serde_json::{Map, Value, json};

use super::show;
use crate::rows::objects;
use crate::{AppError, RecordBatch, Workspace};

/// All data on a person: the row of `people`, the records, and their rows of every table.
///
/// # Errors
/// There is no lake; [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; a query exceeds its limits.
pub async fn export(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
) -> Result<Value, AppError> {
    let shown = show(workspace, person, as_of, true).await?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    // With one row per record, as each source has it.
    let session = workspace
        .session_of_records(&lake, &state, as_of, None)
        .await?;
    let id = [("person_id", Parameter::Int(person))];
    let records = all_rows(&session, RECORDS, &id).await?;
    let mut rows = Map::new();
    for def in tables::TABLES.iter().filter(|def| def.is_personal_fact()) {
        let sql = format!("select * from {} where person_id = $person_id", def.name);
        let found = objects(&all_rows(&session, &sql, &id).await?)?;
        if !found.is_empty() {
            rows.insert(def.name.to_owned(), Value::Array(found));
        }
    }
    Ok(json!({
        "person": shown.person,
        "records": objects(&records)?,
        "segments": shown.segments,
        "segment_changes": shown.segment_changes,
        "rows": rows,
        "snapshot": shown.snapshot,
        "as_of": as_of,
    }))
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
