//! The golden record of each person: where several records are one person, each column has the
//! value of the most trusted record that has one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::tables::people::is_id_filter;

mod collapse;

use collapse::{CollapseExec, KeyColumns};

/// The columns that identify and rank records.
const KEY_COLUMNS: [&str; 4] = ["person_id", "identity_id", "provider", "updated_at"];

/// A table of records as a table of persons.
#[derive(Debug)]
pub(crate) struct GoldenRecord {
    records: Arc<dyn TableProvider>,
    /// The rank of a provider; 0 is the most trusted.
    authority: fn(&str) -> u8,
}

impl GoldenRecord {
    pub(crate) fn new(records: Arc<dyn TableProvider>, authority: fn(&str) -> u8) -> Self {
        Self { records, authority }
    }
}

#[async_trait]
impl TableProvider for GoldenRecord {
    fn schema(&self) -> SchemaRef {
        self.records.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// A value of a record may differ from the value of the golden record: only filters on the
    /// person's id are applied before the records are combined.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match is_id_filter(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.records.schema();
        let all = || (0..schema.fields().len()).collect();
        let requested: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let mut columns = requested.clone();
        for name in KEY_COLUMNS {
            let column = schema.index_of(name)?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let records = self
            .records
            .scan(state, Some(&columns), filters, None)
            .await?;
        let at = |name: &str| records.schema().index_of(name);
        let key_columns = KeyColumns {
            person: at("person_id")?,
            identity: at("identity_id")?,
            provider: at("provider")?,
            updated: at("updated_at")?,
        };
        let persons = Arc::new(CollapseExec::new(records, key_columns, self.authority));
        let output = requested.iter().enumerate().map(|(at, column)| {
            let name = schema.field(*column).name();
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, at));
            (column, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(
            output.collect::<Vec<_>>(),
            persons,
        )?))
    }
}
