//! For whom the clock alone may change what a condition comes to.
//!
//! Between two moments a call with a window changes for those who have rows between the two places
//! of one of the window's ends; a comparison with an expression of `now()` changes where the other
//! side lies between its two values. Whatever else reads the clock may change for anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Query, UnaryOperator, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use rollbook_model::Timestamp;

use super::call::Call;
use super::question::{before, ends, relation_of};
use super::{Viewpoint, behaviour};
use crate::error::EngineError;

/// The view of activities.
pub(crate) const ACTIVITIES: &str = "_fact_activities";

/// Conditions that are answered together at most.
const TOGETHER: usize = 64;

/// Traits that are the time of a row, and the view that has it.
const TIMES_OF_ROWS: [(&str, &str); 3] = [
    ("first_order_at", "_fact_orders_placed"),
    ("last_order_at", "_fact_orders_placed"),
    ("last_activity_at", ACTIVITIES),
];

/// Rows of a fact in a span of time: from the first moment on and before the last, in
/// microseconds.
type Spans = BTreeSet<[i64; 2]>;

/// For whom conditions may change between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    /// For all: how they read the clock cannot be told.
    pub is_unbounded: bool,
    /// For those who have rows of a view, and of a type where one is named, in a span.
    spans: BTreeMap<(&'static str, Option<String>), Spans>,
    /// For those whose first expression lies between the other two.
    between: BTreeSet<[String; 3]>,
}

impl Clock {
    /// What another one says too.
    pub fn extend(&mut self, other: Self) {
        self.is_unbounded |= other.is_unbounded;
        for (rows, spans) in other.spans {
            self.spans.entry(rows).or_default().extend(spans);
        }
        self.between.extend(other.between);
    }

    /// The spans of activities, which have a copy in order of time, by their type.
    pub fn activities(&self) -> impl Iterator<Item = (Option<&str>, [i64; 2])> {
        let of = self
            .spans
            .iter()
            .filter(|((view, _), _)| *view == ACTIVITIES);
        of.flat_map(|((_, kind), spans)| spans.iter().map(|span| (kind.as_deref(), *span)))
    }

    /// Takes out the spans of rows of a view and type that are answered otherwise.
    pub(crate) fn without(&mut self, rows: &(&'static str, Option<String>)) -> Vec<[i64; 2]> {
        let spans = self.spans.remove(rows).unwrap_or_default();
        spans.into_iter().collect()
    }

    /// The views and types of which it names rows.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Option<String>)> {
        self.spans.keys().cloned().collect()
    }

    /// A query for the persons of each other view.
    pub(crate) fn queries(&self) -> Vec<String> {
        let mut by_view: BTreeMap<&str, BTreeMap<&[i64; 2], Vec<&str>>> = BTreeMap::new();
        let others = self
            .spans
            .iter()
            .filter(|((view, _), _)| *view != ACTIVITIES);
        for ((view, kind), spans) in others {
            for span in spans {
                let kinds = by_view.entry(view).or_default().entry(span).or_default();
                kinds.extend(kind.as_deref());
            }
        }
        let query = |(view, spans): (&str, BTreeMap<&[i64; 2], Vec<&str>>)| {
            let conditions = spans.into_iter().map(|([from, to], kinds)| {
                let [from, to] = [*from, *to].map(|at| literal(Timestamp::from_micros(at)));
                let kinds: Vec<_> = kinds.into_iter().map(super::fact::quoted).collect();
                let of_kind = match kinds.is_empty() {
                    true => String::new(),
                    false => format!(" and type in ({})", kinds.join(", ")),
                };
                format!("at >= {from} and at < {to}{of_kind}")
            });
            let conditions = conditions.collect::<Vec<_>>().join(") or (");
            format!("select person_id from {view} where person_id <> 0 and (({conditions}))")
        };
        by_view.into_iter().map(query).collect()
    }

    /// Conditions on `people`, many in one, so that they are answered together.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let between = self.between.iter();
        let condition = |[value, first, last]: &[String; 3]| {
            format!("(({value}) between least({first}, {last}) and greatest({first}, {last}))")
        };
        let all: Vec<String> = between.map(condition).collect();
        all.chunks(TOGETHER).map(|some| some.join(" or ")).collect()
    }
}

/// A moment in SQL.
pub(crate) fn literal(at: Timestamp) -> String {
    format!("cast('{at}' as timestamp with time zone)")
}

/// A walk over a condition.
pub(crate) struct Reading<'a> {
    pub(crate) now: Viewpoint,
    pub(crate) since: Viewpoint,
    /// Whether a function reads the clock.
    pub(crate) is_clock: &'a dyn Fn(&str) -> bool,
    pub(crate) found: Clock,
}

