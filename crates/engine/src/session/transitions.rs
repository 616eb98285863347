//! The moments at which the clock alone may turn a condition: for one person, and for anybody.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{BinaryOperator, CaseWhen, Expr};
use rollbook_model::{ColumnType, Timestamp, tables};

use crate::criteria::analysis::{clock_reads, query_reads_clock};
use crate::criteria::behaviour::{
    ACTIVITIES, ClockExpr, ClockRead, Compared, DAY, End, Pace, Rows, literal, micros, written,
};
use crate::criteria::condition::{Condition, PersonQuery};
use crate::error::EngineError;
use crate::session::Session;

mod facts;
mod search;

use facts::{Fact, all_facts, facts};
pub use search::Next;
use search::next_change;

/// Changes of the order of one row and one end of a window that are looked for, at most.
const PASSES: usize = 16;

/// Where some conditions, which are all met by looking at one another, depend on the clock.
#[derive(Debug, Clone)]
pub struct Transitions {
    clock_reads: Vec<ClockRead>,
    facts: BTreeSet<Fact>,
}

/// A moment of rows that it takes to tell when the clock changes anything for anybody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookup {
    /// The time of the first row after a moment, of a view and a type where one is named.
    First(&'static str, Option<String>, i64),
    /// The time of the last row that is not after a moment.
    Last(&'static str, Option<String>, i64),
    /// The first time after a moment that a row of a table has in any of its columns.
    Arrival(&'static str, i64),
}

/// A value on `people` and a bound: it takes the greatest of the values before the bound, those at
/// it, and the least after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Beside {
    value: Condition,
    bound: Condition,
}

impl Beside {
    /// The value where it is before the bound, where it is at it, and where it is after it; else
    /// null.
    pub fn expressions(&self) -> [Condition; 3] {
        use BinaryOperator::{Eq, Gt, Lt};
        let nested = |of: &Condition| Expr::Nested(Box::new(of.expr().clone()));
        [Lt, Eq, Gt].map(|op| {
            self.value.part(Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen {
                    condition: Expr::BinaryOp {
                        left: Box::new(nested(&self.value)),
                        op,
                        right: Box::new(nested(&self.bound)),
                    },
                    result: nested(&self.value),
                }],
                else_result: None,
            })
        })
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The moments; none where there is no such row.
    pub rows: HashMap<Lookup, Option<i64>>,
    /// The values.
    pub values: HashMap<Beside, Vec<ScalarValue>>,
}

impl Session {
    /// Where conditions and queries depend on the clock. Among the queries are those of the tenant's
    /// own traits that they name.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
    pub fn transitions(
        &self,
        conditions: &[Condition],
        queries: &[PersonQuery],
    ) -> Result<Transitions, EngineError> {
        let mut transitions = Transitions {
            clock_reads: Vec::new(),
            facts: BTreeSet::new(),
        };
        for query in queries {
            transitions.note_query(query_reads_clock(self.state(), query));
        }
        for condition in conditions {
            transitions.facts.extend(facts(condition.expr()));
            let found = clock_reads(self.state(), condition, self.eval_context())?;
            transitions.clock_reads.extend(found);
        }
        Ok(transitions)
    }

    /// When the clock alone may next change a person's membership after a moment. `values` are what
    /// [`Transitions::values`] come to for the person then, `rows` the moments of
    /// [`Session::passes_of`].
    pub fn next_turn(
        &self,
        transitions: &Transitions,
        rows: &BTreeSet<i64>,
        values: &[ScalarValue],
        after: Timestamp,
    ) -> Next {
        let after = after.micros();
        let mut next = match rows.range(after + 1..).next() {
            Some(at) => Next::At(*at),
            None => Next::Never,
        };
        let mut values = values.iter();
        for clock_read in &transitions.clock_reads {
            let of_tick = match clock_read {
                ClockRead::End { .. } => Next::Never,
                ClockRead::Compared(compared) => match values.next() {
                    Some(value) => self.next_of_value(compared, value, after),
                    None => Next::Unknown,
                },
                ClockRead::Alone { clock_expr, pace } => self.next_alone(clock_expr, pace, after),
                ClockRead::Query { reads_clock: false } => Next::Never,
                ClockRead::Query { reads_clock: true } | ClockRead::Anything => Next::Unknown,
            };
            next = next.or(of_tick);
        }
        next
    }

    /// The next change of an expression of the clock.
    fn next_alone(&self, clock_expr: &ClockExpr, pace: &Pace, after: i64) -> Next {
        // What rises all the time is another at each moment.
        if matches!(pace, Pace::Steady { .. }) {
            return Next::Unknown;
        }
        let key = |at: i64| clock_expr.at(Timestamp::from_micros(at));
        next_change(key, |_| None, pace, self.eval_context().zone, after)
    }

