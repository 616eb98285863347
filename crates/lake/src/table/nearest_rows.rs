//! The time of the row nearest to a given time, before or after it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;
use rollbook_model::TableDef;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::DataFile;
use crate::table::provider::read_file;
use crate::table::time_index::{COLUMNS, GROUP_ROWS, LEAST_ROWS, parts};

/// The largest number of row groups of one file that are searched for a row of a type.
const GROUPS_SEARCHED: usize = 8;

/// A search for the row nearest to a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearestRow {
    /// The type of the row; `None` for any.
    pub kind: Option<String>,
    /// The time, in microseconds.
    pub at: i64,
    /// Whether to find the first row after the time, or else the last row that is not after it.
    pub is_after: bool,
}

impl NearestRow {
    /// Whether rows between two times may be nearer than the row found so far.
    fn may_improve(&self, [first, last]: [i64; 2], found: Option<i64>) -> bool {
        match self.is_after {
            true => last > self.at && found.is_none_or(|found| first < found),
            false => first <= self.at && found.is_none_or(|found| last > found),
        }
    }

    /// Keeps the nearer of the row found so far and a row at `at`.
    fn keep_nearer(&self, found: &mut Option<i64>, at: i64) {
        let known = found.unwrap_or(at);
        *found = Some(match self.is_after {
            true => known.min(at),
            false => known.max(at),
        });
    }

    /// The nearest time that a row between two times can have.
    fn nearest(&self, [first, last]: [i64; 2]) -> i64 {
        match self.is_after {
            true => first.max(self.at.saturating_add(1)),
            false => last.min(self.at),
        }
    }

    /// The row groups that may hold the row, the nearest first.
    fn groups(&self, ends: &[[i64; 2]]) -> Vec<usize> {
        let some = (0..ends.len()).filter(|group| self.may_improve(ends[*group], None));
        let mut groups: Vec<usize> = some.collect();
        if !self.is_after {
            groups.reverse();
        }
        groups
    }
}

/// Times and types of rows.
struct TimedRows {
    times: Vec<i64>,
    types: ArrayRef,
    is_ordered: bool,
}

impl TimedRows {
    fn of(batches: &[RecordBatch]) -> Self {
        let mut times = Vec::new();
        let mut types: Vec<ArrayRef> = Vec::new();
        for batch in batches {
            let (persons, kinds, at) = parts(batch);
            // Rows that belong to no person are left out.
            let has_person = |row: &usize| persons[*row] != 0;
            match persons.contains(&0) {
                false => {
                    times.extend(at);
                    types.push(kinds);
                }
                true => {
                    let rows: Vec<usize> = (0..persons.len()).filter(has_person).collect();
                    times.extend(rows.iter().map(|row| at[*row]));
                    let kinds = kinds.as_string::<i32>();
                    let kinds: arrow::array::StringArray = rows
                        .iter()
                        .map(|row| kinds.is_valid(*row).then(|| kinds.value(*row)))
                        .collect();
                    types.push(std::sync::Arc::new(kinds));
                }
            }
        }
        let all: Vec<&dyn Array> = types.iter().map(AsRef::as_ref).collect();
        let types = match all.is_empty() {
            true => arrow::array::new_empty_array(&arrow::datatypes::DataType::Utf8),
            false => concat(&all).expect("types are texts"),
        };
        Self {
            is_ordered: times.is_sorted(),
            times,
            types,
        }
    }

    /// Updates `found` with the nearest of these rows.
    fn find(&self, search: &NearestRow, found: &mut Option<i64>) {
        let types = self.types.as_string::<i32>();
        let is_match = |row: &usize| {
            let at = self.times[*row];
            let is_there = (at > search.at) == search.is_after;
            let kind = search.kind.as_deref();
            is_there && kind.is_none_or(|kind| types.is_valid(*row) && types.value(*row) == kind)
        };
        let rows = 0..self.times.len();
        if !self.is_ordered {
            for row in rows.filter(is_match) {
                search.keep_nearer(found, self.times[row]);
            }
            return;
        }
        let place = self.times.partition_point(|at| *at <= search.at);
        let row = match search.is_after {
            true => (place..self.times.len()).find(is_match),
            false => (0..place).rev().find(is_match),
        };
        if let Some(row) = row {
            search.keep_nearer(found, self.times[row]);
        }
    }
}

/// The first and last time of each row group of a time index.
fn group_ends(metadata: &ArrowReaderMetadata) -> Vec<[i64; 2]> {
    let groups = metadata.metadata().row_groups().iter();
    let ends = groups.map(|group| match group.column(2).statistics() {
        Some(Statistics::Int64(times)) => times.min_opt().zip(times.max_opt()),
        _ => None,
    });
    ends.map(|ends| ends.map_or([i64::MIN, i64::MAX], |(first, last)| [*first, *last]))
        .collect()
}

/// Reads a row group of a time index.
fn read_group(
    index: &File,
    metadata: &ArrowReaderMetadata,
    number: usize,
) -> Result<TimedRows, ParquetError> {
    let index = index.try_clone()?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(index, metadata.clone());
    let builder = builder.with_row_groups(vec![number]);
    let reader = builder.with_batch_size(GROUP_ROWS).build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(TimedRows::of(&batches))
}

impl Lake {
    /// For each search the time of the nearest row; `None` where there is none. Where rows of the type
    /// are rare, the result may be a time between the given one and the nearest row.
    ///
    /// # Errors
    /// - [`LakeError::Parquet`]: a data file or its time index cannot be read.
    /// - [`LakeError::PathOutsideLake`]: the path of a file leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: a file is missing or cannot be read.
    pub async fn nearest_times(
        &self,
        def: &TableDef,
        files: &[DataFile],
        searches: &[NearestRow],
    ) -> Result<Vec<Option<i64>>, LakeError> {
        let mut found = vec![None; searches.len()];
        for file in files {
            let mut open: Vec<_> = searches.iter().zip(&mut found).collect();
            open.retain(|(search, found)| match file.times {
                Some(times) => search.may_improve(times, **found),
                None => true,
            });
            if open.is_empty() {
                continue;
            }
            let failed = |source| LakeError::Parquet {
                doing: "read",
                path: format!("{}/{}", def.name, file.path),
                source,
            };
            let index = match file.rows < LEAST_ROWS {
                true => None,
                false => self.open_time_index(def, file).await?,
            };
            let Some(index) = index else {
                let rows = read_file(self, def, file, Some(&COLUMNS)).await?;
                let rows = rows.collect::<Result<Vec<_>, _>>();
                let rows = TimedRows::of(&rows.map_err(|error| failed(error.into()))?);
                for (search, found) in open {
                    rows.find(search, found);
                }
                continue;
            };
            let metadata = ArrowReaderMetadata::load(&index, ArrowReaderOptions::default());
            let metadata = metadata.map_err(failed)?;
            let ends = group_ends(&metadata);
            let mut read: BTreeMap<usize, TimedRows> = BTreeMap::new();
            for (search, found) in open {
                for (searched, number) in search.groups(&ends).into_iter().enumerate() {
                    if !search.may_improve(ends[number], *found) {
                        break;
                    }
                    if searched == GROUPS_SEARCHED {
                        search.keep_nearer(found, search.nearest(ends[number]));
                        break;
                    }
                    let rows = match read.entry(number) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(place) => {
                            place.insert(read_group(&index, &metadata, number).map_err(failed)?)
                        }
                    };
                    rows.find(search, found);
                }
            }
        }
        Ok(found)
    }
}
