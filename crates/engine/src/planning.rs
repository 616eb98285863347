//! From what was asked to a physical plan, with everything that is refused on the way.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ParamValues};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, cast, ident};
use datafusion::physical_plan::ExecutionPlan;
use rollbook_model::ColumnType;
use rollbook_model::config::Limits;

use crate::complexity::tokens;
use crate::diagnosis::Diagnosis;
use crate::error::EngineError;
use crate::statement::{ParseError, matching_people, query, read_only};

/// What DataFusion says of an aggregate in a condition.
const AGGREGATE_IN_WHERE: &str = "Aggregate functions are not allowed in the WHERE clause";

/// What a caller asks.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// The rows of a query, with values for its `$names`.
    Query(String, Option<ParamValues>),
    /// The ids of the persons who meet a condition.
    PeopleWhere(String),
    /// The ids of the persons that a query names.
    PersonIds(String),
}

impl Request {
    fn sql(&self) -> &str {
        match self {
            Self::Query(sql, _) | Self::PeopleWhere(sql) | Self::PersonIds(sql) => sql,
        }
    }
}

/// Plans a request, and gives the diagnosis that errors of running it need.
pub(crate) async fn plan(
    state: &SessionState,
    request: &Request,
    limits: &Limits,
) -> Result<(Arc<dyn ExecutionPlan>, Diagnosis), EngineError> {
    let tokens = tokens(request.sql(), limits.sql_chars)?;
    let diagnosis = Diagnosis::new(state, tokens, *limits);
    let parsed = match request {
        Request::PeopleWhere(_) => matching_people(diagnosis.tokens()),
        Request::Query(..) | Request::PersonIds(_) => query(diagnosis.tokens()),
    };
    let statement = parsed.map_err(|error| match error {
        ParseError::Refused(error) => error,
        ParseError::Parser(error) => diagnosis.explain(error),
    })?;
    let explain = |error| diagnosis.explain(error);
    let planned = state.statement_to_plan(statement).await;
    let mut plan = planned.map_err(|error| match request {
        Request::PeopleWhere(_) if error.to_string().contains(AGGREGATE_IN_WHERE) => {
            diagnosis.many_rows(None)
        }
        _ => diagnosis.explain(error),
    })?;
    read_only().verify_plan(&plan).map_err(explain)?;
    match request {
        Request::Query(_, None) => {}
        Request::Query(_, Some(values)) => {
            plan = plan.with_param_values(values.clone()).map_err(explain)?;
        }
        Request::PeopleWhere(_) => check_criteria(&plan, &diagnosis)?,
        Request::PersonIds(_) => {
            check_criteria(&plan, &diagnosis)?;
            plan = known_persons(state, plan, &diagnosis).await?;
        }
    }
    let physical = state.create_physical_plan(&plan).await.map_err(explain)?;
    Ok((physical, diagnosis))
}

/// Members must be the same whenever they are computed, and a condition looks at one row.
fn check_criteria(plan: &LogicalPlan, diagnosis: &Diagnosis) -> Result<(), EngineError> {
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

/// The persons of `people` whose id `chosen` puts out.
async fn known_persons(
    state: &SessionState,
    chosen: LogicalPlan,
    diagnosis: &Diagnosis,
) -> Result<LogicalPlan, EngineError> {
    let fields = chosen.schema().fields();
    let fits = matches!(fields.as_ref(), [field] if field.name() == "person_id"
        && (field.data_type().is_integer() || *field.data_type() == DataType::Null));
    if !fits {
        let found: Vec<_> = fields
            .iter()
            .map(|field| format!("`{}`", field.name()))
            .collect();
        return Err(EngineError::NotPersonIds {
            found: found.join(", "),
        });
    }
    let everybody = state
        .create_logical_plan("select person_id from people")
        .await;
    let joined = everybody.and_then(|everybody| {
        let chosen = LogicalPlanBuilder::from(chosen)
            .alias("chosen_rows")?
            .project(vec![
                cast(ident("person_id"), ColumnType::Int.arrow()).alias("person_id"),
            ])?
            .alias("chosen")?
            .build()?;
        let keys = (
            vec![Column::new(Some("people"), "person_id")],
            vec![Column::new(Some("chosen"), "person_id")],
        );
        LogicalPlanBuilder::from(everybody)
            .join(chosen, JoinType::LeftSemi, keys, None)?
            .build()
    });
    joined.map_err(|error| diagnosis.explain(error))
}