    /// The next change of a comparison for one value.
    fn next_of_value(&self, compared: &Compared, value: &ScalarValue, after: i64) -> Next {
        if value.is_null() {
            return Next::Never;
        }
        let clock_expr = ClockExpr::for_value(self.state(), &compared.comparison, value);
        let Some(clock_expr) = clock_expr else {
            return Next::Unknown;
        };
        let at = as_time(value);
        let apart = |moment: i64| {
            let bound = compared.clock_expr.at(Timestamp::from_micros(moment));
            at?.checked_sub(as_time(&bound?)?)
        };
        let key = |moment: i64| clock_expr.at(Timestamp::from_micros(moment));
        next_change(key, apart, &compared.pace, self.eval_context().zone, after)
    }

    /// The moments after this session's at which rows with these times may pass an end of a window,
    /// and those at which rows come to pass; `None` where an end cannot be told ahead. `rows` are
    /// the answers to [`Transitions::rows_of`], in that order.
    pub fn passes(&self, transitions: &Transitions, rows: &[Vec<i64>]) -> Option<BTreeSet<i64>> {
        let after = self.as_of().micros();
        let (mut moments, mut answers) = (BTreeSet::new(), rows.iter());
        let arrivals = answers.next()?;
        moments.extend(arrivals.iter().copied().filter(|at| *at > after));
        for clock_read in &transitions.clock_reads {
            let ClockRead::End { rows, end } = clock_read else {
                continue;
            };
            for _ in rows {
                for at in answers.next()? {
                    let mut from = after;
                    for _ in 0..PASSES {
                        match self.next_pass(*at, end, from) {
                            Next::At(moment) => {
                                moments.insert(moment);
                                from = moment;
                            }
                            Next::Never => break,
                            Next::Unknown => return None,
                        }
                    }
                }
            }
        }
        Some(moments)
    }

    /// The next moment at which a row of a time passes an end of a window.
    fn next_pass(&self, at: i64, end: &End, after: i64) -> Next {
        let key = |moment: i64| end.is_passed_by(at, Timestamp::from_micros(moment));
        let apart = |moment: i64| {
            let place = end.bound.micros(Timestamp::from_micros(moment))?;
            at.checked_sub(place)
        };
        next_change(key, apart, &end.pace, self.eval_context().zone, after)
    }

    /// The first moment after this session's at which the clock may change anything for anybody, or
    /// an earlier one; `None` where it never does. `found` is what [`Transitions::lookups`] and
    /// [`Transitions::beside`] are about.
    pub fn first_change(&self, transitions: &Transitions, found: &Found) -> Option<Timestamp> {
        let now = self.as_of();
        let after = now.micros();
        let row = |lookup: &Lookup| found.rows.get(lookup).copied();
        let mut next = Next::Never;
        for lookup in transitions.arrivals(after) {
            next = next.or(match row(&lookup) {
                Some(Some(at)) => Next::At(at.max(after + 1)),
                Some(None) => Next::Never,
                None => Next::Unknown,
            });
        }
        for clock_read in &transitions.clock_reads {
            let of_tick = match clock_read {
                ClockRead::End { rows, end } => {
                    let pass = |at| self.next_pass(at, end, after);
                    first_of(beside_end(rows, end, now), &row, pass)
                }
                ClockRead::Compared(compared) if compared.rows.is_some() => {
                    let pass = |at| {
                        let at = ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
                        self.next_of_value(compared, &at, after)
                    };
                    first_of(beside_rows(compared, now), &row, pass)
                }
                ClockRead::Compared(compared) => self.first_of_values(compared, found),
                ClockRead::Alone { clock_expr, pace } => self.next_alone(clock_expr, pace, after),
                ClockRead::Query { reads_clock: false } => Next::Never,
                ClockRead::Query { reads_clock: true } | ClockRead::Anything => Next::Unknown,
            };
            next = next.or(of_tick);
        }
        match next {
            Next::At(at) => Some(Timestamp::from_micros(at)),
            Next::Never => None,
            Next::Unknown => Some(Timestamp::from_micros(after + 1)),
        }
    }

    fn first_of_values(&self, compared: &Compared, found: &Found) -> Next {
        let now = self.as_of();
        if matches!(compared.pace, Pace::Daily | Pace::Hourly) {
            return self.next_alone(&compared.clock_expr, &compared.pace, now.micros());
        }
        let values = beside(compared, now).and_then(|beside| found.values.get(&beside));
        let Some(values) = values else {
            return Next::Unknown;
        };
        values.iter().fold(Next::Never, |next, value| {
            next.or(self.next_of_value(compared, value, now.micros()))
        })
    }

