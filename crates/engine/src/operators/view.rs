//! What the views over the lake share: a scan builds a plan for just what is asked, and lets
//! DataFusion optimise that plan as a whole.

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

/// Plans what is inside a view.
///
/// It leaves the physical rules out: they run once, over the whole plan that the view becomes part
/// of. (Some of them refuse what they have already been through.) It holds no tables, since tables
/// hold it.
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

    /// The same, whose texts may name the tables of a schema.
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

    /// The plan of a text.
    pub(crate) async fn logical_plan(&self, text: &str) -> Result<LogicalPlan> {
        self.0.create_logical_plan(text).await
    }

    /// The physical plan of what is inside a view.
    pub(crate) async fn plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(plan).await
    }
}

/// What a query asks of a view.
pub(crate) struct ScanRequest<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
}

impl ScanRequest<'_> {
    /// The names of the columns that are put out or looked at.
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

    /// Filters, cuts and projects `rows`, whose expression for a column is given by `column`.
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

/// Every filter is applied within a view's own plan, unless it holds a plan of its own.
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
