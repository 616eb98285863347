//! Writing rows in the sort order of their table. DataFusion sorts them, spilling to disk beyond its
//! memory limit.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt};
use rollbook_engine::EngineError;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::{DataFile, Lake};
use rollbook_model::TableDef;
use rollbook_model::config::{Limits, SORT_MEMORY};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::IngestError;

/// Batches in the channels before and after the sort, at most.
const WAITING: usize = 4;

/// Rows on their way into sorted files of one table.
pub(crate) struct SortedWriter {
    sender: mpsc::Sender<RecordBatch>,
    files: JoinHandle<Result<Vec<DataFile>, IngestError>>,
}

impl SortedWriter {
    pub(crate) fn start(lake: &Lake, def: &'static TableDef, mut limits: Limits) -> Self {
        limits.memory = limits.memory.min(SORT_MEMORY);
        let (sender, receiver) = mpsc::channel(WAITING);
        let files = tokio::spawn(write(lake.clone(), def, limits, receiver));
        Self { sender, files }
    }

    /// Adds rows in the stored schema, in any order.
    pub(crate) async fn send(&self, batch: RecordBatch) {
        // A closed channel means that writing failed; `finish` tells why.
        let _ = self.sender.send(batch).await;
    }

    /// Waits until the files are written.
    pub(crate) async fn finish(self) -> Result<Vec<DataFile>, IngestError> {
        drop(self.sender);
        self.files.await.unwrap_or_else(|error| {
            let detail = error.to_string();
            Err(IngestError::Rows {
                table: "a table",
                doing: "sorted",
                detail,
            })
        })
    }
}

async fn write(
    lake: Lake,
    def: &'static TableDef,
    limits: Limits,
    receiver: mpsc::Receiver<RecordBatch>,
) -> Result<Vec<DataFile>, IngestError> {
    let schema = def.stored_schema();
    let input = Input {
        schema: schema.clone(),
        receiver: Mutex::new(Some(receiver)),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(input)]).map_err(|error| {
        let (table, detail) = (def.name, error.to_string());
        IngestError::Rows {
            table,
            doing: "sorted",
            detail,
        }
    })?;
    let mut rows = rollbook_engine::in_order(limits, Arc::new(table), &def.sort_columns()).await?;
    // Merging goes on while files are written.
    let (sender, mut merged) = mpsc::channel(WAITING);
    let merging = tokio::spawn(async move {
        while let Some(batch) = rows.try_next().await? {
            if sender.send(batch).await.is_err() {
                // Writing has failed, and tells why.
                break;
            }
        }
        Ok::<_, EngineError>(())
    });
    let mut writer = TableWriter::new(&lake, def);
    while let Some(batch) = merged.recv().await {
        writer.write(&batch).await?;
    }
    merging.await.map_err(|error| IngestError::Rows {
        table: def.name,
        doing: "sorted",
        detail: error.to_string(),
    })??;
    Ok(writer.finish().await?)
}

struct Input {
    schema: SchemaRef,
    receiver: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl PartitionStream for Input {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let batches = futures::stream::unfold(receiver, |receiver| async {
            let mut receiver = receiver?;
            let batch = receiver.recv().await?;
            Some((Ok(batch), Some(receiver)))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            batches.boxed(),
        ))
    }
}
