//! The places of a condition where the clock matters.
//!
//! A window moves over the rows of a fact; a value of a person is compared with an expression of
//! the clock; an expression of the clock stands by itself. Whatever else reads the clock may come
//! to something else for anybody at any moment.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Interval, UnaryOperator, Value, Visitor,
};
use rollbook_model::Timestamp;
use rollbook_model::calendar::period;

use super::{EvaluationContext, behaviour};
use crate::criteria::behaviour::call::Call;
use crate::criteria::behaviour::clock_expr::{ClockExpr, value_column};
use crate::criteria::behaviour::pace::{Pace, pace};
use crate::criteria::behaviour::parts::{Has, has, parts};
use crate::criteria::behaviour::question::{ago, before, relations_of};
use crate::criteria::condition::Condition;
use crate::error::EngineError;
use crate::rewriting::walk::walk;

/// The view of activities.
pub(crate) const ACTIVITIES: &str = "_fact_activities";

/// Traits that are the time of a row, and the view that has it.
const TIMES_OF_ROWS: [(&str, &str); 3] = [
    ("first_order_at", "_fact_orders_placed"),
    ("last_order_at", "_fact_orders_placed"),
    ("last_activity_at", ACTIVITIES),
];

/// The rows of a view, and of a type where one is named.
pub(crate) type Rows = (&'static str, Option<String>);

/// A moment that follows the clock.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    /// The present less an interval.
    Before(Interval, chrono_tz::Tz),
    /// The begin (0) or the end (1) of a period of the calendar.
    Period(String, usize, chrono_tz::Tz),
    /// Any other expression of the clock.
    ClockExpr(ClockExpr),
}

impl Bound {
    /// Where it is, in microseconds; `None` where that cannot be told.
    pub(crate) fn micros(&self, moment: Timestamp) -> Option<i64> {
        match self {
            Self::Before(interval, zone) => before(moment, interval, *zone),
            Self::Period(name, end, zone) => Some(period(name, moment, *zone)?[*end].micros()),
            Self::ClockExpr(clock_expr) => clock_expr.micros(moment),
        }
    }
}

/// An end of a window.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) bound: Bound,
    pub(crate) pace: Pace,
    /// Whether a row at the very moment is before it.
    is_open: bool,
}

impl End {
    /// On which side of it a time is.
    pub(crate) fn is_passed_by(&self, at: i64, moment: Timestamp) -> Option<bool> {
        let place = self.bound.micros(moment)?;
        Some(if self.is_open {
            at > place
        } else {
            at >= place
        })
    }
}

/// A value that is compared with an expression of the clock.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    /// The value: an expression on `people` that does not read the clock.
    pub(crate) value: Condition,
    /// The comparison, with a column in place of the value.
    pub(crate) comparison: Expr,
    /// The expression of the clock, as it stands against the value.
    pub(crate) clock_expr: ClockExpr,
    /// The rows whose times the value is one of.
    pub(crate) rows: Option<Rows>,
    pub(crate) pace: Pace,
}

/// A place where the clock matters.
#[derive(Debug, Clone)]
pub(crate) enum ClockRead {
    /// An end of a window that moves over rows.
    End { rows: Vec<Rows>, end: End },
    /// A comparison.
    Compared(Box<Compared>),
    /// An expression of the clock and nothing else.
    Alone { clock_expr: ClockExpr, pace: Pace },
    /// A query within the condition, and whether it reads the clock.
    Query { reads_clock: bool },
    /// Anything else.
    Anything,
}

/// A walk over a condition that finds them.
pub(crate) struct ClockReads<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) eval_context: EvaluationContext,
    pub(crate) condition: &'a Condition,
    pub(crate) found: Vec<ClockRead>,
}

