//! Planning the statements of mappings, with errors as good as those of queries.

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, Query, Statement as SqlStatement};
use rollbook_model::config::Limits;

use crate::error::EngineError;
use crate::sql::diagnosis::Diagnosis;
use crate::sql::literals::with_doubles;
use crate::sql::parsing;
use crate::sql::statement::{read_only, to_plan};

/// Plans one `select` over the tables of `context`, after `edit` has changed its parsed form.
///
/// # Errors
/// Those of a query: syntax, unknown columns and tables, with their position in `sql`.
pub async fn plan_select(
    context: &SessionContext,
    sql: &str,
    edit: impl FnOnce(&mut Query),
) -> Result<LogicalPlan, EngineError> {
    let state = context.state();
    let limits = Limits::default();
    let parsed = parsing::query(sql, &limits)?;
    let diagnosis = Diagnosis::new(&state, &parsed.tokens, &limits);
    let mut statement = Statement::clone(&parsed.tree);
    if let Statement::Statement(statement) = &mut statement
        && let SqlStatement::Query(query) = statement.as_mut()
    {
        edit(query);
    }
    let explain = |error| diagnosis.explain(error);
    let plan = to_plan(&state, statement).await.map_err(explain)?;
    read_only().verify_plan(&plan).map_err(explain)?;
    Ok(plan)
}

/// The rows of a frame that meet a condition written in SQL.
///
/// # Errors
/// Those of a query, with their position in `condition`.
pub async fn rows_where(
    context: &SessionContext,
    frame: DataFrame,
    condition: &str,
) -> Result<DataFrame, EngineError> {
    let state = context.state();
    let limits = Limits::default();
    let parsed = parsing::condition(condition, &limits)?;
    let diagnosis = Diagnosis::new(&state, &parsed.tokens, &limits);
    let mut condition = Expr::clone(&parsed.tree);
    with_doubles(&mut condition);
    let parsed = ExprWithAlias {
        expr: condition,
        alias: None,
    };
    let planned = state.create_logical_expr_from_sql_expr(parsed, frame.schema());
    let rows = planned.and_then(|condition| frame.filter(condition));
    rows.map_err(|error| diagnosis.explain(error))
}
