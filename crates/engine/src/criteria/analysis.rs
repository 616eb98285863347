//! What can be said of criteria from their text, before anything is evaluated.

use std::collections::BTreeSet;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use rollbook_model::config::Limits;

use crate::cache::Names;
use crate::criteria::behaviour::{Behaviours, EvaluationContext, Tick, Ticks, reads_clock, settle};
use crate::error::EngineError;
use crate::rewriting::expressions::holds_a_query;
use crate::sql::parsing;
use crate::sql::statement::is_select;

/// What a condition needs, before anything is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The segments that it names in `in_segment`, each once.
    pub segments: Vec<String>,
    /// Whether it can be answered together with others: one with a query within it cannot.
    pub is_shareable: bool,
}

/// Reads what a condition needs.
pub(crate) fn needs(
    state: &SessionState,
    criteria: &str,
    viewpoint: EvaluationContext,
    limits: &Limits,
) -> Result<Needs, EngineError> {
    let (parsed, _) = parsing::condition(state, criteria, limits)?;
    let mut condition = parsed.tree.clone();
    let is_shareable = !holds_a_query(&condition);
    let mut behaviours = Behaviours::new(viewpoint, false);
    settle(state, viewpoint.as_of, &mut condition)?;
    behaviours.replace(&mut condition)?;
    Ok(Needs {
        segments: behaviours.segments().to_vec(),
        is_shareable,
    })
}

/// Those of some names that a condition or a query has in it, whatever it means by them.
pub(crate) fn names_among(
    state: &SessionState,
    criteria: &str,
    limits: &Limits,
    wanted: &BTreeSet<String>,
) -> Result<BTreeSet<String>, EngineError> {
    let mut names = Names::default();
    if is_select(criteria) {
        names.note_query(&parsing::query(state, criteria, limits)?.0.tree);
    } else {
        names.note(&parsing::condition(state, criteria, limits)?.0.tree);
    }
    Ok(names.among(wanted))
}

/// The places of a condition where the clock matters.
pub(crate) fn ticks(
    state: &SessionState,
    criteria: &str,
    viewpoint: EvaluationContext,
    limits: &Limits,
) -> Result<Vec<Tick>, EngineError> {
    let (parsed, _) = parsing::condition(state, criteria, limits)?;
    let mut ticks = Ticks {
        state,
        viewpoint,
        found: Vec::new(),
    };
    ticks.walk(&parsed.tree)?;
    Ok(ticks.found)
}

/// Whether a query or an expression reads the clock anywhere.
pub(crate) fn query_reads_clock(
    state: &SessionState,
    text: &str,
    limits: &Limits,
) -> Result<bool, EngineError> {
    if !is_select(text) {
        let (parsed, _) = parsing::condition(state, text, limits)?;
        return Ok(reads_clock(state, &parsed.tree));
    }
    let (parsed, _) = parsing::query(state, text, limits)?;
    Ok(match &parsed.tree {
        Statement::Statement(statement) => reads_clock(state, statement.as_ref()),
        _ => true,
    })
}
