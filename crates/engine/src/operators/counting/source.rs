//! Counts of activities as a table that a query joins.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;

use super::{Counted, CountingExec, INPUT_COLUMNS, output_schema};
use crate::operators::view::ViewPlanner;

/// One row for each person with a counted activity.
#[derive(Debug)]
pub(crate) struct CountedActivities {
    activities: Arc<dyn TableProvider>,
    specs: Arc<Vec<Counted>>,
    schema: SchemaRef,
    planner: ViewPlanner,
}

impl CountedActivities {
    /// Counts over the table `activities`. The column of the person is named `person`, the counts
    /// are named `_c0`, `_c1` and so on.
    pub(crate) fn new(
        activities: Arc<dyn TableProvider>,
        specs: Vec<Counted>,
        person: &str,
        planner: ViewPlanner,
    ) -> Self {
        let input_schema = activities.schema();
        let time = input_schema.field_with_name(INPUT_COLUMNS[2]);
        let time = time.map_or(DataType::Null, |time| time.data_type().clone());
        Self {
            activities,
            schema: output_schema(person, &specs, &time),
            specs: Arc::new(specs),
            planner,
        }
    }
}

#[async_trait]
impl TableProvider for CountedActivities {
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
        Ok(vec![
            TableProviderFilterPushDown::Unsupported;
            filters.len()
        ])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let activities = provider_as_source(Arc::clone(&self.activities));
        let rows = LogicalPlanBuilder::scan("activities", activities, None)?
            .filter(ident(INPUT_COLUMNS[0]).not_eq(lit(0_i64)))?
            .project(INPUT_COLUMNS.map(ident))?
            .build()?;
        let rows = self.planner.plan(&rows).await?;
        let (specs, schema) = (Arc::clone(&self.specs), Arc::clone(&self.schema));
        let counting: Arc<dyn ExecutionPlan> =
            Arc::new(CountingExec::try_new(rows, specs, schema)?);
        let Some(projection) = projection else {
            return Ok(counting);
        };
        let columns = projection.iter().map(|at| {
            let name = self.schema.field(*at).name();
            (Arc::new(Column::new(name, *at)) as _, name.clone())
        });
        let columns: Vec<_> = columns.collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, counting)?))
    }
}
