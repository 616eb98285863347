//! What views over the lake have in common: a scan builds a logical plan for the requested columns
//! and filters only, and DataFusion optimizes that plan as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider,
};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown,
};
use datafusion::physical_plan::ExecutionPlan;

use crate::opaque::Opaque;

/// Plans the inside of a view.
///
/// It skips the physical optimizer rules: they run once, over the whole plan that contains the
/// view, and some of them fail on a plan that they have already changed. It holds no tables, since
/// the tables hold it.
#[derive(Debug, Clone)]
pub(crate) struct ViewPlanner(Opaque<SessionState>);

impl ViewPlanner {
    pub(crate) fn new(state: &SessionState) -> Self {
        let state = SessionStateBuilder::new_from_existing(state.clone())
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_physical_optimizer_rules(Vec::new())
            .build();
        Self(Opaque::new(state))
    }

    /// A planner for SQL that names the tables of a schema.
    ///
    /// # Errors
    /// An error of DataFusion where the schema cannot be registered.
    pub(crate) fn over(&self, tables: Arc<dyn SchemaProvider>) -> Result<Self> {
        let names = &self.0.config_options().catalog;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(&names.default_schema, tables)?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(names.default_catalog.clone(), Arc::new(catalog));
        let state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.0))
            .with_catalog_list(Arc::new(catalogs))
            .build();
        Ok(Self(Opaque::new(state)))
    }

    /// The logical plan of a SQL text.
    ///
    /// # Errors
    /// Any error of parsing and planning.
    pub(crate) async fn logical_plan(&self, text: &str) -> Result<LogicalPlan> {
        self.0.create_logical_plan(text).await
    }

    /// The physical plan of the inside of a view.
    ///
    /// # Errors
    /// Any error of planning.
    pub(crate) async fn plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(plan).await
    }
}

/// What a query requests from a view.
pub(crate) struct ScanRequest<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
}

impl ScanRequest<'_> {
    /// The names of the columns in the output and in the filters.
    pub(crate) fn columns(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.output().into_iter().collect();
        for filter in self.filters {
            names.extend(
                filter
                    .column_refs()
                    .into_iter()
                    .map(|column| column.name.clone()),
            );
        }
        names
    }

    /// Filters, limits and projects `rows`; `column` gives the expression of a column.
    ///
    /// # Errors
    /// Any error of planning.
    pub(crate) async fn plan(
        &self,
        planner: &ViewPlanner,
        mut rows: LogicalPlanBuilder,
        column: impl Fn(&str) -> Expr,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        for filter in self.filters {
            let filter = filter.clone().transform(|expr| match expr {
                Expr::Column(Column { name, .. }) => Ok(Transformed::yes(column(&name))),
                other => Ok(Transformed::no(other)),
            })?;
            rows = rows.filter(filter.data)?;
        }
        if let Some(limit) = self.limit {
            rows = rows.limit(0, Some(limit))?;
        }
        let output = self
            .output()
            .into_iter()
            .map(|name| column(&name).alias(name));
        let plan = rows.project(output.collect::<Vec<_>>())?.build()?;
        planner.plan(&plan).await
    }

    fn output(&self) -> Vec<String> {
        let name = |index: usize| self.schema.field(index).name().clone();
        match self.projection {
            Some(projection) => projection.iter().copied().map(name).collect(),
            None => (0..self.schema.fields().len()).map(name).collect(),
        }
    }
}

/// How a view handles filters: inside its own plan, except filters with a subquery.
///
/// # Errors
/// An error of DataFusion where a filter cannot be traversed.
pub(crate) fn pushdown(filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
    filters
        .iter()
        .map(|filter| {
            let mut has_no_subquery = true;
            filter.apply(|expr| {
                if matches!(
                    expr,
                    Expr::ScalarSubquery(_)
                        | Expr::InSubquery(_)
                        | Expr::Exists(_)
                        | Expr::SetComparison(_)
                        | Expr::OuterReferenceColumn(..)
                ) {
                    has_no_subquery = false;
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(if has_no_subquery {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            })
        })
        .collect()
}
