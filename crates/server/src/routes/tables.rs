//! Tables that hold rows, and the schema of all canonical tables.

use axum::Json;
use rollbook_app::data;
use rollbook_model::tables::TABLES;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::problem::Problem;

/// A table that holds rows, or once did.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableSize {
    #[schema(example = "orders")]
    table: &'static str,
    #[schema(example = 3000)]
    rows: u64,
    files: u64,
    bytes: u64,
    /// Its newest version as a Delta table.
    delta_version: u64,
    meaning: &'static str,
}

/// A canonical table.
#[derive(Serialize, ToSchema)]
pub(crate) struct Table {
    #[schema(example = "orders")]
    table: &'static str,
    meaning: &'static str,
    columns: Vec<Column>,
}

/// A column of a canonical table.
#[derive(Serialize, ToSchema)]
pub(crate) struct Column {
    #[schema(example = "total")]
    column: &'static str,
    /// text, integer, float, decimal(19,4), boolean, time, date, json, list of text.
    #[serde(rename = "type")]
    #[schema(example = "decimal(19,4)")]
    ty: &'static str,
    nullable: bool,
    /// Stored encrypted outside the files of the table, latest value only.
    personal: bool,
    unit: &'static str,
    meaning: &'static str,
}

/// Lists the tables that hold rows
#[utoipa::path(get, path = "/v1/tables", operation_id = "list_tables", tag = "data",
    responses((status = 200, body = Vec<TableSize>)))]
pub(super) async fn sizes(Authorized(server): Authorized) -> Result<Json<Vec<TableSize>>, Problem> {
    let sizes = data::table_sizes(server.workspace()).await?;
    let size = |size: data::TableSize| TableSize {
        table: size.table,
        rows: size.rows,
        files: size.files,
        bytes: size.bytes,
        delta_version: size.delta_version,
        meaning: size.meaning,
    };
    Ok(Json(sizes.into_iter().map(size).collect()))
}

/// Lists all canonical tables and their columns
#[utoipa::path(get, path = "/v1/schema", operation_id = "show_schema", tag = "data",
    responses((status = 200, body = Vec<Table>)))]
pub(super) async fn schema() -> Json<Vec<Table>> {
    let tables = TABLES.iter().map(|def| Table {
        table: def.name,
        meaning: def.meaning,
        columns: data::columns(def)
            .into_iter()
            .map(|column| Column {
                column: column.name,
                ty: column.ty.name(),
                nullable: column.nullable,
                personal: column.personal,
                unit: column.unit,
                meaning: column.meaning,
            })
            .collect(),
    });
    Json(tables.collect())
}