    /// The times of rows of one person that it takes for [`Session::passes`]: a query for each.
    pub fn rows_of(&self, transitions: &Transitions, person: i64) -> Vec<String> {
        let mut queries = vec![transitions.arriving_of(person, self.as_of())];
        for clock_read in &transitions.clock_reads {
            let ClockRead::End { rows, end } = clock_read else {
                continue;
            };
            // What is further back than it ever goes again stays where it is.
            let slack = match &end.pace {
                Pace::Steady { slack, .. } => *slack,
                _ => 740 * DAY,
            };
            let least = end.bound.micros(self.as_of()).unwrap_or(i64::MIN);
            let least = literal(Timestamp::from_micros(least.saturating_sub(slack)));
            for (view, kind) in rows {
                let of_kind = of_kind(kind.as_deref());
                queries.push(format!(
                    "select distinct at from {view} where person_id = {person} and at >= \
                     {least}{of_kind}"
                ));
            }
        }
        queries
    }

    /// A query for lookups of one view or table, a column for each.
    pub fn lookup_query(&self, lookups: &[Lookup]) -> Option<String> {
        let mut columns = Vec::new();
        let (mut from, mut least) = (None, i64::MAX);
        for lookup in lookups {
            let time = |at: i64| literal(Timestamp::from_micros(at));
            let (relation, column) = match lookup {
                Lookup::First(view, kind, at) => {
                    least = least.min(*at);
                    let of_kind = of_kind(kind.as_deref());
                    let at = time(*at);
                    (
                        view,
                        format!("min(case when at > {at}{of_kind} then at end)"),
                    )
                }
                Lookup::Last(view, kind, at) => {
                    least = i64::MIN;
                    let of_kind = of_kind(kind.as_deref());
                    let at = time(*at);
                    (
                        view,
                        format!("max(case when at <= {at}{of_kind} then at end)"),
                    )
                }
                Lookup::Arrival(table, at) => {
                    let of_table = times_of(table);
                    let at = time(*at);
                    let least =
                        |column: &&str| format!("min(case when {column} > {at} then {column} end)");
                    let all: Vec<String> = of_table.iter().map(least).collect();
                    (table, format!("least({})", all.join(", ")))
                }
            };
            from = Some(relation);
            columns.push(column);
        }
        let from = from?;
        let late = match (least, lookups) {
            (_, [Lookup::Arrival(table, at)]) => {
                let at = literal(Timestamp::from_micros(*at));
                let any: Vec<String> = times_of(table)
                    .iter()
                    .map(|column| format!("{column} > {at}"))
                    .collect();
                format!(" where {}", any.join(" or "))
            }
            (i64::MIN, _) => " where person_id <> 0".to_owned(),
            (least, _) => {
                let least = literal(Timestamp::from_micros(least));
                format!(" where person_id <> 0 and at > {least}")
            }
        };
        Some(format!("select {} from {from}{late}", columns.join(", ")))
    }
}

/// A date or a time in microseconds.
fn as_time(value: &ScalarValue) -> Option<i64> {
    micros(&value.cast_to(&ColumnType::Time.arrow()).ok()?)
}

fn of_kind(kind: Option<&str>) -> String {
    match kind {
        Some(kind) => format!(" and type = '{}'", kind.replace('\'', "''")),
        None => String::new(),
    }
}

/// The times that rows of a table have.
fn times_of(table: &str) -> Vec<&'static str> {
    let def = tables::table(table);
    let times = def.into_iter().flat_map(|def| def.arrivals());
    times.map(|column| column.name).collect()
}

/// The earliest of what the rows that were looked for do next.
fn first_of(
    lookups: Option<Vec<Lookup>>,
    found: &dyn Fn(&Lookup) -> Option<Option<i64>>,
    next: impl Fn(i64) -> Next,
) -> Next {
    let Some(lookups) = lookups else {
        return Next::Unknown;
    };
    lookups.iter().fold(Next::Never, |first, lookup| {
        first.or(match found(lookup) {
            Some(Some(at)) => next(at),
            Some(None) => Next::Never,
            None => Next::Unknown,
        })
    })
}

/// The rows beside a bound: those that it passes next.
fn lookups_beside(rows: &[Rows], place: i64, pace: &Pace) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    for (view, kind) in rows {
        // What is at the bound is passed at once, or not at all.
        lookups.push(Lookup::First(view, kind.clone(), place.saturating_sub(1)));
        lookups.push(Lookup::First(view, kind.clone(), place));
        if pace.can_fall() {
            lookups.push(Lookup::Last(view, kind.clone(), place));
        }
    }
    lookups
}

