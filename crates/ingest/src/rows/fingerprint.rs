//! Hashes of the content of rows, to tell changed rows from unchanged ones.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use rollbook_model::{ColumnDef, TableDef};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::IngestError;

/// A choice of columns of a table, encoded row by row.
pub(crate) struct Encoder {
    table: &'static str,
    columns: Vec<&'static str>,
    converter: RowConverter,
}

impl Encoder {
    fn new(def: &'static TableDef, columns: Vec<&'static str>) -> Result<Self, IngestError> {
        // Personal values are compared as they lie in the vault.
        let ty = |column: &ColumnDef| match column.personal {
            true => DataType::Binary,
            false => column.ty.arrow(),
        };
        let field = |name: &&str| Some(SortField::new(ty(def.column(name)?)));
        let fields = columns.iter().filter_map(field).collect();
        let converter =
            RowConverter::new(fields).map_err(IngestError::rows(def.name, "compared"))?;
        Ok(Self {
            table: def.name,
            columns,
            converter,
        })
    }

    /// All columns of the table's files except the person id, which may change without the row.
    pub(crate) fn stored(def: &'static TableDef) -> Result<Self, IngestError> {
        let stored = def
            .all_columns()
            .filter(|c| !c.personal && c.name != "person_id");
        Self::new(def, stored.map(|column| column.name).collect())
    }

    /// All columns of the table's files.
    pub(crate) fn whole(def: &'static TableDef) -> Result<Self, IngestError> {
        let stored = def.all_columns().filter(|c| !c.personal);
        Self::new(def, stored.map(|column| column.name).collect())
    }

    /// The encrypted personal values of a row.
    pub(crate) fn personal(def: &'static TableDef) -> Result<Self, IngestError> {
        Self::new(
            def,
            def.personal_columns().map(|column| column.name).collect(),
        )
    }

    /// The columns that join a row to its personal values in the vault.
    pub(crate) fn vault_key(def: &'static TableDef) -> Result<Self, IngestError> {
        Self::new(def, def.vault_keys().to_vec())
    }

    /// A 64-bit hash of each row. Only two rows of one key are compared, so a collision is practically
    /// impossible.
    pub(crate) fn hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>, IngestError> {
        let rows = self.rows(batch)?;
        Ok(rows.iter().map(|row| xxh3_64(row.as_ref())).collect())
    }

    /// A 128-bit hash of each row, for keys.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Vec<u128>, IngestError> {
        let rows = self.rows(batch)?;
        Ok(rows.iter().map(|row| xxh3_128(row.as_ref())).collect())
    }

    fn rows(&self, batch: &RecordBatch) -> Result<arrow::row::Rows, IngestError> {
        let missing = |name: &str| IngestError::Rows {
            table: self.table,
            doing: "compared",
            detail: format!("column `{name}` is missing"),
        };
        let columns = self
            .columns
            .iter()
            .map(|name| {
                batch
                    .column_by_name(name)
                    .cloned()
                    .ok_or_else(|| missing(name))
            })
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        self.converter
            .convert_columns(&columns)
            .map_err(IngestError::rows(self.table, "compared"))
    }
}
