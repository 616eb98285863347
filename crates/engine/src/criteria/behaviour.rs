//! Behaviour functions in criteria: `did`, `times`, `spent` and their like.
//!
//! Before planning each call gives way to a column of a relation that is joined to `people`: one
//! relation for each fact, grouped by person, with one aggregate for each different question. So
//! a fact is read once, however many calls ask about it, and equal questions are one.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, Ident, ObjectNamePart, Query, Value, VisitorMut,
};
use rollbook_model::Timestamp;

use crate::error::{EngineError, Position};
use crate::operators::counting::Counted;
use crate::rewriting::walk::walk_mut;

mod aggregate_kind;
mod call;
mod clock_expr;
mod clock_reads;
mod fact;
mod moments;
mod pace;
mod parts;
mod question;
mod time_dependency;

use crate::sql::behaviour_names::BEHAVIOURS;
pub(crate) use aggregate_kind::{AggregateKind, KEPT, WindowAggregate};
pub(crate) use call::Call;
pub(crate) use clock_expr::{ClockExpr, micros, written};
pub(crate) use clock_reads::{ACTIVITIES, ClockRead, ClockReads, Compared, End, Rows};
pub(crate) use fact::literal;
pub(crate) use moments::resolve_times;
pub(crate) use pace::{DAY, HOUR, Pace};
pub(crate) use parts::reads_clock;
use question::{Answer, Question};
pub(crate) use question::{evidence, relations_of};
pub use time_dependency::TimeDependency;

/// The column of the person in a relation that is joined: no condition can mean it by accident.
pub(crate) const PERSON: &str = "_person";
/// The name of the relation of what is counted of activities.
const COUNTED: &str = "_counted";

/// From where behaviour is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EvaluationContext {
    pub(crate) as_of: Timestamp,
    pub(crate) zone: chrono_tz::Tz,
}

/// A text in a call that is SQL on the columns of a fact.
#[derive(Debug, Clone)]
pub(crate) struct Where {
    pub(crate) function: String,
    pub(crate) relation: &'static str,
    pub(crate) text: String,
    pub(crate) position: Option<Position>,
}

