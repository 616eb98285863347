//! The tables of a lake and their columns.

use rollbook_model::{ColumnDef, TableDef, nearest, tables};
use serde::Serialize;

use crate::{AppError, Workspace};

/// A table and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// Its name.
    pub table: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// Number of Parquet files.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Its newest version as a Delta table.
    pub delta_version: u64,
    /// What a row stands for.
    pub meaning: &'static str,
}

/// The tables that hold rows, or once did.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn table_sizes(workspace: &Workspace) -> Result<Vec<TableSize>, AppError> {
    workspace.require("data::tables::table_sizes")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let sizes = tables::TABLES.iter().filter_map(|def| {
        let table = state.tables.get(def.name)?;
        Some(TableSize {
            table: def.name,
            rows: table.rows(),
            files: table.files.len() as u64,
            bytes: table.files.iter().map(|file| file.size).sum(),
            delta_version: table.version?,
            meaning: def.meaning,
        })
    });
    Ok(sizes.collect())
}

/// The definition of a canonical table.
///
/// # Errors
/// [`AppError::UnknownTable`].
pub fn table(name: &str) -> Result<&'static TableDef, AppError> {
    tables::table(name).ok_or_else(|| AppError::UnknownTable {
        table: name.to_owned(),
        nearest: nearest(name, tables::TABLES.iter().map(|t| t.name)).map(str::to_owned),
    })
}

/// All columns of a table in order, including the leading ones that every table of its shape has.
pub fn columns(def: &TableDef) -> Vec<&'static ColumnDef> {
    def.all_columns().collect()
}
