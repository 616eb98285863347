//! What can be said of a condition or a query from its tree, before anything is evaluated.

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;

use crate::criteria::behaviour::{
    Behaviours, ClockRead, ClockReads, EvaluationContext, reads_clock, resolve_times,
};
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
    eval_context: EvaluationContext,
) -> Result<Needs, EngineError> {
    let mut expr = condition.expr().clone();
    let is_shareable = !holds_a_query(&expr);
    let mut behaviours = Behaviours::new(eval_context, false);
    resolve_times(state, eval_context.as_of, &mut expr)?;
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
pub(crate) fn clock_reads(
    state: &SessionState,
    condition: &Condition,
    eval_context: EvaluationContext,
) -> Result<Vec<ClockRead>, EngineError> {
    let mut clock_reads = ClockReads {
        state,
        eval_context,
        condition,
        found: Vec::new(),
    };
    clock_reads.walk(condition.expr())?;
    Ok(clock_reads.found)
}

/// Whether a query reads the clock anywhere.
pub(crate) fn query_reads_clock(state: &SessionState, query: &PersonQuery) -> bool {
    match query.statement() {
        Statement::Statement(statement) => reads_clock(state, statement.as_ref()),
        _ => true,
    }
}