/// What the calls in one or several conditions ask.
#[derive(Debug)]
pub(crate) struct Behaviours {
    eval_context: EvaluationContext,
    /// What is counted of activities, by type and time alone.
    counted: Vec<Counted>,
    /// Relations over facts, each with its aggregates.
    relations: Vec<(&'static str, Vec<Aggregate>)>,
    /// Pairs of types in sequence, each a relation of its own.
    sequences: Vec<String>,
    /// Segments that are named.
    segments: Vec<String>,
    /// Texts that are to be looked at before anything is planned.
    pub(crate) texts: Vec<Where>,
    /// Whether the columns that calls give way to are those of one table, not of relations.
    is_flat: bool,
}

/// An aggregate over the rows of a relation.
#[derive(Debug, PartialEq, Eq)]
struct Aggregate {
    sql: String,
    /// The same, where nothing but persons and times have to be looked at.
    figured: Option<WindowAggregate>,
}

/// Where a column comes from that calls give way to.
pub(crate) enum Source<'a> {
    /// It is counted of activities.
    Activities(&'a Counted),
    /// It is figured from the rows of a relation.
    Rows(&'static str, WindowAggregate),
    /// A query gives it, after the person.
    Query(String),
    /// A table has the persons for whom it is there.
    Members(&'a str),
}

impl Behaviours {
    pub(crate) fn new(eval_context: EvaluationContext, is_flat: bool) -> Self {
        Self {
            eval_context,
            is_flat,
            counted: Vec::new(),
            relations: Vec::new(),
            sequences: Vec::new(),
            segments: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// Puts columns in the place of all calls in a condition.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a call has arguments that its function does not take, or is in
    /// a query within the condition.
    pub(crate) fn replace(&mut self, condition: &mut Expr) -> Result<(), EngineError> {
        let mut replacing = Replacing {
            behaviours: self,
            queries: 0,
        };
        match walk_mut(condition, &mut replacing) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The segments that are named, in the order of [`Behaviours::joins`].
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// What is counted of activities, each question once.
    pub(crate) fn counted(&self) -> &[Counted] {
        &self.counted
    }

    /// What is to be joined to `people`; `member_tables` holds a table for each segment, `counted`
    /// is the one of what is counted of activities.
    pub(crate) fn joins(&self, member_tables: &[String], counted: Option<&str>) -> String {
        let mut joins = String::new();
        let mut join = |relation: &str, name: &str| {
            let on = format!("on {name}.{PERSON} = people.person_id");
            joins += &format!(" left join ({relation}) as {name} {on}");
        };
        if let Some(counted) = counted {
            join(&format!("select * from {counted}"), COUNTED);
        }
        for (fact, aggregates) in &self.relations {
            let columns: Vec<_> = (0..)
                .zip(aggregates)
                .map(|(at, aggregate)| format!("{} as {}", aggregate.sql, column(at)))
                .collect();
            let columns = columns.join(", ");
            let relation = format!(
                "select person_id as {PERSON}, {columns} from {fact} where person_id <> 0 \
                 group by person_id"
            );
            join(&relation, &relation_name(fact));
        }
        for (at, sequence) in (0..).zip(&self.sequences) {
            join(sequence, &sequence_name(at));
        }
        for (at, table) in (0..).zip(member_tables) {
            let relation = format!("select person_id as {PERSON} from {table}");
            join(&relation, &members_name(at));
        }
        joins
    }

    /// The columns of one table that calls give way to, where that is wanted; `member_tables` is as
    /// for [`Behaviours::joins`].
    pub(crate) fn sources<'a>(&'a self, member_tables: &'a [String]) -> Vec<(String, Source<'a>)> {
        let mut sources = Vec::new();
        for (at, counted) in (0..).zip(&self.counted) {
            let source = Source::Activities(counted);
            sources.push((flat(COUNTED, &column(at)), source));
        }
        for (fact, aggregates) in &self.relations {
            for (at, aggregate) in (0..).zip(aggregates) {
                let source = match aggregate.figured {
                    Some(figured) => Source::Rows(fact, figured),
                    None => Source::Query(format!(
                        "select person_id, {} from {fact} where person_id <> 0 group by person_id",
                        aggregate.sql
                    )),
                };
                sources.push((flat(&relation_name(fact), &column(at)), source));
            }
        }
        for (at, sequence) in (0..).zip(&self.sequences) {
            let sql = format!("select {PERSON}, true from ({sequence})");
            sources.push((flat(&sequence_name(at), PERSON), Source::Query(sql)));
        }
        for (at, table) in (0..).zip(member_tables) {
            sources.push((flat(&members_name(at), PERSON), Source::Members(table)));
        }
        sources
    }

    fn column_of(&self, relation: &str, column: &str) -> Expr {
        match self.is_flat {
            true => Expr::Identifier(Ident::new(flat(relation, column))),
            false => Expr::CompoundIdentifier(vec![Ident::new(relation), Ident::new(column)]),
        }
    }

    /// The expression that takes the place of a call.
    fn answer(&mut self, call: &Call) -> Result<Expr, EngineError> {
        Ok(match Question::of(call, &self.eval_context)? {
            Question::Segment(key) => {
                let at = place(&mut self.segments, key);
                Expr::IsNotNull(Box::new(self.column_of(&members_name(at), PERSON)))
            }
            Question::Sequence { relation, texts } => {
                self.texts.extend(texts);
                let at = place(&mut self.sequences, relation);
                Expr::IsNotNull(Box::new(self.column_of(&sequence_name(at), PERSON)))
            }
            Question::Counted(counted, answer) => {
                let at = place(&mut self.counted, counted);
                answered(self.column_of(COUNTED, &column(at)), answer)
            }
            Question::Aggregate {
                relation,
                aggregate,
                figured,
                answer,
                text,
            } => {
                self.texts.extend(text);
                let known = self
                    .relations
                    .iter()
                    .position(|(name, _)| *name == relation);
                let fact = known.unwrap_or_else(|| {
                    self.relations.push((relation, Vec::new()));
                    self.relations.len() - 1
                });
                let aggregate = Aggregate {
                    sql: aggregate,
                    figured,
                };
                let at = place(&mut self.relations[fact].1, aggregate);
                answered(
                    self.column_of(&relation_name(relation), &column(at)),
                    answer,
                )
            }
        })
    }
}

/// Where `one` stands among `all`, at their end where it is new.
fn place<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter()
        .position(|known| *known == one)
        .unwrap_or_else(|| {
            all.push(one);
            all.len() - 1
        })
}

fn column(at: usize) -> String {
    format!("_c{at}")
}

fn relation_name(fact: &str) -> String {
    format!("_of{fact}")
}

fn sequence_name(at: usize) -> String {
    format!("_sequence{at}")
}

fn members_name(at: usize) -> String {
    format!("_segment{at}")
}

fn flat(relation: &str, column: &str) -> String {
    format!("{relation}{column}")
}

/// What a call comes to, from its aggregate: null there is a person without any such fact.
fn answered(aggregate: Expr, answer: Answer) -> Expr {
    use BinaryOperator::{And, GtEq, LtEq};
    let number = |n: u64| Expr::value(Value::Number(n.to_string(), false));
    let or_zero = |column: Expr| Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: Expr::IsNull(Box::new(column.clone())),
            result: number(0),
        }],
        else_result: Some(Box::new(column)),
    };
    let compared = |left: Expr, op, right: u64| Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(number(right)),
    };
    let nested = |expr| Expr::Nested(Box::new(expr));
    match answer {
        Answer::Value => aggregate,
        Answer::OrZero => or_zero(aggregate),
        Answer::Between(least, None) => nested(compared(or_zero(aggregate), GtEq, least)),
        Answer::Between(least, Some(most)) => nested(Expr::BinaryOp {
            left: Box::new(compared(or_zero(aggregate.clone()), GtEq, least)),
            op: And,
            right: Box::new(compared(or_zero(aggregate), LtEq, most)),
        }),
    }
}

/// A walk over a condition that replaces calls.
struct Replacing<'a> {
    behaviours: &'a mut Behaviours,
    /// Queries within the condition around the present place.
    queries: usize,
}

impl VisitorMut for Replacing<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<EngineError> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<EngineError> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(name) = behaviour(function) else {
            return ControlFlow::Continue(());
        };
        let call = match Call::of(name, function) {
            Ok(call) if self.queries == 0 => call,
            Ok(call) => {
                let message = "it cannot stand in a query within the criteria";
                return ControlFlow::Break(call.refused(message));
            }
            Err(error) => return ControlFlow::Break(error),
        };
        match self.behaviours.answer(&call) {
            Ok(answer) => {
                *expr = answer;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The behaviour function that a call names.
pub(crate) fn behaviour(function: &Function) -> Option<&'static str> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
        return None;
    };
    BEHAVIOURS
        .into_iter()
        .find(|known| name.value.eq_ignore_ascii_case(known))
}
