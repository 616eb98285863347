//! The writer of a table's Parquet files: in the table's order, and durable before a commit refers to
//! them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use rollbook_model::{ColumnDef, ColumnType, TableDef};
use tempfile::NamedTempFile;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::DataFile;
use crate::table::key_index::KeyRun;

/// A file with at least this number of rows ends where the rows of a person end. A change of a row
/// rewrites its file.
const FILE_ROWS: u64 = 512 * 1024;
/// A row group with at least this number of rows ends where the rows of a person end.
const GROUP_ROWS: usize = 128 * 1024;
/// The largest number of rows of a row group, even where one person has more rows.
const MOST_GROUP_ROWS: usize = 1024 * 1024;
/// The largest number of rows of a page.
const PAGE_ROWS: usize = 8 * 1024;

/// The column with the provider's ids of records. Each row group has a Bloom filter of it.
const ID: &str = "external_id";
/// The share of false positives of a Bloom filter.
const BLOOM_ERRORS: f64 = 0.01;

/// Writes rows of a table, which must be in order, to as many files as they need.
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
    /// First and last person of each finished row group.
    groups: Vec<[i64; 2]>,
    group: Option<OpenGroup>,
    /// First and last time of the rows so far.
    times: Option<[i64; 2]>,
    keys: KeyRun,
}

/// The row group that is being written.
#[derive(Debug, Clone, Copy)]
struct OpenGroup {
    rows: usize,
    first_person: i64,
    last_person: i64,
}