impl ClockReads<'_> {
    fn has(&self, expr: &Expr) -> Has {
        has(self.state, expr)
    }

    /// Whether an expression is one of the clock and of nothing else.
    fn is_of_clock(&self, expr: &Expr) -> bool {
        let has = self.has(expr);
        has.clock && !has.person && !has.query
    }

    /// Whether an expression comes to the same at any moment, but for the rows of windows.
    fn is_timeless(&self, expr: &Expr) -> bool {
        let has = self.has(expr);
        !has.clock && !has.query
    }

    /// Finds the places of a condition, or of a part of one.
    pub(crate) fn walk(&mut self, expr: &Expr) -> Result<(), EngineError> {
        use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
        match expr {
            Expr::Nested(inner) => self.walk(inner),
            Expr::BinaryOp {
                left,
                op: And | Or,
                right,
            } => self.all(&[left, right]),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            }
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr) => self.walk(expr),
            Expr::BinaryOp {
                left,
                op: op @ (Eq | NotEq | Lt | LtEq | Gt | GtEq),
                right,
            } => {
                let of = |left, right| Expr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                };
                self.comparison(left, right, &of)
            }
            Expr::IsDistinctFrom(left, right) => {
                let of = |left, right| Expr::IsDistinctFrom(Box::new(left), Box::new(right));
                self.comparison(left, right, &of)
            }
            Expr::IsNotDistinctFrom(left, right) => {
                let of = |left, right| Expr::IsNotDistinctFrom(Box::new(left), Box::new(right));
                self.comparison(left, right, &of)
            }
            Expr::Between {
                expr, low, high, ..
            } => {
                for (op, end) in [(GtEq, low), (LtEq, high)] {
                    let of = |left, right| Expr::BinaryOp {
                        left: Box::new(left),
                        op: op.clone(),
                        right: Box::new(right),
                    };
                    self.comparison(expr, end, &of)?;
                }
                Ok(())
            }
            Expr::InList { expr, list, .. } => {
                for one in list {
                    let of = |left, right| Expr::BinaryOp {
                        left: Box::new(left),
                        op: Eq,
                        right: Box::new(right),
                    };
                    self.comparison(expr, one, &of)?;
                }
                Ok(())
            }
            other => self.value(other),
        }
    }

    fn all(&mut self, exprs: &[&Expr]) -> Result<(), EngineError> {
        exprs.iter().try_for_each(|expr| self.walk(expr))
    }

    /// Two sides that are compared.
    fn comparison(
        &mut self,
        left: &Expr,
        right: &Expr,
        of: &dyn Fn(Expr, Expr) -> Expr,
    ) -> Result<(), EngineError> {
        for (value, bound, is_turned) in [(left, right, false), (right, left, true)] {
            let side = |value: Expr, bound: Expr| match is_turned {
                false => of(value, bound),
                true => of(bound, value),
            };
            if self.is_timeless(value) && self.is_of_clock(bound) {
                let comparison = side(value_column(), nested(bound));
                return self.compared(value, comparison, bound.clone());
            }
            // `now() - created_at > interval '30 days'`: the difference of two times.
            if let Some((whose, clock, is_age)) = self.difference(value)
                && let Some(shift) = self.shift(clock, bound)
            {
                let value = match is_age {
                    true => minus(nested(clock), value_column()),
                    false => minus(value_column(), nested(clock)),
                };
                let comparison = side(Expr::Nested(Box::new(value)), nested(bound));
                let moved = match is_age {
                    true => minus(nested(clock), shift),
                    false => plus(nested(clock), shift),
                };
                return self.compared(whose, comparison, moved);
            }
        }
        self.value_of(left)?;
        self.value_of(right)
    }

    /// The person's side of a difference and that of the clock, and whether the clock comes first.
    fn difference<'e>(&self, expr: &'e Expr) -> Option<(&'e Expr, &'e Expr, bool)> {
        match expr {
            Expr::Nested(inner) => self.difference(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Minus,
                right,
            } => {
                let (left, right): (&Expr, &Expr) = (left, right);
                if self.is_of_clock(left) && self.is_timeless(right) {
                    return Some((right, left, true));
                }
                (self.is_timeless(left) && self.is_of_clock(right)).then_some((left, right, false))
            }
            _ => None,
        }
    }

    /// An interval by which differences of times are ordered, in days and parts of one: a month
    /// counts as 30 days. Of days a number is so many days, and of numbers it is what it is.
    fn shift(&self, clock: &Expr, expr: &Expr) -> Option<Expr> {
        let has = self.has(expr);
        if has.clock || has.person || has.query {
            return None;
        }
        let at = |expr: &Expr| ClockExpr::new(self.state, expr)?.at(self.eval_context.as_of);
        if at(clock)?.data_type().is_numeric() {
            return Some(nested(expr));
        }
        let value = at(expr)?;
        let (days, nanos) = match value {
            ScalarValue::IntervalMonthDayNano(Some(span)) => {
                let days = i64::from(span.months) * 30 + i64::from(span.days);
                (days, span.nanoseconds)
            }
            ScalarValue::IntervalDayTime(Some(span)) => {
                let nanos = i64::from(span.milliseconds) * 1_000_000;
                (span.days.into(), nanos)
            }
            ScalarValue::IntervalYearMonth(Some(months)) => (i64::from(months) * 30, 0),
            ScalarValue::DurationMicrosecond(Some(micros)) => (0, micros.checked_mul(1_000)?),
            ScalarValue::DurationNanosecond(Some(nanos)) => (0, nanos),
            ScalarValue::DurationMillisecond(Some(millis)) => (0, millis.checked_mul(1_000_000)?),
            ScalarValue::DurationSecond(Some(seconds)) => (0, seconds.checked_mul(1_000_000_000)?),
            ScalarValue::Int64(Some(days)) => (days, 0),
            ScalarValue::Int32(Some(days)) => (days.into(), 0),
            _ => return None,
        };
        let text = format!("{days} days {} microseconds", nanos / 1_000);
        Some(Expr::Interval(Interval {
            value: Box::new(Expr::value(Value::SingleQuotedString(text))),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }))
    }

    fn compared(&mut self, value: &Expr, comparison: Expr, bound: Expr) -> Result<(), EngineError> {
        let clock_read = match ClockExpr::new(self.state, &bound) {
            Some(clock_expr) => ClockRead::Compared(Box::new(Compared {
                value: self.condition.part(value.clone()),
                comparison,
                pace: pace(self.state, &bound),
                clock_expr,
                rows: time_of_rows(value)?,
            })),
            None => ClockRead::Anything,
        };
        self.found.push(clock_read);
        self.value_of(value)
    }

    fn value_of(&mut self, expr: &Expr) -> Result<(), EngineError> {
        match expr {
            Expr::Nested(inner) => self.value_of(inner),
            other => self.value(other),
        }
    }

    /// An expression of any type.
    fn value(&mut self, expr: &Expr) -> Result<(), EngineError> {
        if let Expr::Function(function) = expr
            && let Some(name) = behaviour(function)
        {
            return self.call(&Call::of(name, function)?);
        }
        let has = self.has(expr);
        if has.query {
            self.found.push(ClockRead::Query {
                reads_clock: has.clock,
            });
            return Ok(());
        }
        if has.clock && !has.person {
            self.found.push(match ClockExpr::new(self.state, expr) {
                Some(clock_expr) => ClockRead::Alone {
                    clock_expr,
                    pace: pace(self.state, expr),
                },
                None => ClockRead::Anything,
            });
            return Ok(());
        }
        if !has.person {
            return Ok(());
        }
        match parts(expr) {
            Some(parts) => self.all(&parts),
            None if has.clock => {
                self.found.push(ClockRead::Anything);
                Ok(())
            }
            None => self.calls_within(expr),
        }
    }

    /// The calls of ours in an expression that does not read the clock otherwise.
    fn calls_within(&mut self, expr: &Expr) -> Result<(), EngineError> {
        struct Calls<'a, 'b>(&'a mut ClockReads<'b>);
        impl Visitor for Calls<'_, '_> {
            type Break = EngineError;

            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<EngineError> {
                if let Expr::Function(function) = expr
                    && let Some(name) = behaviour(function)
                {
                    let call = Call::of(name, function);
                    if let Err(error) = call.and_then(|call| self.0.call(&call)) {
                        return ControlFlow::Break(error);
                    }
                }
                ControlFlow::Continue(())
            }
        }
        match walk(expr, &mut Calls(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// A call of ours: the ends of its window that move.
    fn call(&mut self, call: &Call) -> Result<(), EngineError> {
        let text = call.text("where")?.unwrap_or_default();
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let functions = self.state.scalar_functions();
        let is_clock = |word: &str| {
            let known = functions.get(&word.to_lowercase());
            known.is_some_and(|known| {
                known.signature().volatility != datafusion::logical_expr::Volatility::Immutable
            })
        };
        if words.into_iter().any(is_clock) {
            self.found.push(ClockRead::Anything);
            return Ok(());
        }
        let rows = relations_of(call)?;
        if rows.is_empty() {
            return Ok(());
        }
        for end in self.ends(call) {
            self.found.push(match end {
                Some(end) => ClockRead::End {
                    rows: rows.clone(),
                    end,
                },
                None => ClockRead::Anything,
            });
        }
        Ok(())
    }

    /// The ends of a window that move; `None` for one of which nobody can tell where it is.
    fn ends(&self, call: &Call) -> Vec<Option<End>> {
        let end = |bound: Option<Bound>, pace: Pace, is_open: bool| {
            bound.map(|bound| End {
                bound,
                pace,
                is_open,
            })
        };
        let mut ends = Vec::new();
        // The time between the two of a sequence is the same whenever it is looked at.
        let within = call.named("within").filter(|_| call.function != "sequence");
        match within {
            Some(Expr::Interval(interval)) => {
                let zone = self.eval_context.zone;
                let bound = match before(self.eval_context.as_of, interval, zone) {
                    Some(_) => Some(Bound::Before(interval.clone(), zone)),
                    None => ClockExpr::time(self.state, &ago(interval)).map(Bound::ClockExpr),
                };
                ends.push(end(bound, Pace::of_interval(interval, zone), true));
            }
            Some(Expr::Function(function)) => {
                let name = function.name.to_string().to_lowercase();
                let zone = self.eval_context.zone;
                for at in [0, 1] {
                    let bound = Bound::Period(name.clone(), at, zone);
                    ends.push(end(Some(bound), Pace::Period(name.clone()), false));
                }
            }
            _ => {}
        }
        for name in ["from", "until"] {
            let Some(expr) = call.named(name).filter(|expr| self.has(expr).clock) else {
                continue;
            };
            let bound = ClockExpr::time(self.state, expr).map(Bound::ClockExpr);
            ends.push(end(bound, pace(self.state, expr), false));
        }
        ends
    }
}

/// The view whose rows' times an expression is one of, and the type of these rows.
fn time_of_rows(value: &Expr) -> Result<Option<Rows>, EngineError> {
    match value {
        Expr::Nested(inner) => time_of_rows(inner),
        Expr::Identifier(name) => {
            let known = TIMES_OF_ROWS
                .iter()
                .find(|(trait_, _)| trait_.eq_ignore_ascii_case(&name.value));
            Ok(known.map(|(_, view)| (*view, None)))
        }
        Expr::Function(function) => match behaviour(function) {
            Some(name @ ("first_time" | "last_time")) => {
                let call = Call::of(name, function)?;
                // A window of its own moves what is first and last in it.
                let is_plain = ["within", "from", "until", "where"]
                    .iter()
                    .all(|argument| call.named(argument).is_none());
                Ok(match is_plain {
                    true => relations_of(&call)?.into_iter().next(),
                    false => None,
                })
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn nested(expr: &Expr) -> Expr {
    match expr {
        Expr::Nested(_) => expr.clone(),
        other => Expr::Nested(Box::new(other.clone())),
    }
}

fn plus(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Plus,
        right: Box::new(right),
    }
}

fn minus(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Minus,
        right: Box::new(right),
    }
}
