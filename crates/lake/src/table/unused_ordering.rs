//! An optimizer rule that removes the order of scans where no operator uses it.
//!
//! A scan of a clustered table declares that its rows are in order, and merges its runs for that.
//! Whether an operator uses the order is known only from the whole plan.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_physical_plan::aggregates::AggregateExec;
use datafusion_physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion_physical_plan::{ExecutionPlan, InputOrderMode};
use datafusion_session::PhysicalOptimizerRule;

use crate::table::range_scan::OrderedScan;

/// The last rule of a session that reads lakes: scans merge their runs only where an operator uses the
/// order of the rows, or the result shows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveUnusedOrdering;

impl PhysicalOptimizerRule for RemoveUnusedOrdering {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The caller may rely on the order of the result.
        without_unused_order(plan, true)
    }

    fn name(&self) -> &'static str {
        "RemoveUnusedOrdering"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with unordered scans where no operator above them uses the order. `is_seen` says whether the
/// order of the plan's rows is used.
fn without_unused_order(
    plan: Arc<dyn ExecutionPlan>,
    is_seen: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<OrderedScan>() {
        return Ok(match is_seen {
            true => plan,
            false => Arc::new(scan.unordered()),
        });
    }
    let children = plan.children();
    if children.is_empty() {
        return Ok(plan);
    }
    let (required, maintained) = (plan.required_input_ordering(), plan.maintains_input_order());
    let uses_order = plan
        .downcast_ref::<AggregateExec>()
        .is_some_and(|groups| *groups.input_order_mode() != InputOrderMode::Linear);
    let mut changed = Vec::with_capacity(children.len());
    let mut any = false;
    for (at, child) in children.into_iter().enumerate() {
        let is_required = required.get(at).is_some_and(Option::is_some);
        let is_maintained = maintained.get(at).copied().unwrap_or(true);
        let is_seen = uses_order || is_required || (is_maintained && is_seen);
        let without_unused_order = without_unused_order(Arc::clone(child), is_seen)?;
        any |= !Arc::ptr_eq(child, &without_unused_order);
        changed.push(without_unused_order);
    }
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    match any {
        true => plan.replace_children(changed, recompute),
        false => Ok(plan),
    }
}