/// Those beside an end of a window, as it is at a moment.
fn beside_end(rows: &[Rows], end: &End, moment: Timestamp) -> Option<Vec<Lookup>> {
    let place = end.bound.micros(moment)?;
    Some(lookups_beside(rows, place, &end.pace))
}

/// Those beside what their times are compared with.
fn beside_rows(compared: &Compared, moment: Timestamp) -> Option<Vec<Lookup>> {
    let rows = compared.rows.as_ref()?;
    let place = as_time(&compared.clock_expr.at(moment)?)?;
    let rows = std::slice::from_ref(rows);
    Some(lookups_beside(rows, place, &compared.pace))
}

/// A value and its bound as it is at a moment.
fn beside(compared: &Compared, moment: Timestamp) -> Option<Beside> {
    let bound = written(&compared.clock_expr.at(moment)?)?;
    Some(Beside {
        value: compared.value.clone(),
        bound: Condition::of_expr(bound),
    })
}

impl Transitions {
    /// What of the clock is in a query is not looked at further.
    fn note_query(&mut self, reads_clock: bool) {
        self.clock_reads.push(ClockRead::Query { reads_clock });
        self.facts = all_facts();
    }

    /// Whether a turn can be told ahead at all.
    pub fn is_known(&self) -> bool {
        self.clock_reads.iter().all(|clock_read| match clock_read {
            ClockRead::End { end, .. } => end.pace != Pace::Unknown,
            ClockRead::Compared(compared) => compared.pace != Pace::Unknown,
            ClockRead::Alone { pace, .. } => !matches!(pace, Pace::Unknown | Pace::Steady { .. }),
            ClockRead::Query { .. } | ClockRead::Anything => false,
        })
    }

    /// The values of a person that are compared with the clock: expressions on `people`.
    pub fn values(&self) -> Vec<Condition> {
        let compared = self.compared();
        compared.map(|compared| compared.value.clone()).collect()
    }

    fn compared(&self) -> impl Iterator<Item = &Compared> {
        self.clock_reads
            .iter()
            .filter_map(|clock_read| match clock_read {
                ClockRead::Compared(compared) => Some(compared.as_ref()),
                _ => None,
            })
    }

    fn arrivals(&self, after: i64) -> Vec<Lookup> {
        let of = |(table, kind): &Fact| match *table {
            "activities" => Some(Lookup::First(ACTIVITIES, kind.clone(), after)),
            table if times_of(table).is_empty() => None,
            table => Some(Lookup::Arrival(table, after)),
        };
        self.facts.iter().filter_map(of).collect()
    }

    /// The moments of rows that [`Session::first_change`] needs.
    pub fn lookups(&self, as_of: Timestamp) -> BTreeSet<Lookup> {
        let mut lookups = BTreeSet::from_iter(self.arrivals(as_of.micros()));
        for clock_read in &self.clock_reads {
            let of_tick = match clock_read {
                ClockRead::End { rows, end } => beside_end(rows, end, as_of),
                ClockRead::Compared(compared) => beside_rows(compared, as_of),
                _ => None,
            };
            lookups.extend(of_tick.into_iter().flatten());
        }
        lookups
    }

    /// The values on `people` that [`Session::first_change`] needs.
    pub fn beside(&self, as_of: Timestamp) -> BTreeSet<Beside> {
        let compared = self.compared().filter(|compared| {
            compared.rows.is_none() && matches!(compared.pace, Pace::Steady { .. })
        });
        compared
            .filter_map(|compared| beside(compared, as_of))
            .collect()
    }

    /// The moments after `after` at which rows of a person come to pass: a query for `at`.
    fn arriving_of(&self, person: i64, after: Timestamp) -> String {
        let after = literal(after);
        let part = |from: &str, column: &str| {
            format!(
                "select {column} as at from {from} where person_id = {person} and {column} > \
                 {after}"
            )
        };
        let mut parts = Vec::new();
        for (table, kind) in &self.facts {
            let of_kind = of_kind(kind.as_deref());
            for column in times_of(table) {
                parts.push(format!("{}{of_kind}", part(table, column)));
            }
            // They count for the person of the order, whatever person they name.
            match *table {
                "refunds" => parts.push(part("_fact_orders_refunded", "refunded_at")),
                "order_lines" => parts.push(part("_fact_order_lines", "placed_at")),
                _ => {}
            }
        }
        match parts.is_empty() {
            true => "select cast(null as timestamp with time zone) as at where false".to_owned(),
            false => parts.join(" union "),
        }
    }
}
