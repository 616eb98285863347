//! A table with its times shown in a time zone.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use chrono_tz::Tz;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, cast, ident,
};
use datafusion::physical_plan::ExecutionPlan;

use super::zoned::{in_zone, schema_in_zone};
use crate::operators::view::{ScanRequest, ViewPlanner, pushdown};

/// A column with its times in a zone; `ty` is its type.
pub(crate) fn column_in_zone(zone: &Arc<str>, column: Expr, ty: &DataType) -> Expr {
    let shown = in_zone(ty, zone);
    match shown == *ty {
        true => column,
        false => cast(column, shown),
    }
}

/// The table with its times in a zone; the same table if nothing has to change.
pub(crate) fn table_in_zone(
    zone: Tz,
    table: Arc<dyn TableProvider>,
    planner: &ViewPlanner,
) -> Arc<dyn TableProvider> {
    let zone: Arc<str> = zone.name().into();
    let schema = schema_in_zone(&table.schema(), &zone);
    if schema == table.schema() {
        return table;
    }
    Arc::new(InZone {
        table,
        zone,
        schema,
        planner: planner.clone(),
    })
}

#[derive(Debug)]
struct InZone {
    table: Arc<dyn TableProvider>,
    zone: Arc<str>,
    schema: SchemaRef,
    planner: ViewPlanner,
}

#[async_trait]
impl TableProvider for InZone {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        pushdown(filters)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let request = ScanRequest {
            schema: &self.schema,
            projection,
            filters,
            limit,
        };
        let source = provider_as_source(Arc::clone(&self.table));
        let rows = LogicalPlanBuilder::scan("rows", source, None)?;
        let stored = self.table.schema();
        let column = |name: &str| match stored.field_with_name(name) {
            Ok(field) => column_in_zone(&self.zone, ident(name), field.data_type()),
            Err(_) => ident(name),
        };
        request.plan(&self.planner, rows, column).await
    }
}
