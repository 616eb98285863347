//! Values that fill incomplete rows, on disk: the encoded values in one file, and in another the rows
//! that they fill, in order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use rollbook_model::TableDef;

use crate::IngestError;
use crate::error::staging;
use crate::rows::canonical::staged_schema;
use crate::rows::missing_columns::{ColumnSet, bit};
use crate::rows::sort::{Sorted, Sorter};

/// The rank of values of the lake's row; rows of the run come before it.
pub(super) const LAKE: u32 = u32::MAX - 2;
/// The rank of values of the vault.
pub(super) const VAULT: u32 = u32::MAX - 1;
/// The rank of the external id of the person that a row of the lake belongs to.
pub(super) const OWNER: u32 = u32::MAX;

/// Values that fill columns of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct FillValue {
    /// The row.
    pub(super) winner: u32,
    /// Its rank among the fill values of the row: each column is taken from the first that has it.
    pub(super) rank: u32,
    pub(super) gives: ColumnSet,
    /// `updated_at` of the row that the values come from.
    pub(super) updated: i64,
    /// The upper half of the key of the row that the values come from, if that is in the lake.
    pub(super) key: u64,
}

/// A fill value with its place in the file of values.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredFillValue {
    pub(super) value: FillValue,
    offset: u64,
    length: u64,
}

impl StoredFillValue {
    /// The number that was added in place of values.
    pub(super) fn number(&self) -> i64 {
        self.offset.cast_signed()
    }
}

/// Fill values while they are collected.
pub(super) struct FillValues {
    table: &'static str,
    places: Vec<usize>,
    converter: RowConverter,
    values: BufWriter<File>,
    written: u64,
    index: Sorter<6>,
}

impl FillValues {
    /// A collector of fill values for these columns.
    pub(super) fn new(
        def: &'static TableDef,
        columns: ColumnSet,
        folder: &Path,
    ) -> Result<Self, IngestError> {
        let schema = staged_schema(def);
        let all = 0..schema.fields().len();
        let places: Vec<usize> = all.filter(|place| columns & bit(*place) != 0).collect();
        let types = places
            .iter()
            .map(|place| schema.field(*place).data_type().clone());
        let converter = RowConverter::new(types.map(SortField::new).collect())
            .map_err(IngestError::rows(def.name, "staged"))?;
        let values = tempfile::tempfile_in(folder).map_err(staging)?;
        Ok(Self {
            table: def.name,
            places,
            converter,
            values: BufWriter::new(values),
            written: 0,
            index: Sorter::new(folder),
        })
    }

    /// The indices of the columns in the staged schema.
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// Adds known values of all the columns, each with the staged row that it completes.
    pub(super) fn give(
        &mut self,
        columns: &[ArrayRef],
        gifts: &[FillValue],
    ) -> Result<(), IngestError> {
        let rows = self.converter.convert_columns(columns);
        let rows = rows.map_err(IngestError::rows(self.table, "staged"))?;
        for (row, value) in rows.iter().zip(gifts) {
            let bytes = row.as_ref();
            self.values.write_all(bytes).map_err(staging)?;
            self.note(value, self.written, bytes.len() as u64)?;
            self.written += bytes.len() as u64;
        }
        Ok(())
    }

    /// Adds a number in place of values.
    pub(super) fn give_number(
        &mut self,
        number: i64,
        value: &FillValue,
    ) -> Result<(), IngestError> {
        self.note(value, number.cast_unsigned(), 0)
    }

    fn note(&mut self, value: &FillValue, offset: u64, length: u64) -> Result<(), IngestError> {
        let place = u64::from(value.winner) << 32 | u64::from(value.rank);
        let updated = value.updated.cast_unsigned();
        let record = [place, value.gives, offset, length, value.key, updated];
        self.index.push(record).map_err(staging)
    }

    /// The fill values in order; `None` if there are none.
    pub(super) fn finish(self) -> Result<Option<SortedFillValues>, IngestError> {
        let values = self.values.into_inner();
        let values = values.map_err(|error| staging(error.into_error()))?;
        let mut index = self.index.sorted().map_err(staging)?.peekable();
        Ok(index.peek().is_some().then_some(SortedFillValues {
            table: self.table,
            places: self.places,
            converter: self.converter,
            values,
            index,
        }))
    }
}

/// Fill values in the order of the rows that they fill.
pub(super) struct SortedFillValues {
    table: &'static str,
    places: Vec<usize>,
    converter: RowConverter,
    values: File,
    index: Peekable<Sorted<6>>,
}

impl SortedFillValues {
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// All fill values of the next row, if the number of that row is below `end`.
    pub(super) fn next_below(
        &mut self,
        end: u64,
    ) -> Result<Option<Vec<StoredFillValue>>, IngestError> {
        let mut gifts: Vec<StoredFillValue> = Vec::new();
        while let Some(next) = self.index.next_if(|next| match (next, gifts.first()) {
            (Err(_), _) => true,
            (Ok([place, ..]), None) => place >> 32 < end,
            (Ok([place, ..]), Some(first)) => place >> 32 == u64::from(first.value.winner),
        }) {
            let [place, gives, offset, length, key, updated] = next.map_err(staging)?;
            let value = FillValue {
                winner: (place >> 32) as u32,
                rank: place as u32,
                gives,
                updated: updated.cast_signed(),
                key,
            };
            gifts.push(StoredFillValue {
                value,
                offset,
                length,
            });
        }
        Ok((!gifts.is_empty()).then_some(gifts))
    }

    /// The encoded values.
    pub(super) fn read(&self, one: &StoredFillValue) -> Result<Vec<u8>, IngestError> {
        let mut bytes = vec![0; usize::try_from(one.length).unwrap_or(0)];
        self.values
            .read_exact_at(&mut bytes, one.offset)
            .map_err(staging)?;
        Ok(bytes)
    }

    /// Decodes values into columns.
    pub(super) fn decode(&self, values: &[Vec<u8>]) -> Result<Vec<ArrayRef>, IngestError> {
        let parser = self.converter.parser();
        let rows = values.iter().map(|bytes| parser.parse(bytes));
        self.converter
            .convert_rows(rows)
            .map_err(IngestError::rows(self.table, "read back"))
    }
}
