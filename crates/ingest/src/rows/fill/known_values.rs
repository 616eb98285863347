//! What rows are given, on disk: encoded values in one file, and in another for which row they are,
//! in the order of the rows.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use rollbook_model::TableDef;

use crate::IngestError;
use crate::absent::{ColumnSet, bit};
use crate::canonical::staged_schema;
use crate::error::staging;
use crate::sorter::{Sorted, Sorter};

/// The rank of what the lake's row says; rows of the run come before.
pub(super) const LAKE: u32 = u32::MAX - 2;
/// The rank of what the vault says.
pub(super) const VAULT: u32 = u32::MAX - 1;
/// The rank of the record of the person that a row of the lake is of.
pub(super) const WHOSE: u32 = u32::MAX;

/// What a row is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gift {
    /// The row.
    pub(super) winner: u32,
    /// Its place among what the row is given; the first to give a column does.
    pub(super) rank: u32,
    pub(super) gives: ColumnSet,
    /// When what is given was changed.
    pub(super) updated: i64,
    /// The upper half of the key of what is given, of the lake.
    pub(super) key: u64,
}

/// A gift as it was put aside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) gift: Gift,
    offset: u64,
    length: u64,
}

impl Read {
    /// The number that stands in the place of values.
    pub(super) fn number(&self) -> i64 {
        self.offset.cast_signed()
    }
}

/// Gifts that are being collected.
pub(super) struct Gifts {
    table: &'static str,
    places: Vec<usize>,
    converter: RowConverter,
    values: BufWriter<File>,
    written: u64,
    index: Sorter<6>,
}

impl Gifts {
    /// For rows of a table, of some of its columns.
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
            .map_err(IngestError::rows(def.name, "put aside"))?;
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

    /// The places of the columns among those of the staged rows.
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// Takes rows of all the columns, and for whom each is.
    pub(super) fn give(&mut self, columns: &[ArrayRef], gifts: &[Gift]) -> Result<(), IngestError> {
        let rows = self.converter.convert_columns(columns);
        let rows = rows.map_err(IngestError::rows(self.table, "put aside"))?;
        for (row, gift) in rows.iter().zip(gifts) {
            let bytes = row.as_ref();
            self.values.write_all(bytes).map_err(staging)?;
            self.note(gift, self.written, bytes.len() as u64)?;
            self.written += bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes a number instead of values.
    pub(super) fn give_number(&mut self, number: i64, gift: &Gift) -> Result<(), IngestError> {
        self.note(gift, number.cast_unsigned(), 0)
    }

    fn note(&mut self, gift: &Gift, offset: u64, length: u64) -> Result<(), IngestError> {
        let place = u64::from(gift.winner) << 32 | u64::from(gift.rank);
        let updated = gift.updated.cast_unsigned();
        let record = [place, gift.gives, offset, length, gift.key, updated];
        self.index.push(record).map_err(staging)
    }

    /// What was given; `None` for nothing.
    pub(super) fn finish(self) -> Result<Option<Given>, IngestError> {
        let values = self.values.into_inner();
        let values = values.map_err(|error| staging(error.into_error()))?;
        let mut index = self.index.sorted().map_err(staging)?.peekable();
        Ok(index.peek().is_some().then_some(Given {
            table: self.table,
            places: self.places,
            converter: self.converter,
            values,
            index,
        }))
    }
}

/// Gifts in the order of the rows that they are for.
pub(super) struct Given {
    table: &'static str,
    places: Vec<usize>,
    converter: RowConverter,
    values: File,
    index: Peekable<Sorted<6>>,
}

impl Given {
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// All that the next row is given, if its number is below `end`.
    pub(super) fn next_below(&mut self, end: u64) -> Result<Option<Vec<Read>>, IngestError> {
        let mut gifts: Vec<Read> = Vec::new();
        while let Some(next) = self.index.next_if(|next| match (next, gifts.first()) {
            (Err(_), _) => true,
            (Ok([place, ..]), None) => place >> 32 < end,
            (Ok([place, ..]), Some(first)) => place >> 32 == u64::from(first.gift.winner),
        }) {
            let [place, gives, offset, length, key, updated] = next.map_err(staging)?;
            let gift = Gift {
                winner: (place >> 32) as u32,
                rank: place as u32,
                gives,
                updated: updated.cast_signed(),
                key,
            };
            gifts.push(Read {
                gift,
                offset,
                length,
            });
        }
        Ok((!gifts.is_empty()).then_some(gifts))
    }

    /// The values of a gift, encoded.
    pub(super) fn read(&self, one: &Read) -> Result<Vec<u8>, IngestError> {
        let mut bytes = vec![0; usize::try_from(one.length).unwrap_or(0)];
        self.values
            .read_exact_at(&mut bytes, one.offset)
            .map_err(staging)?;
        Ok(bytes)
    }

    /// Encoded values as columns.
    pub(super) fn decode(&self, values: &[Vec<u8>]) -> Result<Vec<ArrayRef>, IngestError> {
        let parser = self.converter.parser();
        let rows = values.iter().map(|bytes| parser.parse(bytes));
        self.converter
            .convert_rows(rows)
            .map_err(IngestError::rows(self.table, "read back"))
    }
}