impl<'a> TableWriter<'a> {
    /// A writer of files of `def` in its stored schema.
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
    ///
    /// # Errors
    /// - [`LakeError::Parquet`]: the rows cannot be written as Parquet, for example since they have
    ///   another schema.
    /// - [`LakeError::PathOutsideLake`]: the table's folder leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store or a temporary file cannot be written.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        // From here on vacuum spares the files of this handle.
        self.lake.lease().await;
        let by_person = self.def.is_personal_fact();
        let persons = batch.column_by_name("person_id").filter(|_| by_person);
        let Some(persons) = persons else {
            return self.append(batch, None);
        };
        let persons = persons.as_primitive::<Int64Type>().values().clone();
        let mut begin = 0;
        while begin < persons.len() {
            let end = begin + self.room(&persons[begin..]);
            if begin < end {
                let ends = [persons[begin], persons[end - 1]];
                self.append(&batch.slice(begin, end - begin), Some(ends))?;
            }
            // The next batch may begin with more rows of the last person.
            if end < persons.len() {
                self.end_group().await?;
            }
            begin = end;
        }
        Ok(())
    }

    /// How many of the next rows belong to the open row group: all until it is full, then the remaining
    /// rows of its last person.
    fn room(&self, persons: &[i64]) -> usize {
        let group = self.open.as_ref().and_then(|file| file.group);
        let (rows, mut last) = group.map_or((0, None), |g| (g.rows, Some(g.last_person)));
        let mut taken = GROUP_ROWS.saturating_sub(rows).min(persons.len());
        if let Some(person) = taken.checked_sub(1).and_then(|at| persons.get(at)) {
            last = Some(*person);
        }
        taken += persons[taken..]
            .iter()
            .take_while(|person| Some(**person) == last)
            .count();
        taken
    }

    /// Finishes the last file and returns all files.
    ///
    /// # Errors
    /// The errors of [`TableWriter::write`].
    pub async fn finish(mut self) -> Result<Vec<DataFile>, LakeError> {
        self.close().await?;
        Ok(self.finished)
    }

    /// Adds rows to the open row group.
    fn append(&mut self, rows: &RecordBatch, ends: Option<[i64; 2]>) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.rows += rows.num_rows() as u64;
        file.times = match (file.times, times_of(self.def, rows)) {
            (Some([first, last]), Some([from, to])) => Some([first.min(from), last.max(to)]),
            (known, new) => known.or(new),
        };
        file.keys.add(self.def, rows);
        if let Some([first, last]) = ends {
            let group = file.group.get_or_insert(OpenGroup {
                rows: 0,
                first_person: first,
                last_person: last,
            });
            group.rows += rows.num_rows();
            group.last_person = last;
        }
        let written = file.writer.write(rows);
        written.map_err(|source| self.failed(source))?;
        self.open = Some(file);
        Ok(())
    }

    /// Ends the open row group, and the file where it is full.
    async fn end_group(&mut self) -> Result<(), LakeError> {
        let Some(mut file) = self.open.take() else {
            return Ok(());
        };
        let flushed = file.writer.flush();
        flushed.map_err(|source| self.failed(source))?;
        let ended = file.group.take();
        file.groups
            .extend(ended.map(|group| [group.first_person, group.last_person]));
        let is_full = file.rows >= FILE_ROWS;
        self.open = Some(file);
        if is_full {
            self.close().await?;
        }
        Ok(())
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
            groups: Vec::new(),
            group: None,
            times: None,
            keys: KeyRun::default(),
        })
    }

    async fn close(&mut self) -> Result<(), LakeError> {
        let Some(mut file) = self.open.take() else {
            return Ok(());
        };
        let flushed = file.writer.flush();
        flushed.map_err(|source| self.failed(source))?;
        let ended = file.group.take();
        let mut groups = file.groups;
        groups.extend(ended.map(|group| [group.first_person, group.last_person]));
        let ends = groups.first().zip(groups.last());
        let (min_person, max_person) = ends.map(|(first, last)| (first[0], last[1])).unzip();
        // A person with more rows than the largest row group has several row groups.
        if groups.len() != file.writer.flushed_row_groups().len() {
            groups.clear();
        }
        let staged = file
            .writer
            .into_inner()
            .map_err(|source| self.failed(source))?;
        let name = format!(
            "part-{}-{}.parquet",
            self.lake.lease().await,
            Uuid::new_v4()
        );
        let path = self.lake.path(&format!("{}/{name}", self.def.name));
        let (size, checksum) = measure(staged.as_file()).map_err(|source| LakeError::File {
            doing: "read back",
            path: staged.path().to_owned(),
            source,
        })?;
        self.lake.store().put_file(&path, staged).await?;
        file.keys.finish(self.lake, &path).await?;
        self.finished.push(DataFile {
            path: name,
            size,
            rows: file.rows,
            min_person,
            max_person,
            groups,
            times: file.times,
            checksum,
        });
        Ok(())
    }

    fn failed(&self, source: ParquetError) -> LakeError {
        // For a Bloom filter that cannot be written the writer returns only the message of the error.
        if let ParquetError::General(message) = &source
            && let Some(code) = os_error_code(message)
        {
            return LakeError::File {
                doing: "write",
                path: self.def.name.into(),
                source: std::io::Error::from_raw_os_error(code),
            };
        }
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
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(MOST_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting));
    // Readers skip pages by the sort columns.
    for name in ["person_id"].into_iter().chain(def.time) {
        builder =
            builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    // Few rows have equal times: a dictionary would be larger and slower.
    if let Some(name) = def.time {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(name), false)
            .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for column in def.columns.iter().filter(|column| is_read_often(column)) {
        builder =
            builder.set_column_compression(ColumnPath::from(column.name), Compression::LZ4_RAW);
    }
    // A query for one record by its id skips most row groups.
    if schema.index_of(ID).is_ok() {
        builder = builder
            .set_column_bloom_filter_enabled(ColumnPath::from(ID), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(ID), BLOOM_ERRORS)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(ID), GROUP_ROWS as u64);
    }
    builder.build()
}

/// The error code of the system in a message, as the standard library formats it.
fn os_error_code(message: &str) -> Option<i32> {
    let (_, after) = message.split_once("(os error ")?;
    after.split_once(')')?.0.parse().ok()
}

/// Whether segments and reports often read the whole column. Such columns are short, and get a
/// compression that is fast rather than strong.
fn is_read_often(column: &ColumnDef) -> bool {
    match column.ty {
        ColumnType::Text => ["type", "status", "stage"].contains(&column.name),
        ColumnType::Json | ColumnType::TextList => false,
        _ => true,
    }
}

/// First and last time of rows, in microseconds.
pub(crate) fn times_of(def: &TableDef, rows: &RecordBatch) -> Option<[i64; 2]> {
    let times = rows
        .column_by_name(def.time?)?
        .as_primitive_opt::<TimestampMicrosecondType>()?;
    Some([min(times)?, max(times)?])
}

/// The size of a file, and the XXH3 hash of its bytes in hexadecimal.
pub(crate) fn measure(mut file: &File) -> std::io::Result<(u64, String)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => {
                size += length as u64;
                hasher.update(&buffer[..length]);
            }
        }
    }
    Ok((size, format!("{:016x}", hasher.digest())))
}