impl Reading<'_> {
    pub(crate) fn condition(&mut self, expr: &Expr) -> Result<(), EngineError> {
        use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
        match expr {
            Expr::BinaryOp {
                left,
                op: And | Or,
                right,
            } => {
                self.condition(left)?;
                self.condition(right)
            }
            Expr::Nested(inner)
            | Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: inner,
            }
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner) => self.condition(inner),
            Expr::BinaryOp {
                left,
                op: Eq | NotEq | Lt | LtEq | Gt | GtEq,
                right,
            } => match (self.bound(left), self.bound(right)) {
                (None, Some(ends)) => self.compared(left, right, ends),
                (Some(ends), None) => self.compared(right, left, ends),
                _ => self.value(expr),
            },
            Expr::Between {
                expr: value,
                low,
                high,
                ..
            } => {
                for end in [low, high] {
                    match self.bound(end) {
                        Some(ends) => self.compared(value, end, ends)?,
                        None => self.value(end)?,
                    }
                }
                self.value(value)
            }
            other => self.value(other),
        }
    }

    /// A value that is compared with one that moves from `first` to `last`.
    fn compared(
        &mut self,
        value: &Expr,
        end: &Expr,
        [first, last]: [String; 2],
    ) -> Result<(), EngineError> {
        // Of a time that is that of a row only those come into question who have such a row.
        let moments = [self.since, self.now].map(|viewpoint| moment(end, viewpoint));
        if let (Some(rows), [Some(first), Some(last)]) = (time_of_rows(value)?, moments) {
            let span = [first.min(last), first.max(last).saturating_add(1)];
            self.found.spans.entry(rows).or_default().insert(span);
            return Ok(());
        }
        let name = value.to_string();
        self.found.between.insert([name, first, last]);
        self.value(value)
    }

    /// Any other expression: what it calls.
    fn value(&mut self, expr: &Expr) -> Result<(), EngineError> {
        match expr.visit(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// What an expression comes to at both moments, if it is of the clock and of nothing else.
    fn bound(&self, expr: &Expr) -> Option<[String; 2]> {
        let mut names = OfTheClock {
            is_clock: self.is_clock,
            calls: 0,
        };
        if expr.visit(&mut names).is_break() || names.calls == 0 {
            return None;
        }
        let at = |moment: Timestamp| {
            let mut expr = expr.clone();
            let known = VisitMut::visit(
                &mut expr,
                &mut Standing {
                    is_clock: self.is_clock,
                    moment,
                },
            );
            known.is_continue().then(|| expr.to_string())
        };
        Some([at(self.since.as_of)?, at(self.now.as_of)?])
    }

    fn call(&mut self, call: &Call) -> Result<(), EngineError> {
        let text = call.text("where")?.unwrap_or_default();
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words
            .into_iter()
            .any(|word| (self.is_clock)(&word.to_lowercase()))
        {
            self.found.is_unbounded = true;
            return Ok(());
        }
        let rows = relation_of(call)?;
        match (ends(call, &self.since), ends(call, &self.now), rows) {
            (Some(before), Some(after), Some(rows)) => {
                for (one, other) in before.into_iter().zip(after) {
                    if one != other {
                        let span = [one.min(other), one.max(other)];
                        self.found
                            .spans
                            .entry(rows.clone())
                            .or_default()
                            .insert(span);
                    }
                }
            }
            (Some(_), Some(_), None) => {}
            _ => self.found.is_unbounded = true,
        }
        Ok(())
    }
}

/// The view whose rows' times an expression is one of, and the type of these rows.
fn time_of_rows(value: &Expr) -> Result<Option<(&'static str, Option<String>)>, EngineError> {
    match value {
        Expr::Identifier(name) => {
            let known = TIMES_OF_ROWS
                .iter()
                .find(|(trait_, _)| *trait_ == name.value);
            Ok(known.map(|(_, view)| (*view, None)))
        }
        Expr::Function(function) => match behaviour(function) {
            Some(name @ ("first_time" | "last_time")) => {
                let call = Call::of(name, function)?;
                // A window of its own moves what is first and last in it.
                let is_plain = ["within", "from", "until", "where"]
                    .iter()
                    .all(|argument| call.named(argument).is_none());
                match is_plain {
                    true => relation_of(&call),
                    false => Ok(None),
                }
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The moment that the clock less an interval is, in microseconds.
fn moment(end: &Expr, viewpoint: Viewpoint) -> Option<i64> {
    match end {
        Expr::Nested(inner) => moment(inner, viewpoint),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            ["now", "current_timestamp"]
                .contains(&name.as_str())
                .then(|| viewpoint.as_of.micros())
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Minus,
            right,
        } => match right.as_ref() {
            Expr::Interval(interval) => {
                let from = moment(left, viewpoint)?;
                before(Timestamp::from_micros(from), interval)
            }
            _ => None,
        },
        _ => None,
    }
}

impl Visitor for Reading<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<EngineError> {
        self.found.is_unbounded = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<EngineError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(name) = behaviour(function) else {
            // What stands in the arguments of a call of ours is met here too, and so are periods;
            // only a moment that is reckoned from the clock is one.
            self.found.is_unbounded |= self.reads_clock(function);
            return ControlFlow::Continue(());
        };
        match Call::of(name, function).and_then(|call| self.call(&call)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Reading<'_> {
    fn reads_clock(&self, function: &Function) -> bool {
        (self.is_clock)(&function.name.to_string().to_lowercase())
    }
}

/// Stops at a column, a query, or a call of ours.
struct OfTheClock<'a> {
    is_clock: &'a dyn Fn(&str) -> bool,
    calls: usize,
}

impl Visitor for OfTheClock<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => return ControlFlow::Break(()),
            Expr::Function(function) if behaviour(function).is_some() => {
                return ControlFlow::Break(());
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                self.calls += usize::from((self.is_clock)(&name));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts a moment in the place of the clock; stops at a function of it that is not known.
struct Standing<'a> {
    is_clock: &'a dyn Fn(&str) -> bool,
    moment: Timestamp,
}

impl VisitorMut for Standing<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = function.name.to_string().to_lowercase();
        if !(self.is_clock)(&name) {
            return ControlFlow::Continue(());
        }
        let text = Expr::value(Value::SingleQuotedString(self.moment.to_string()));
        let moment = |kind: &str| format!("cast({text} as {kind})");
        let known = match name.as_str() {
            "now" | "current_timestamp" => moment("timestamp with time zone"),
            "current_date" | "today" => format!("cast({} as date)", moment("timestamp")),
            _ => return ControlFlow::Break(()),
        };
        *expr = Expr::Identifier(known.as_str().into());
        ControlFlow::Continue(())
    }
}
