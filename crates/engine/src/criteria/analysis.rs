//! What can be said of a condition or a query from its tree, before anything is evaluated.

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;

use crate::criteria::behaviour::{Behaviours, EvaluationContext, Tick, Ticks, reads_clock, settle};
use crate::criteria::condition::{Condition, PersonQuery};
use crate::error::EngineError;
use crate::rewriting::expressions::holds_a_query;

/// What a condition needs, before anything is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The segments that it names in `in_segment`, each once.
    pub segments: Vec<String>,
    /// Whether it can be answered together with others: one with a query within it cannot.
    pub is_shareable: bool,
}

/// What a condition needs.
///
/// # Errors
/// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
pub(crate) fn needs(
    state: &SessionState,
    condition: &Condition,
    viewpoint: EvaluationContext,
) -> Result<Needs, EngineError> {
    let mut expr = condition.expr().clone();
    let is_shareable = !holds_a_query(&expr);
    let mut behaviours = Behaviours::new(viewpoint, false);
    settle(state, viewpoint.as_of, &mut expr)?;
    behaviours.replace(&mut expr)?;
    Ok(Needs {
        segments: behaviours.segments().to_vec(),
        is_shareable,
    })
}

/// The places of a condition where the clock matters.
///
/// # Errors
/// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
pub(crate) fn ticks(
    state: &SessionState,
    condition: &Condition,
    viewpoint: EvaluationContext,
) -> Result<Vec<Tick>, EngineError> {
    let mut ticks = Ticks {
        state,
        viewpoint,
        condition,
        found: Vec::new(),
    };
    ticks.walk(condition.expr())?;
    Ok(ticks.found)
}

/// Whether a query reads the clock anywhere.
pub(crate) fn query_reads_clock(state: &SessionState, query: &PersonQuery) -> bool {
    match query.statement() {
        Statement::Statement(statement) => reads_clock(state, statement.as_ref()),
        _ => true,
    }
}
