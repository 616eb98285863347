//! What every plan has to keep to: it reads only, and criteria always come to the same.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;

use crate::error::EngineError;
use crate::sql::diagnosis::Diagnosis;
use crate::sql::statement::{self, read_only};
use crate::times::rewrite_at_time_zone;

/// The plan of a statement whose times are on the tenant's calendar.
///
/// # Errors
/// Names that are unknown, and types that do not fit.
pub(crate) async fn to_plan(
    state: &SessionState,
    mut statement: Statement,
) -> PlanResult<LogicalPlan> {
    if let Statement::Statement(statement) = &mut statement {
        rewrite_at_time_zone(statement.as_mut());
    }
    statement::to_plan(state, statement).await
}

/// The plan of a statement that only reads.
///
/// # Errors
/// Names that are unknown, types that do not fit, and statements that do more than read.
pub(crate) async fn planned(
    state: &SessionState,
    statement: Statement,
    diagnosis: &Diagnosis<'_>,
) -> Result<LogicalPlan, EngineError> {
    let explain = |error| diagnosis.explain(error);
    let plan = to_plan(state, statement).await.map_err(explain)?;
    read_only().verify_plan(&plan).map_err(explain)?;
    Ok(plan)
}

/// Members must be the same whenever they are computed, and a condition looks at one row.
///
/// # Errors
/// [`EngineError::Volatile`]; [`EngineError::ManyRows`].
pub(crate) fn check_criteria(
    plan: &LogicalPlan,
    diagnosis: &Diagnosis<'_>,
) -> Result<(), EngineError> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        let is_filter = matches!(node, LogicalPlan::Filter(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                refused = match expr {
                    Expr::ScalarFunction(call) if expr.is_volatile_node() => {
                        let position = diagnosis.position_of(call.name());
                        Some(EngineError::Volatile {
                            function: call.name().to_owned(),
                            position,
                        })
                    }
                    Expr::WindowFunction(call) if is_filter => {
                        Some(diagnosis.many_rows(Some(call.fun.name())))
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                Ok(TreeNodeRecursion::Stop)
            })
        })
    })
    .map_err(|error| diagnosis.explain(error))?;
    refused.map_or(Ok(()), Err)
}
