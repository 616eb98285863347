//! The table `identity_log`: which records moved to which persons, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{sort_to_indices, take_record_batch};
use rollbook_identity::normalise::VERSION;
use rollbook_identity::token::MatchRule;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::{Lake, TableChange};
use rollbook_model::Timestamp;
use rollbook_model::tables::IDENTITY_LOG;
use serde_json::Value;
use uuid::Uuid;

use crate::IngestError;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogEntry {
    /// Its id, if it already has one.
    pub(crate) id: Option<String>,
    pub(crate) action: &'static str,
    /// The record; `None` of a decision, which may be about several.
    pub(crate) identity: Option<i64>,
    /// Its person before; `None` of a new record.
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
    pub(crate) rule: Option<MatchRule>,
    /// The entry that caused this one, and its author.
    pub(crate) cause: Option<(String, String)>,
    pub(crate) evidence: Value,
}

/// A new id of a log entry; ids sort by time.
pub(crate) fn new_entry() -> String {
    Uuid::now_v7().to_string()
}

/// Writes log entries as rows.
pub(crate) async fn write(
    lake: &Lake,
    entries: &[LogEntry],
    at: Timestamp,
) -> Result<TableChange, IngestError> {
    let mut change = TableChange::default();
    if entries.is_empty() {
        return Ok(change);
    }
    let id = |entry: &LogEntry| entry.id.clone().unwrap_or_else(new_entry);
    let ids: Vec<String> = entries.iter().map(id).collect();
    let text = |of: &dyn Fn(&LogEntry) -> Option<String>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(&LogEntry) -> Option<i64>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<Int64Array>())
    };
    let schema = IDENTITY_LOG.stored_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "entry_id" => Arc::new(StringArray::from_iter_values(&ids)) as ArrayRef,
            "at" => {
                let times = entries.iter().map(|_| Some(at.micros()));
                let times: TimestampMicrosecondArray = times.collect();
                Arc::new(times.with_timezone("UTC"))
            }
            "action" => text(&|entry| Some(entry.action.to_owned())),
            "identity_id" => number(&|entry| entry.identity),
            "from_person" => number(&|entry| entry.from),
            "to_person" => number(&|entry| entry.to),
            "rule" => text(&|entry| entry.rule.map(|rule| rule.name().to_owned())),
            "decided_by" => text(&|entry| entry.cause.as_ref().map(|(_, by)| by.clone())),
            "decision" => text(&|entry| entry.cause.as_ref().map(|(cause, _)| cause.clone())),
            "normaliser" => number(&|_| Some(i64::from(VERSION))),
            _ => text(&|entry| Some(entry.evidence.to_string())),
        });
    let columns: Vec<ArrayRef> = columns.collect();
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(IngestError::rows(IDENTITY_LOG.name, "assembled"))?;
    let mut writer = TableWriter::new(lake, IDENTITY_LOG);
    // In order of their names, which are in order of time but for those of one millisecond.
    let order = sort_to_indices(&rows["entry_id"], None, None);
    let rows = order.and_then(|order| take_record_batch(&rows, &order));
    let rows = rows.map_err(IngestError::rows(IDENTITY_LOG.name, "put in order"))?;
    writer.write(&rows).await?;
    change.adds = writer.finish().await?;
    Ok(change)
}
