//! Parquet files of a table, written in the table's order and durable before anyone names them.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rollbook_model::TableDef;
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::DataFile;

/// Rows of one file; at the next person boundary after them a new file begins.
const FILE_ROWS: u64 = 2_000_000;
/// Rows of one row group.
const ROW_GROUP_ROWS: usize = 256 * 1024;

/// Writes a table's rows, already in order, into as many files as they need.
#[derive(Debug)]
pub struct TableWriter<'a> {
    lake: &'a Lake,
    def: &'static TableDef,
    schema: SchemaRef,
    open: Option<OpenFile>,
    finished: Vec<DataFile>,
}

#[derive(Debug)]
struct OpenFile {
    writer: ArrowWriter<NamedTempFile>,
    rows: u64,
    first_person: Option<i64>,
    last_person: Option<i64>,
}

impl<'a> TableWriter<'a> {
    /// A writer of files of `def` in the stored schema.
    pub fn new(lake: &'a Lake, def: &'static TableDef) -> Self {
        Self {
            lake,
            def,
            schema: def.stored_schema(),
            open: None,
            finished: Vec::new(),
        }
    }

    /// Writes rows that follow all earlier ones in the table's order.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self
            .open
            .as_ref()
            .is_some_and(|file| file.rows >= FILE_ROWS)
        {
            self.close().await?;
        }
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.rows += batch.num_rows() as u64;
        if let Some(persons) = batch.column_by_name("person_id") {
            let persons = persons.as_primitive::<Int64Type>();
            file.first_person = file.first_person.or(Some(persons.value(0)));
            file.last_person = Some(persons.value(persons.len() - 1));
        }
        file.writer
            .write(batch)
            .map_err(|source| self.failed(source))?;
        self.open = Some(file);
        Ok(())
    }

    /// Finishes the last file and returns all of them.
    pub async fn finish(mut self) -> Result<Vec<DataFile>, LakeError> {
        self.close().await?;
        Ok(self.finished)
    }

    fn begin(&self) -> Result<OpenFile, LakeError> {
        let staged = self
            .lake
            .store()
            .staging_file(&self.lake.path(self.def.name))?;
        let properties = properties(self.def, &self.schema);
        let writer = ArrowWriter::try_new(staged, self.schema.clone(), Some(properties))
            .map_err(|source| self.failed(source))?;
        Ok(OpenFile {
            writer,
            rows: 0,
            first_person: None,
            last_person: None,
        })
    }

    async fn close(&mut self) -> Result<(), LakeError> {
        let Some(file) = self.open.take() else {
            return Ok(());
        };
        let staged = file
            .writer
            .into_inner()
            .map_err(|source| self.failed(source))?;
        let name = format!("part-{}.parquet", Uuid::new_v4());
        let path = self.lake.path(&format!("{}/{name}", self.def.name));
        let size = staged
            .as_file()
            .metadata()
            .map(|meta| meta.len())
            .unwrap_or_default();
        self.lake.store().put_file(&path, staged).await?;
        let (rows, min_person, max_person) = (file.rows, file.first_person, file.last_person);
        self.finished.push(DataFile {
            path: name,
            size,
            rows,
            min_person,
            max_person,
        });
        Ok(())
    }

    fn failed(&self, source: parquet::errors::ParquetError) -> LakeError {
        LakeError::Parquet {
            doing: "write",
            path: self.def.name.to_owned(),
            source,
        }
    }
}

fn properties(def: &TableDef, schema: &SchemaRef) -> WriterProperties {
    let sorting = def
        .sort_columns()
        .iter()
        .filter_map(|name| schema.index_of(name).ok())
        .filter_map(|index| i32::try_from(index).ok())
        .map(|column_idx| SortingColumn {
            column_idx,
            descending: false,
            nulls_first: true,
        })
        .collect();
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting))
        .build()
}
