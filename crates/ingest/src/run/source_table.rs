//! Source files as tables that a mapping can read: streamed, all columns text.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use rollbook_model::config::BATCH_ROWS;
use rollbook_read::{Reader, Refused, SourceFile};

use crate::IngestError;
use crate::mapping::Source;
use crate::rows::file_columns::{Columns, FileColumns, KEY_SET};
use crate::run::progress::{Event, Progress};

/// Batches that wait between the reader and the mapping.
const WAITING: usize = 2;

/// The columns of the files of a run, shared by the mappings that read them.
#[derive(Clone)]
pub(crate) struct SourceFiles {
    progress: Progress,
    known: Arc<Mutex<HashMap<String, KnownFile>>>,
}

#[derive(Clone)]
struct KnownFile {
    columns: Arc<[String]>,
    is_uneven: bool,
    /// Rows that were reported as read.
    reported: u64,
}

impl SourceFiles {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            progress,
            known: Arc::default(),
        }
    }

    /// The columns of a file, and whether some of its rows lack some of them.
    fn columns(&self, file: &SourceFile) -> Result<(Arc<[String]>, bool), IngestError> {
        if let Some(known) = self.known().get(&file.label) {
            return Ok((Arc::clone(&known.columns), known.is_uneven));
        }
        let reader = Reader::open(file, BATCH_ROWS)?;
        let columns: Arc<[String]> = reader.columns().into();
        let known = KnownFile {
            columns: Arc::clone(&columns),
            is_uneven: reader.is_uneven(),
            reported: 0,
        };
        self.known().insert(file.label.clone(), known);
        Ok((columns, reader.is_uneven()))
    }

    /// Reports that the first `rows` rows of a file were read, as far as that was not reported before.
    fn report_rows(&self, file: &SourceFile, rows: u64) {
        let more = match self.known().get_mut(&file.label) {
            Some(known) => {
                let more = rows.saturating_sub(known.reported);
                known.reported += more;
                more
            }
            None => rows,
        };
        if more > 0 {
            self.progress.report(Event::Rows { rows: more });
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, KnownFile>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of one source of a mapping.
#[derive(Clone)]
pub(crate) struct SourceTable {
    own: Arc<Vec<SourceFile>>,
    files: SourceFiles,
    schema: SchemaRef,
    refused: Arc<Mutex<RefusedRecords>>,
    file_columns: FileColumns,
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
struct RefusedRecords {
    places: HashSet<(String, i64)>,
    records: Vec<Refused>,
}

impl SourceTable {
    /// A table with the union of the columns of the files in `own`; a column that a file lacks is null in its
    /// rows. If rows of one file of the driving source have different columns, [`KEY_SET`] has those of each
    /// row.
    pub(crate) fn new(
        source: &Source,
        own: Vec<SourceFile>,
        files: &SourceFiles,
        is_driving: bool,
        keeps: bool,
    ) -> Result<Self, IngestError> {
        let mut names: Vec<String> = Vec::new();
        let mut columns_of: Vec<Columns> = Vec::new();
        let (mut known, mut is_uneven) = (HashSet::new(), false);
        for file in &own {
            let (columns, uneven) = files.columns(file)?;
            is_uneven |= uneven;
            for column in columns.iter() {
                if known.insert(column.clone()) {
                    names.push(column.clone());
                }
            }
            columns_of.push(Arc::new(columns.iter().cloned().collect()));
        }
        let mut is_alike = true;
        for (file, columns) in own.iter().zip(&columns_of) {
            let missing =
                |name: &&String| !columns.contains(*name) && !source.optional.contains(name);
            let columns: Vec<String> = names.iter().filter(missing).cloned().collect();
            if !columns.is_empty() {
                is_alike = false;
                files.progress.report(Event::ColumnsMissing {
                    file: file.label.clone(),
                    columns,
                    keeps,
                });
            }
        }
        let labels = own.iter().map(|file| file.label.clone());
        let file_columns = FileColumns::new(labels.zip(columns_of));
        let optional = source.optional.iter();
        names.extend(optional.filter(|name| !known.contains(*name)).cloned());
        let text = names
            .iter()
            .map(|name| Field::new(name, DataType::Utf8, true));
        let place = [
            Field::new("_file", DataType::Utf8, true),
            Field::new("_line", DataType::Int64, true),
        ];
        let has_sets = is_driving && is_uneven && !names.iter().any(|name| name == KEY_SET);
        let sets = has_sets.then(|| Field::new(KEY_SET, DataType::UInt32, true));
        let fields: Vec<Field> = text.chain(place).chain(sets).collect();
        Ok(Self {
            own: Arc::new(own),
            files: files.clone(),
            schema: Arc::new(Schema::new(fields)),
            refused: Arc::default(),
            file_columns,
            is_alike,
        })
    }

    /// The columns that its files and rows have.
    pub(crate) fn file_columns(&self) -> &FileColumns {
        &self.file_columns
    }

    /// Whether all files have the same required columns.
    pub(crate) fn is_alike(&self) -> bool {
        self.is_alike
    }

    /// The table as a DataFusion table provider.
    pub(crate) fn provider(&self) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        Ok(Arc::new(StreamingTable::try_new(
            self.schema.clone(),
            vec![partition],
        )?))
    }

    /// Removes and returns the records that the readers refused so far.
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

    fn aligned(
        &self,
        batch: &RecordBatch,
        key_sets: Option<ArrayRef>,
    ) -> Result<RecordBatch, DataFusionError> {
        let columns: Vec<ArrayRef> = self
            .schema
            .fields()
            .iter()
            .map(
                |field| match (batch.column_by_name(field.name()), &key_sets) {
                    (Some(column), _) => Arc::clone(column),
                    (None, Some(sets)) if field.name() == KEY_SET => Arc::clone(sets),
                    _ => new_null_array(field.data_type(), batch.num_rows()),
                },
            )
            .collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// The number of each row's set of keys; `None` where the rows of the file have the same.
    fn key_sets(&self, reader: &Reader, numbers: &mut HashMap<usize, u32>) -> Option<ArrayRef> {
        self.schema.index_of(KEY_SET).ok()?;
        if !reader.is_uneven() {
            return None;
        }
        // The reader has each set once.
        let number = |keys: &Arc<[String]>| {
            let place = keys.as_ptr() as usize;
            *numbers
                .entry(place)
                .or_insert_with(|| self.file_columns.number(keys))
        };
        let numbers: UInt32Array = reader.key_sets().iter().map(number).collect();
        Some(Arc::new(numbers))
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
            for file in table.own.iter() {
                let mut reader = Reader::open(file, BATCH_ROWS).map_err(external)?;
                let (mut read, mut numbers) = (0, HashMap::new());
                while let Some(batch) = reader.next_batch(&mut refused).map_err(external)? {
                    table.refuse(&mut refused);
                    read += batch.num_rows() as u64;
                    table.files.report_rows(file, read);
                    let sets = table.key_sets(&reader, &mut numbers);
                    if sender.blocking_send(table.aligned(&batch, sets)).is_err() {
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
