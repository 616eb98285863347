//! The time index: time, type and person of each row of a data file, in order of time.
//!
//! Data files are in order of persons, so the rows of a span of time are in all of their row groups. The
//! time index of a data file is written on first use, in a file of its own, and deleted with the data
//! file. Small files have none and are read whole.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use roaring::RoaringTreemap;
use rollbook_model::TableDef;
use rollbook_model::config::BATCH_ROWS;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::DataFile;
use crate::table::provider::read_file;

/// Files with at least this number of rows have a time index.
pub(crate) const LEAST_ROWS: u64 = 64 * 1024;
/// Number of rows of a row group of a time index.
pub(crate) const GROUP_ROWS: usize = 8 * 1024;

/// The columns of a time index.
pub(crate) const COLUMNS: [&str; 3] = ["person_id", "type", "occurred_at"];

/// Rows of a type, or of any for `None`, from the first time on and before the second, in microseconds.
pub type TimeSpan = (Option<String>, [i64; 2]);

impl Lake {
    /// The persons who have rows in one of some spans of time. The table must have a type and a time for
    /// each row.
    ///
    /// # Errors
    /// - [`LakeError::Parquet`]: a data file or its time index cannot be read.
    /// - [`LakeError::PathOutsideLake`]: the path of a file leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: a file is missing or cannot be read.
    pub async fn persons_between(
        &self,
        def: &TableDef,
        files: &[DataFile],
        spans: &[TimeSpan],
    ) -> Result<RoaringTreemap, LakeError> {
        let mut persons = RoaringTreemap::new();
        for file in files {
            let reaches = |[first, last]: [i64; 2]| {
                let mut spans = spans.iter();
                spans.any(|(_, [from, to])| first < *to && last >= *from)
            };
            if file.times.is_some_and(|times| !reaches(times)) {
                continue;
            }
            let rows = match file.rows < LEAST_ROWS {
                true => read_file(self, def, file, Some(&COLUMNS)).await?,
                false => self.read_time_index(def, file, &reaches).await?,
            };
            let failed = |source| LakeError::Parquet {
                doing: "read",
                path: format!("{}/{}", def.name, file.path),
                source,
            };
            for batch in rows {
                add_persons(
                    &batch.map_err(|error| failed(error.into()))?,
                    spans,
                    &mut persons,
                );
            }
        }
        persons.remove(0);
        Ok(persons)
    }

    /// Opens the time index of a file, and writes it first where it does not exist. `None` where it
    /// cannot be written.
    pub(crate) async fn open_time_index(
        &self,
        def: &TableDef,
        file: &DataFile,
    ) -> Result<Option<File>, LakeError> {
        let below = format!("{}/{}", def.name, times_path(&file.path));
        let path = self.path(&below);
        if self.store().get_size(&path).await?.is_none() {
            let index = self.time_index_of(def, file).await?;
            if self.store().put_new(&path, &index).await.is_err() {
                // The store may be read-only or full. The query works without the index.
                return Ok(None);
            }
        }
        Ok(Some(self.store().open(&path).await?))
    }

