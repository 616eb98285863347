//! Source files as tables that a mapping can read: streamed, all columns text.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use rollbook_model::config::BATCH_ROWS;

use crate::IngestError;
use crate::mapping::Source;
use crate::progress::{Event, Progress};
use rollbook_read::{Reader, Refused, SourceFile};

/// Batches that wait between the reader and the mapping.
const WAITING: usize = 2;

/// The files of one source of a mapping.
#[derive(Clone)]
pub(crate) struct SourceTable {
    files: Arc<Vec<SourceFile>>,
    schema: SchemaRef,
    refused: Arc<Mutex<Seen>>,
    progress: Progress,
    is_alike: bool,
}

impl std::fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceTable")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Records that readers refused, each once however often the files are read.
#[derive(Debug, Default)]
struct Seen {
    places: HashSet<(String, i64)>,
    records: Vec<Refused>,
}

impl SourceTable {
    /// The union of the columns of `files`; a column that a file lacks is null in its rows.
    pub(crate) fn new(
        source: &Source,
        files: Vec<SourceFile>,
        progress: Progress,
    ) -> Result<Self, IngestError> {
        let mut names: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        let mut own = Vec::new();
        for file in &files {
            let columns = Reader::open(file, BATCH_ROWS)?.columns().to_vec();
            for column in &columns {
                if known.insert(column.clone()) {
                    names.push(column.clone());
                }
            }
            own.push(columns);
        }
        let mut is_alike = true;
        for (file, own) in files.iter().zip(&own) {
            let missing = |name: &&String| !own.contains(name) && !source.optional.contains(name);
            let columns: Vec<String> = names.iter().filter(missing).cloned().collect();
            if !columns.is_empty() {
                is_alike = false;
                let file = file.label.clone();
                progress.tell(Event::ColumnsMissing { file, columns });
            }
        }
        names.extend(
            source
                .optional
                .iter()
                .filter(|name| !known.contains(*name))
                .cloned(),
        );
        let text = names
            .iter()
            .map(|name| Field::new(name, DataType::Utf8, true));
        let place = [
            Field::new("_file", DataType::Utf8, true),
            Field::new("_line", DataType::Int64, true),
        ];
        let schema = Arc::new(Schema::new(text.chain(place).collect::<Vec<_>>()));
        Ok(Self {
            files: Arc::new(files),
            schema,
            refused: Arc::default(),
            progress,
            is_alike,
        })
    }

    /// Whether no file lacks a column that another one has and that may not be missing.
    pub(crate) fn is_alike(&self) -> bool {
        self.is_alike
    }

    /// The table as DataFusion takes it.
    pub(crate) fn provider(&self) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        Ok(Arc::new(StreamingTable::try_new(
            self.schema.clone(),
            vec![partition],
        )?))
    }

    /// What the readers refused so far.
    pub(crate) fn take_refused(&self) -> Vec<Refused> {
        let mut seen = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut seen.records)
    }

    fn refuse(&self, records: &mut Vec<Refused>) {
        let mut seen = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records.drain(..) {
            if seen.places.insert((record.file.clone(), record.line)) {
                seen.records.push(record);
            }
        }
    }

    fn aligned(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let columns: Vec<ArrayRef> = self
            .schema
            .fields()
            .iter()
            .map(|field| match batch.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), batch.num_rows()),
            })
            .collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl PartitionStream for SourceTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), WAITING);
        let sender = builder.tx();
        let table = self.clone();
        builder.spawn_blocking(move || {
            let external = |error| DataFusionError::External(Box::new(error));
            let mut refused = Vec::new();
            for file in table.files.iter() {
                let mut reader = Reader::open(file, BATCH_ROWS).map_err(external)?;
                while let Some(batch) = reader.next_batch(&mut refused).map_err(external)? {
                    table.refuse(&mut refused);
                    table.progress.tell(Event::Rows {
                        rows: batch.num_rows() as u64,
                    });
                    if sender.blocking_send(table.aligned(&batch)).is_err() {
                        return Ok(());
                    }
                }
                table.refuse(&mut refused);
            }
            Ok(())
        });
        builder.build()
    }
}
