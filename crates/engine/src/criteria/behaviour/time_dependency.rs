//! For whom the clock alone may change what a condition comes to.
//!
//! Between two moments a call with a window changes for those who have rows between the two places
//! of one of the window's ends; a comparison with an expression of `now()` changes where the other
//! side lies between its two values. Whatever else reads the clock may change for anybody.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};
use rollbook_model::Timestamp;

use crate::criteria::behaviour::clock_expr::{micros, written};
use crate::criteria::behaviour::clock_reads::{ACTIVITIES, ClockRead, Compared, Rows};
use crate::criteria::behaviour::fact::literal;
use crate::criteria::condition::Condition;

/// Conditions that are answered together at most.
const TOGETHER: usize = 64;

/// Rows of a fact in a span of time: from the first moment on and before the last, in
/// microseconds.
type Spans = BTreeSet<[i64; 2]>;

/// For whom conditions may change between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeDependency {
    /// For all: how they read the clock cannot be told.
    pub is_unbounded: bool,
    /// For those who have rows of a view, and of a type where one is named, in a span.
    spans: BTreeMap<Rows, Spans>,
    /// For those whose first expression lies between the other two, whichever is less.
    between: BTreeSet<[Condition; 3]>,
}

impl TimeDependency {
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
    pub(crate) fn without(&mut self, rows: &Rows) -> Vec<[i64; 2]> {
        let spans = self.spans.remove(rows).unwrap_or_default();
        spans.into_iter().collect()
    }

    /// The views and types of which it names rows.
    pub(crate) fn rows(&self) -> Vec<Rows> {
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
                let kinds: Vec<_> = kinds
                    .into_iter()
                    .map(crate::criteria::behaviour::fact::quoted)
                    .collect();
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
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let all: Vec<&[Condition; 3]> = self.between.iter().collect();
        let some = all.chunks(TOGETHER).filter_map(|some| {
            let either_way = some.iter().flat_map(|[value, first, last]| {
                [between(value, first, last), between(value, last, first)]
            });
            either_way.reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::Or,
                right: Box::new(right),
            })
        });
        some.map(Condition::of_expr).collect()
    }
}

/// `((value) between first and last)`.
fn between(value: &Condition, first: &Condition, last: &Condition) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    let end = |end: &Condition| Box::new(end.expr().clone());
    *nested(Expr::Between {
        expr: nested(value.expr().clone()),
        negated: false,
        low: end(first),
        high: end(last),
    })
}

impl TimeDependency {
    /// For whom a condition with these places may change from one moment to another.
    pub(crate) fn between(clock_reads: &[ClockRead], since: Timestamp, now: Timestamp) -> Self {
        let mut clock = Self::default();
        for clock_read in clock_reads {
            if clock.note(clock_read, since, now).is_none() {
                clock.is_unbounded = true;
            }
        }
        clock
    }

    /// Notes one; `None` where anybody may be concerned.
    fn note(&mut self, clock_read: &ClockRead, since: Timestamp, now: Timestamp) -> Option<()> {
        match clock_read {
            ClockRead::End { rows, end } => {
                let ends = [end.bound.micros(since)?, end.bound.micros(now)?];
                for rows in rows {
                    self.note_rows(rows, ends);
                }
                Some(())
            }
            ClockRead::Compared(compared) => self.note_compared(compared, since, now),
            ClockRead::Alone { clock_expr, .. } => {
                let (before, after) = (clock_expr.at(since)?, clock_expr.at(now)?);
                (before == after).then_some(())
            }
            ClockRead::Query { .. } | ClockRead::Anything => None,
        }
    }

    fn note_rows(&mut self, rows: &Rows, [one, other]: [i64; 2]) {
        if one != other {
            let span = [one.min(other), one.max(other).saturating_add(1)];
            self.spans.entry(rows.clone()).or_default().insert(span);
        }
    }

    fn note_compared(
        &mut self,
        compared: &Compared,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<()> {
        let ends = [compared.clock_expr.at(since)?, compared.clock_expr.at(now)?];
        if ends[0] == ends[1] {
            return Some(());
        }
        // Of a time that is that of a row only those come into question who have such a row.
        if let (Some(rows), [Some(first), Some(last)]) =
            (&compared.rows, [micros(&ends[0]), micros(&ends[1])])
        {
            self.note_rows(rows, [first, last]);
            return Some(());
        }
        // Null at one of two moments is met by nobody then, whatever it is at the other.
        let [first, last] = [written(&ends[0])?, written(&ends[1])?].map(Condition::of_expr);
        self.between.insert([compared.value.clone(), first, last]);
        Some(())
    }
}
