//! What an expression is made of.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Visit,
    Visitor,
};

use super::behaviour;
use crate::criteria::behaviour::clock_expr::{Reads, reads};

use crate::rewriting::walk::walk;

/// What an expression has in it, beside the arguments of our own functions.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Has {
    /// It reads the clock.
    pub(super) clock: bool,
    /// It names columns, or calls functions of ours.
    pub(super) person: bool,
    /// It has a query in it.
    pub(super) query: bool,
}

struct Looking<'a> {
    state: &'a SessionState,
    has: Has,
    /// Calls of ours around the present place.
    calls: usize,
}

impl Visitor for Looking<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.has.query = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if behaviour(function).is_some() => {
                self.has.person = true;
                self.calls += 1;
            }
            Expr::Function(function) if self.calls == 0 => {
                self.has.clock |= reads(self.state, function) != Reads::Nothing;
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.has.person = true,
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && behaviour(function).is_some()
        {
            self.calls -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// What something that is parsed has in it.
pub(super) fn has(state: &SessionState, of: &impl Visit) -> Has {
    let mut looking = Looking {
        state,
        has: Has::default(),
        calls: 0,
    };
    let _ = walk(of, &mut looking);
    looking.has
}

/// Whether an expression or a query calls a function that reads the clock.
pub(crate) fn reads_clock(state: &SessionState, of: &impl Visit) -> bool {
    has(state, of).clock
}

/// The parts of an expression that can be looked at one by one: where none of them comes to
/// something else, neither does the whole.
pub(super) fn parts(expr: &Expr) -> Option<Vec<&Expr>> {
    Some(match expr {
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::UnaryOp { expr, .. }
        | Expr::Cast { expr, .. }
        | Expr::Extract { expr, .. }
        | Expr::Ceil { expr, .. }
        | Expr::Floor { expr, .. }
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsUnknown(expr)
        | Expr::IsNotUnknown(expr)
        | Expr::IsTrue(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsFalse(expr)
        | Expr::IsNotFalse(expr)
        | Expr::Nested(expr) => vec![expr],
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => vec![timestamp, time_zone],
        Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. } => {
            vec![expr, pattern]
        }
        Expr::Case {
            operand,
            conditions,
            else_result,
            ..
        } => {
            let mut parts: Vec<&Expr> = operand.iter().map(AsRef::as_ref).collect();
            for CaseWhen { condition, result } in conditions {
                parts.extend([condition, result]);
            }
            parts.extend(else_result.iter().map(AsRef::as_ref));
            parts
        }
        Expr::Function(function) => arguments(function)?,
        _ => return None,
    })
}

fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    if function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty() {
        return None;
    }
    match &function.args {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::List(list) if list.clauses.is_empty() => {
            let args = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            });
            args.collect()
        }
        _ => None,
    }
}
