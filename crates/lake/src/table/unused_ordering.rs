//! Leaving out the order that nobody uses.
//!
//! A scan of a clustered table says that its rows come in order, and merges its runs for that. Only
//! once the whole plan is there is it known whether somebody makes use of it.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_physical_plan::aggregates::AggregateExec;
use datafusion_physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion_physical_plan::{ExecutionPlan, InputOrderMode};
use datafusion_session::PhysicalOptimizerRule;

use crate::table::range_scan::OrderedScan;

/// The last rule of a session that reads lakes: scans merge where the order is used, or seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveUnusedOrdering;

impl PhysicalOptimizerRule for RemoveUnusedOrdering {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Who reads the rows of the whole plan may have asked for them in order.
        relaxed(plan, true)
    }

    fn name(&self) -> &'static str {
        "OrderWhereNeeded"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with scans that do not merge, wherever nothing above them looks at their order.
fn relaxed(plan: Arc<dyn ExecutionPlan>, is_seen: bool) -> Result<Arc<dyn ExecutionPlan>> {
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
    let (required, kept) = (plan.required_input_ordering(), plan.maintains_input_order());
    let goes_by_it = plan
        .downcast_ref::<AggregateExec>()
        .is_some_and(|groups| *groups.input_order_mode() != InputOrderMode::Linear);
    let mut changed = Vec::with_capacity(children.len());
    let mut any = false;
    for (at, child) in children.into_iter().enumerate() {
        let is_required = required.get(at).is_some_and(Option::is_some);
        let is_kept = kept.get(at).copied().unwrap_or(true);
        let is_seen = goes_by_it || is_required || (is_kept && is_seen);
        let relaxed = relaxed(Arc::clone(child), is_seen)?;
        any |= !Arc::ptr_eq(child, &relaxed);
        changed.push(relaxed);
    }
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    match any {
        true => plan.replace_children(changed, recompute),
        false => Ok(plan),
    }
}
