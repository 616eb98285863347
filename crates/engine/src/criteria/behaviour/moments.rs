//! The moments that calls name, as they are at the moment that is looked from.
//!
//! A window is planned from moments alone, whether its rows are read from the lake or from memory:
//! so both take and refuse the same.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident,
    Value, Visitor, VisitorMut,
};
use rollbook_model::Timestamp;

use super::behaviour;
use crate::criteria::behaviour::call::Call;
use crate::criteria::behaviour::clock_expr::ClockExpr;
use crate::criteria::behaviour::pace::zone_of;
use crate::criteria::behaviour::question::{ago, before};
use crate::error::EngineError;
use crate::rewriting::walk::{walk, walk_mut};

/// Writes out the moments of `from` and `until` in all calls of a condition, and of intervals that
/// are not computed otherwise.
///
/// # Errors
/// [`EngineError::Behaviour`] where `from`, `until` or `within` is no moment or reaches too far back.
pub(crate) fn resolve_times(
    state: &SessionState,
    as_of: Timestamp,
    condition: &mut Expr,
) -> Result<(), EngineError> {
    match walk_mut(condition, &mut Settling { state, as_of }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Settling<'a> {
    state: &'a SessionState,
    as_of: Timestamp,
}

impl VisitorMut for Settling<'_> {
    type Break = EngineError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(name) = behaviour(function) else {
            return ControlFlow::Continue(());
        };
        // What is wrong with the rest of the call is told where it is asked.
        let Ok(call) = Call::of(name, function) else {
            return ControlFlow::Continue(());
        };
        match self.resolve_times(&call, function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Settling<'_> {
    fn resolve_times(&self, call: &Call, function: &mut Function) -> Result<(), EngineError> {
        let FunctionArguments::List(list) = &mut function.args else {
            return Ok(());
        };
        for argument in &mut list.args {
            let (key, value) = match argument {
                FunctionArg::Named { name, arg, .. } => (name.value.to_lowercase(), arg),
                FunctionArg::ExprNamed { name, arg, .. } => (name.to_string().to_lowercase(), arg),
                FunctionArg::Unnamed(_) => continue,
            };
            let FunctionArgExpr::Expr(expr) = value else {
                continue;
            };
            let settled = match key.as_str() {
                "from" | "until" => self.moment(call, &key, expr)?.map(|at| (key, at)),
                "within" if call.function != "sequence" => {
                    let begin = self.begin(call, expr)?;
                    begin.map(|at| ("from".to_owned(), at))
                }
                _ => None,
            };
            if let Some((key, at)) = settled {
                let text = Value::SingleQuotedString(at.to_string());
                *argument = FunctionArg::Named {
                    name: Ident::new(key),
                    arg: FunctionArgExpr::Expr(Expr::value(text)),
                    operator: FunctionArgOperator::RightArrow,
                };
            }
        }
        Ok(())
    }

    /// The moment that an expression is; `None` for one that is written out.
    fn moment(
        &self,
        call: &Call,
        name: &str,
        expr: &Expr,
    ) -> Result<Option<Timestamp>, EngineError> {
        if call.text(name).is_ok_and(|text| {
            let text = text.unwrap_or_default();
            text.parse::<Timestamp>().is_ok()
        }) {
            return Ok(None);
        }
        let refused = || {
            let message = format!("`{name}` is a moment for everybody, such as '2025-01-31'");
            call.refused(&message)
        };
        if walk(expr, &mut NamesNothing).is_break() {
            return Err(refused());
        }
        let at = ClockExpr::time(self.state, expr).and_then(|expr| expr.micros(self.as_of));
        at.map(|at| Some(Timestamp::from_micros(at)))
            .ok_or_else(refused)
    }

    /// The first moment of the window that an interval makes, where no other way finds it.
    fn begin(&self, call: &Call, expr: &Expr) -> Result<Option<Timestamp>, EngineError> {
        let Expr::Interval(interval) = expr else {
            return Ok(None);
        };
        let zone = zone_of(self.state);
        if before(self.as_of, interval, zone).is_some() {
            return Ok(None);
        }
        let begin = ClockExpr::time(self.state, &ago(interval));
        let begin = begin.and_then(|begin| begin.micros(self.as_of)?.checked_add(1));
        let message = "`within` reaches further back than any moment";
        begin
            .map(|at| Some(Timestamp::from_micros(at)))
            .ok_or_else(|| call.refused(message))
    }
}

/// Stops where a column or a query is named.
struct NamesNothing;

impl Visitor for NamesNothing {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Subquery(_)
            | Expr::InSubquery { .. }
            | Expr::Exists { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
