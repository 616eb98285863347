//! The moments at which the clock alone may turn a condition for one person.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Interval, UnaryOperator, Visit, Visitor,
};
use rollbook_model::calendar::{PERIODS, period};
use rollbook_model::tables::TABLES;
use rollbook_model::{ColumnType, Timestamp};

use crate::behaviour::before;
use crate::error::EngineError;
use crate::planning::{is_clock, parsed};
use crate::session::Session;

/// Ends of periods that are looked at, from the next on.
const PERIODS_AHEAD: usize = 24;
const DAY: i64 = 86_400_000_000;

/// What of the clock a condition has.
#[derive(Default)]
struct Parts {
    intervals: Vec<Interval>,
    periods: BTreeSet<String>,
    has_days: bool,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Interval(interval) => self.intervals.push(interval.clone()),
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                self.has_days |= name == "current_date";
                // `today()` is a day in the tenant's zone, or one of UTC.
                self.has_days |= name == "today";
                if PERIODS.contains(&name.as_str()) {
                    self.periods.insert(name);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Session {
    /// A query for all moments that rows of one person have, in a column `at`.
    pub fn moments_of(&self, person: i64) -> String {
        let of_table = TABLES.iter().filter(|def| def.is_personal_fact());
        let of_table = of_table.flat_map(|def| {
            let columns = def.all_columns();
            let times = columns.filter(|column| column.ty == ColumnType::Time && !column.personal);
            times.map(|column| (def.name, column.name))
        });
        let parts = of_table.map(|(table, column)| {
            format!(
                "select {column} as at from {table} where person_id = {person} and {column} is \
                 not null"
            )
        });
        // What was given back counts for the person of the order, whatever person it names.
        let refunds = format!(
            "select at from _fact_orders_refunded where person_id = {person} and at is not null"
        );
        let parts = parts.chain([refunds]);
        parts.collect::<Vec<_>>().join(" union ")
    }

    /// The moments after this session's at which conditions may come to something else for a
    /// person whose rows have `moments`, in order; the clock does nothing in between. `None` where
    /// a condition reads the clock in a way that cannot be told ahead: in a `where`, or otherwise
    /// than as `now()` with an interval more or less, on one side of a comparison.
    ///
    /// # Errors
    /// Whatever keeps a text from being read.
    pub fn turning_points(
        &self,
        criteria: &[&str],
        moments: &[Timestamp],
    ) -> Result<Option<Vec<Timestamp>>, EngineError> {
        let now = self.viewpoint();
        let mut parts = Parts::default();
        let mut is_compared = false;
        for text in criteria {
            let (condition, _) = parsed(self.state(), text, self.limits())?;
            let clocks = self.clocks(&condition);
            if self.clock(text, now.as_of)?.is_unbounded || clocks > plain_clocks(&condition) {
                return Ok(None);
            }
            is_compared |= clocks > 0;
            let _ = condition.visit(&mut parts);
        }
        let mut points = BTreeSet::new();
        for moment in moments {
            points.insert(moment.micros());
            for interval in &parts.intervals {
                points.extend(passes(*moment, interval));
            }
        }
        if parts.has_days {
            let midnights = points.iter().map(|at| at.div_euclid(DAY) * DAY + DAY);
            points.extend(midnights.collect::<Vec<_>>());
        }
        for name in &parts.periods {
            let mut at = now.as_of;
            for _ in 0..PERIODS_AHEAD {
                let of_now = match name.split_once('_') {
                    Some((_, of)) => format!("this_{of}"),
                    None => "today".to_owned(),
                };
                let of_now = if name == "yesterday" {
                    "today".to_owned()
                } else {
                    of_now
                };
                let Some([_, end]) = period(&of_now, at, now.zone) else {
                    break;
                };
                points.insert(end.micros());
                at = end;
            }
        }
        // A row is seen at its very moment, and leaves a window at one; what is compared with the
        // clock may turn right after.
        let right_after = points.iter().map(|at| at.saturating_add(1));
        let right_after: Vec<i64> = right_after.filter(|_| is_compared).collect();
        points.extend(right_after);
        let after = points.into_iter().filter(|at| *at > now.as_of.micros());
        let after = after.into_iter().map(Timestamp::from_micros);
        Ok(Some(after.collect()))
    }

    /// How often a condition reads the clock.
    fn clocks(&self, condition: &Expr) -> usize {
        struct Clocks<'a>(&'a dyn Fn(&str) -> bool, usize);
        impl Visitor for Clocks<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                if let Expr::Function(function) = expr {
                    let name = function.name.to_string().to_lowercase();
                    self.1 += usize::from((self.0)(&name));
                }
                ControlFlow::Continue(())
            }
        }
        let is_clock = |name: &str| is_clock(self.state(), name);
        let mut clocks = Clocks(&is_clock, 0);
        let _ = condition.visit(&mut clocks);
        clocks.1
    }
}

/// How often a condition compares something with the clock, or with the clock and an interval.
fn plain_clocks(condition: &Expr) -> usize {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    let of = |sides: &[&Expr]| sides.iter().filter(|side| is_plain(side)).count();
    match condition {
        Expr::BinaryOp {
            left,
            op: And | Or,
            right,
        } => plain_clocks(left) + plain_clocks(right),
        Expr::Nested(inner)
        | Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: inner,
        } => plain_clocks(inner),
        Expr::BinaryOp {
            left,
            op: Eq | NotEq | Lt | LtEq | Gt | GtEq,
            right,
        } => of(&[left.as_ref(), right.as_ref()]),
        Expr::Between {
            expr, low, high, ..
        } => of(&[expr.as_ref(), low.as_ref(), high.as_ref()]),
        _ => 0,
    }
}

/// Whether an expression is the clock, or the clock and an interval.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_plain(inner),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            ["now", "current_timestamp", "current_date", "today"].contains(&name.as_str())
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus | BinaryOperator::Minus,
            right,
        } => is_plain(left) && matches!(right.as_ref(), Expr::Interval(_)),
        _ => false,
    }
}

/// The first moment that is not earlier than `moment` when the interval is taken from it.
fn passes(moment: Timestamp, interval: &Interval) -> Option<i64> {
    let (mut low, mut high) = (moment.micros(), moment.micros());
    let reaches = |at: i64| Some(before(Timestamp::from_micros(at), interval)? >= moment.micros());
    let mut step = DAY;
    while !reaches(high)? {
        low = high;
        high = high.checked_add(step)?;
        step = step.checked_mul(2)?;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match reaches(middle)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Some(low)
}