    /// Reads the row groups of a file's time index that overlap a span; the whole data file where it has
    /// no time index.
    async fn read_time_index(
        &self,
        def: &TableDef,
        file: &DataFile,
        reaches: &impl Fn([i64; 2]) -> bool,
    ) -> Result<ParquetRecordBatchReader, LakeError> {
        let Some(opened) = self.open_time_index(def, file).await? else {
            return read_file(self, def, file, Some(&COLUMNS)).await;
        };
        let failed = |source| LakeError::Parquet {
            doing: "read",
            path: format!("{}/{}", def.name, times_path(&file.path)),
            source,
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(failed)?;
        let groups = builder.metadata().row_groups().iter().enumerate();
        let wanted = groups.filter_map(|(at, group)| match group.column(2).statistics() {
            Some(Statistics::Int64(times)) => {
                let ends = [*times.min_opt()?, *times.max_opt()?];
                reaches(ends).then_some(at)
            }
            _ => Some(at),
        });
        let wanted = wanted.collect();
        let all = ProjectionMask::all();
        let builder = builder.with_row_groups(wanted).with_projection(all);
        builder.with_batch_size(BATCH_ROWS).build().map_err(failed)
    }

    /// The bytes of the time index of a file.
    async fn time_index_of(&self, def: &TableDef, file: &DataFile) -> Result<Vec<u8>, LakeError> {
        let path = || format!("{}/{}", def.name, file.path);
        let failed = |source| LakeError::Parquet {
            doing: "index",
            path: path(),
            source,
        };
        let mut rows: Vec<(i64, i64, i32)> = Vec::new();
        let mut kinds: Vec<String> = Vec::new();
        for batch in read_file(self, def, file, Some(&COLUMNS)).await? {
            let batch = batch.map_err(|error| failed(error.into()))?;
            let (persons, types, times) = parts(&batch);
            let types = types.as_string::<i32>();
            let mut last: Option<(&str, i32)> = None;
            for row in 0..batch.num_rows() {
                let name = match types.is_valid(row) {
                    true => types.value(row),
                    false => "",
                };
                let kind = match last {
                    Some((known, kind)) if known == name => kind,
                    _ => {
                        let known = kinds.iter().position(|known| known == name);
                        let at = known.unwrap_or_else(|| {
                            kinds.push(name.to_owned());
                            kinds.len() - 1
                        });
                        i32::try_from(at).unwrap_or(i32::MAX)
                    }
                };
                last = Some((name, kind));
                rows.push((times[row], persons[row], kind));
            }
        }
        rows.sort_unstable();
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(&kinds));
        let schema = Arc::new(Schema::new(vec![
            Field::new(COLUMNS[0], DataType::Int64, false),
            Field::new_dictionary(COLUMNS[1], DataType::Int32, DataType::Utf8, false),
            Field::new(COLUMNS[2], DataType::Int64, false),
        ]));
        let time = ColumnPath::from(COLUMNS[2]);
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_statistics_enabled(time.clone(), EnabledStatistics::Chunk)
            .set_column_dictionary_enabled(time.clone(), false)
            .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(ColumnPath::from(COLUMNS[0]), false)
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties));
        let mut writer = writer.map_err(failed)?;
        for part in rows.chunks(GROUP_ROWS) {
            let persons: Int64Array = part.iter().map(|row| row.1).collect();
            let kinds: Int32Array = part.iter().map(|row| row.2).collect();
            let kinds = DictionaryArray::<Int32Type>::try_new(kinds, Arc::clone(&names));
            let times: Int64Array = part.iter().map(|row| row.0).collect();
            let kinds = kinds.map_err(|error| failed(error.into()))?;
            let columns: Vec<ArrayRef> = vec![Arc::new(persons), Arc::new(kinds), Arc::new(times)];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
            let batch = batch.map_err(|error| failed(error.into()))?;
            writer.write(&batch).map_err(failed)?;
        }
        writer.into_inner().map_err(failed)
    }
}

/// The path of a data file's time index.
pub(crate) fn times_path(path: &str) -> String {
    format!("{}.times", path.trim_end_matches(".parquet"))
}

/// Persons, types as plain texts, and times in microseconds.
pub(crate) fn parts(batch: &RecordBatch) -> (Vec<i64>, ArrayRef, Vec<i64>) {
    let column = |name: &str| Arc::clone(&batch[name]);
    let persons = column(COLUMNS[0]);
    let persons = persons.as_primitive::<Int64Type>().values().to_vec();
    let types = cast(&column(COLUMNS[1]), &DataType::Utf8).expect("types are texts");
    (persons, types, micros(batch).to_vec())
}

fn micros(batch: &RecordBatch) -> ScalarBuffer<i64> {
    let times = &batch[COLUMNS[2]];
    match times.data_type() {
        DataType::Int64 => times.as_primitive::<Int64Type>().values().clone(),
        _ => times
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .clone(),
    }
}

/// Adds the persons of the rows that are in a span. Rows in order of time are bisected, others are
/// compared one by one.
fn add_persons(batch: &RecordBatch, spans: &[TimeSpan], persons: &mut RoaringTreemap) {
    let times = micros(batch);
    let is_ordered = times.is_sorted();
    for (kind, [from, to]) in spans {
        let rows = match is_ordered {
            true => times.partition_point(|at| at < from)..times.partition_point(|at| at < to),
            false => 0..times.len(),
        };
        if rows.is_empty() {
            continue;
        }
        let part = batch.slice(rows.start, rows.len());
        let (ids, types, times) = parts(&part);
        let types = types.as_string::<i32>();
        let is_of_kind = |row: usize| {
            let known = kind.as_deref();
            known.is_none_or(|kind| types.is_valid(row) && types.value(row) == kind)
        };
        for (row, at) in times.iter().enumerate() {
            if at >= from && at < to && is_of_kind(row) {
                persons.extend(u64::try_from(ids[row]));
            }
        }
    }
}
