//! Filter pushdown in physical plans, where it is correct.
//!
//! DataFusion moves the filters of a physical plan by the names of their columns. Where the input
//! has two columns of one name, as a join of two tables may have, it takes the first column for
//! both. Filters in such plans stay where they are; pushdown in the logical plan has already
//! happened.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;

/// DataFusion's rules; filter pushdown is skipped for plans in which it would mistake a column.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules
        .map(|rule| match rule.name().starts_with("FilterPushdown") {
            true => Arc::new(SoundPushdown(rule)),
            false => rule,
        })
        .collect()
}

#[derive(Debug)]
struct SoundPushdown(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for SoundPushdown {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match has_duplicate_names(&plan)? {
            true => Ok(plan),
            false => self.0.optimize(plan, config),
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether a filter reads a column with a name that another column of its input has too.
fn has_duplicate_names(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let schema = filter.input().schema();
            let named = |name: &str| {
                schema
                    .fields()
                    .iter()
                    .filter(|one| one.name() == name)
                    .count()
            };
            let columns = collect_columns(filter.predicate());
            found = columns.iter().any(|column| named(column.name()) > 1);
        }
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}
