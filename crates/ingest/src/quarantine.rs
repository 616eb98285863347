//! Refused rows on their way to the table `quarantine`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use rollbook_model::{BatchId, ProviderName, Timestamp, tables};
use xxhash_rust::xxh3::xxh3_128;

use crate::IngestError;
use crate::rows::canonical::staged_schema;
use crate::rows::stage::Stage;

pub(crate) mod entries;
pub(crate) mod retry;
pub(crate) mod settled;

/// Entries in memory before they are staged.
const BUFFERED: usize = 4_096;

/// One refused row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuarantineEntry {
    pub(crate) mapping: String,
    pub(crate) table: &'static str,
    pub(crate) file: String,
    pub(crate) line: i64,
    pub(crate) column: Option<String>,
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    pub(crate) value: Option<String>,
    pub(crate) record: String,
}

/// Entries of one run, staged as rows of `quarantine`.
pub(crate) struct Quarantine {
    batch: BatchId,
    provider: ProviderName,
    at: Timestamp,
    waiting: Vec<QuarantineEntry>,
    stage: Stage,
    /// The run fails with more entries than this.
    most: u64,
    count: u64,
    /// The line of the first one, and its error code.
    first: Option<(i64, &'static str)>,
}

impl Quarantine {
    pub(crate) fn new(
        batch: BatchId,
        provider: ProviderName,
        at: Timestamp,
        folder: &Path,
        most: u64,
    ) -> Result<Self, IngestError> {
        let stage = Stage::new(tables::QUARANTINE, folder)?;
        Ok(Self {
            batch,
            provider,
            at,
            waiting: Vec::new(),
            stage,
            most,
            count: 0,
            first: None,
        })
    }

    pub(crate) fn add(&mut self, entry: QuarantineEntry) -> Result<(), IngestError> {
        self.count += 1;
        let (line, code) = *self.first.get_or_insert((entry.line, entry.code));
        if self.count > self.most {
            let most = self.most;
            return Err(IngestError::TooManyRefused { most, line, code });
        }
        self.waiting.push(entry);
        if self.waiting.len() >= BUFFERED {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// The quarantined rows as a stage, to be compared with those in the lake.
    pub(crate) fn into_stage(mut self) -> Result<Stage, IngestError> {
        self.flush()?;
        self.stage.finish()?;
        Ok(self.stage)
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        let entries = std::mem::take(&mut self.waiting);
        if entries.is_empty() {
            return Ok(());
        }
        let text = |of: fn(&QuarantineEntry) -> Option<&str>| -> ArrayRef {
            Arc::new(entries.iter().map(of).collect::<StringArray>())
        };
        let same = |value: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(entries.iter().map(|_| value)))
        };
        let ids = entries.iter().map(|entry| id_of(&self.provider, entry));
        let at = vec![self.at.micros(); entries.len()];
        let schema = staged_schema(tables::QUARANTINE);
        let columns = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "quarantine_id" => Arc::new(StringArray::from_iter_values(ids.clone())),
                "batch" => same(self.batch.as_str()),
                "provider" => same(self.provider.as_str()),
                "mapping" => text(|e| Some(&e.mapping)),
                "table_name" => text(|e| Some(e.table)),
                "file" => text(|e| Some(&e.file)),
                "line" => Arc::new(entries.iter().map(|e| Some(e.line)).collect::<Int64Array>()),
                "column_name" => text(|e| e.column.as_deref()),
                "code" => text(|e| Some(e.code)),
                "reason" => text(|e| Some(&e.reason)),
                "quarantined_at" => {
                    Arc::new(TimestampMicrosecondArray::from(at.clone()).with_timezone("UTC"))
                }
                "value" => text(|e| e.value.as_deref()),
                "record" => text(|e| Some(&e.record)),
                _ => new_null_array(field.data_type(), entries.len()),
            });
        let rows = RecordBatch::try_new(schema.clone(), columns.collect())
            .map_err(IngestError::rows(tables::QUARANTINE.name, "assembled"))?;
        self.stage.add(&rows, true, |row| row as u64, |_| 0)
    }
}

/// The same row of the same file failing for the same reason is the same entry, in every run.
fn id_of(provider: &ProviderName, entry: &QuarantineEntry) -> String {
    let line = entry.line.to_string();
    let column = entry.column.as_deref().unwrap_or_default();
    let parts = [
        provider.as_str(),
        &entry.mapping,
        &entry.file,
        &line,
        entry.code,
        column,
        entry.value.as_deref().unwrap_or_default(),
        &entry.record,
    ];
    format!("{:032x}", xxh3_128(parts.join("\u{1f}").as_bytes()))
}
