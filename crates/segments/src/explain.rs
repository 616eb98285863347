//! Explaining why a person is in a segment or not.
//!
//! Every clause is evaluated by the same code as for a refresh, over a session with this person's rows
//! alone, so an explanation cannot contradict the membership. A clause with a subquery reads other persons
//! too, and is evaluated over all.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use roaring::RoaringTreemap;
use rollbook_engine::{Clause, Condition, EngineError, Next, Session, Transitions};
use rollbook_lake::State;
use rollbook_model::{ColumnType, SegmentKey, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::values::{distance, object, text};
use crate::{Criteria, Definition, Evaluation, SegmentError, Sessions};

/// Rows shown of each kind that a clause reads.
const FACTS_SHOWN: usize = 5;

/// Moments tried at most to find when time alone changes the result.
const TURNS_TRIED: usize = 400;

/// How far into the future rows of a person are read, in microseconds.
const AHEAD: i64 = 3_660 * 86_400_000_000;

/// The result of one clause for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `all`, `any`, `not`, or `clause` for one without parts.
    pub kind: &'static str,
    /// The clause in SQL.
    pub text: String,
    /// Whether the person meets it; null where the clause is null, which counts as not met.
    pub is_met: Option<bool>,
    /// The value that it compares, for this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The bound that the value is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// The distance between the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
    /// The newest of the rows that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Value>,
    /// The clauses that it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

/// The explanation for one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The person.
    pub person_id: u64,
    /// Whether they belong.
    pub is_member: bool,
    /// The clauses.
    pub why: Line,
    /// When they will leave, or enter, if nothing happens but that time passes.
    pub turns_at: Option<Timestamp>,
    /// What happens then, or why it is not known, in words.
    pub turns: &'static str,
}

impl Explained {
    /// The explanation for a static segment.
    pub fn of_list(person: u64, is_member: bool) -> Self {
        Self {
            person_id: person,
            is_member,
            why: Line::plain("list", "a list of persons".to_owned(), is_member),
            turns_at: None,
            turns: "a static list never changes by itself",
        }
    }
}

impl Line {
    /// A line of nothing but text.
    fn plain(kind: &'static str, text: String, is_met: bool) -> Self {
        Self {
            kind,
            text,
            is_met: Some(is_met),
            value: None,
            bound: None,
            distance: None,
            facts: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// What to explain.
#[derive(Debug)]
pub struct ExplainRequest<'a> {
    /// The data.
    pub state: &'a State,
    /// The moment.
    pub as_of: Timestamp,
    /// The segments that may be named.
    pub definitions: &'a [Definition],
    /// The members of those that are lists.
    pub fixed: &'a BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// The person.
    pub person: u64,
}

/// Explains why a person meets criteria or not.
///
/// # Errors
/// [`SegmentError::Criteria`] where the criteria cannot be evaluated; [`SegmentError::Named`],
/// [`SegmentError::UnknownName`] and [`SegmentError::Circle`] where a segment that they name has no members;
/// [`SegmentError::Session`] where the data cannot be opened.
pub async fn explain(
    sessions: &dyn Sessions,
    criteria: &Criteria,
    request: &ExplainRequest<'_>,
) -> Result<Explained, SegmentError> {
    let Criteria::Expression(condition) = criteria else {
        return of_query(sessions, criteria, request).await;
    };
    let session = request.open(sessions, request.as_of).await?;
    let mut evaluation = request.evaluation(&session);
    let tree = Clause::of(condition);
    let is_of_one = evaluation.is_of_one_person(condition)?;
    let mut why = request.line(&session, &mut evaluation, &tree).await?;
    if !is_of_one {
        let all = sessions.open(request.state, request.as_of, None).await?;
        let mut conditions = Vec::new();
        conditions_of(&tree, &mut conditions);
        let met = evaluation.over(&all).each_of(&conditions).await?;
        let mut met = met.iter().map(|members| members.contains(request.person));
        correct(&mut why, &mut met);
    }
    let is_member = why.is_met == Some(true);
    let (turns_at, turns) = match is_of_one {
        false => (None, "it depends on other persons too"),
        true => {
            request
                .turn(sessions, &mut evaluation, condition, is_member)
                .await?
        }
    };
    Ok(Explained {
        person_id: request.person,
        is_member,
        why,
        turns_at,
        turns,
    })
}

/// The explanation of a query, which has no clauses.
async fn of_query(
    sessions: &dyn Sessions,
    criteria: &Criteria,
    request: &ExplainRequest<'_>,
) -> Result<Explained, SegmentError> {
    let all = sessions.open(request.state, request.as_of, None).await?;
    let members = request.evaluation(&all).of(criteria).await?;
    let is_member = members.contains(request.person);
    Ok(Explained {
        person_id: request.person,
        is_member,
        why: Line::plain("query", criteria.text().to_owned(), is_member),
        turns_at: None,
        turns: "it depends on other persons too",
    })
}

/// The parts of a clause that are no atoms.
fn parts_of(clause: &Clause) -> &[Clause] {
    match clause {
        Clause::All(parts) | Clause::Any(parts) => parts,
        Clause::Not(part) => std::slice::from_ref(part),
        Clause::Atom(_) => &[],
    }
}

/// The condition of a clause, then those of its parts.
fn conditions_of(clause: &Clause, conditions: &mut Vec<Condition>) {
    conditions.push(clause.condition());
    for part in parts_of(clause) {
        conditions_of(part, conditions);
    }
}

/// Sets whether each line is met from an evaluation over all persons, in the order of [`conditions_of`].
fn correct(line: &mut Line, met: &mut impl Iterator<Item = bool>) {
    line.is_met = met.next();
    for part in &mut line.parts {
        correct(part, met);
    }
}

impl ExplainRequest<'_> {
    async fn open(
        &self,
        sessions: &dyn Sessions,
        as_of: Timestamp,
    ) -> Result<Session, SegmentError> {
        let person = Arc::new(RoaringTreemap::from_iter([self.person]));
        sessions.open(self.state, as_of, Some(person)).await
    }

    fn evaluation<'a>(&self, session: &'a Session) -> Evaluation<'a> {
        Evaluation::new(session, self.definitions).with_fixed(self.fixed)
    }

    /// The results of a clause and all of its parts.
    async fn line(
        &self,
        session: &Session,
        evaluation: &mut Evaluation<'_>,
        tree: &Clause,
    ) -> Result<Line, SegmentError> {
        let mut asked = Vec::new();
        expressions(session, tree, &mut asked)?;
        let mut values = Vec::new();
        for expression in asked {
            values.push(value(evaluation, expression).await?);
        }
        let mut values = values.into_iter();
        let mut line = line_of(session, tree, &mut values);
        self.add_facts(session, tree, &mut line).await?;
        Ok(line)
    }

    async fn add_facts(
        &self,
        session: &Session,
        clause: &Clause,
        line: &mut Line,
    ) -> Result<(), SegmentError> {
        if let Clause::Atom(atom) = clause {
            let person = self.person.cast_signed();
            for sql in session.evidence(&atom.condition, person, FACTS_SHOWN)? {
                let rows = session.query(&sql).await?;
                for batch in &rows.batches {
                    line.facts
                        .extend((0..batch.num_rows()).map(|row| object(batch, row)));
                }
            }
        }
        for (clause, part) in parts_of(clause).iter().zip(&mut line.parts) {
            Box::pin(self.add_facts(session, clause, part)).await?;
        }
        Ok(())
    }

    /// When time alone changes the result of the condition.
    async fn turn(
        &self,
        sessions: &dyn Sessions,
        evaluation: &mut Evaluation<'_>,
        condition: &Condition,
        is_member: bool,
    ) -> Result<(Option<Timestamp>, &'static str), SegmentError> {
        let session = evaluation.session();
        let unknown = (
            None,
            "it uses the current time in a way that cannot be predicted",
        );
        let Some(mut conditions) = evaluation.conditions_named(condition)? else {
            return Ok(unknown);
        };
        conditions.push(condition.clone());
        let transitions = session.transitions(&conditions, &[])?;
        if !transitions.is_known() {
            return Ok(unknown);
        }
        let ahead = Timestamp::from_micros(self.as_of.micros().saturating_add(AHEAD));
        let later = self.open(sessions, ahead).await?;
        let mut rows = Vec::new();
        for query in session.rows_of(&transitions, self.person.cast_signed()) {
            rows.push(moments(&later, &query).await?);
        }
        let Some(passes) = session.passes(&transitions, &rows) else {
            return Ok(unknown);
        };
        let criteria = Criteria::Expression(condition.clone());
        let mut at = self.as_of;
        let mut values = compared(evaluation, &transitions).await?;
        for _ in 0..TURNS_TRIED {
            at = match session.next_turn(&transitions, &passes, &values, at) {
                Next::Never => return Ok((None, "time alone changes nothing")),
                Next::Unknown => return Ok(unknown),
                Next::At(at) => Timestamp::from_micros(at),
            };
            let then = self.open(sessions, at).await?;
            let mut evaluation = evaluation.over(&then);
            let members = evaluation.of(&criteria).await?;
            if members.contains(self.person) != is_member {
                return Ok((Some(at), if is_member { "leaves" } else { "enters" }));
            }
            // Rows whose time has come, or that left a window, may have changed them.
            values = compared(&mut evaluation, &transitions).await?;
        }
        Ok((None, "not at the next 400 moments at which it could change"))
    }
}

/// The value of an expression for the person whose rows the session has; `None` where it is null or has
/// a subquery.
async fn value(
    evaluation: &mut Evaluation<'_>,
    expression: Option<Condition>,
) -> Result<Option<String>, SegmentError> {
    let Some(expression) = expression else {
        return Ok(None);
    };
    let mut rows = evaluation.values(vec![expression]).await?;
    let found = rows.next_batch().await?;
    Ok(found.and_then(|batch| text(batch.column(1), 0)))
}

/// The values of the person whose rows the session has that are compared with the current time.
async fn compared(
    evaluation: &mut Evaluation<'_>,
    transitions: &Transitions,
) -> Result<Vec<ScalarValue>, SegmentError> {
    let expressions = transitions.values();
    let count = expressions.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut rows = evaluation.values(expressions).await?;
    let Some(batch) = rows.next_batch().await? else {
        return Ok(vec![ScalarValue::Null; count]);
    };
    let values = batch.columns().iter().skip(1);
    let values = values.map(|column| ScalarValue::try_from_array(column, 0));
    let values = values.collect::<Result<_, _>>();
    values.map_err(|source| {
        EngineError::Setup {
            source: Box::new(source),
        }
        .into()
    })
}

/// The times that a query returns, in microseconds since 1970.
async fn moments(session: &Session, query: &str) -> Result<Vec<i64>, SegmentError> {
    let mut rows = session.stream(query).await?;
    let mut moments = Vec::new();
    while let Some(batch) = rows.next_batch().await? {
        let times = cast(batch.column(0), &ColumnType::Time.arrow());
        let times = times.map_err(|source| EngineError::Setup {
            source: Box::new(source.into()),
        })?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        moments.extend(times.iter().flatten());
    }
    Ok(moments)
}

/// The expressions to evaluate for each clause: the clause, its value and its bound; `None` for those that
/// it does not have.
fn expressions(
    session: &Session,
    clause: &Clause,
    asked: &mut Vec<Option<Condition>>,
) -> Result<(), SegmentError> {
    let without_query = |one: Condition| {
        let needs = session.needs(&one)?;
        Ok::<_, SegmentError>(Some(one).filter(|_| needs.is_shareable))
    };
    asked.push(without_query(clause.condition())?);
    match clause {
        Clause::All(parts) | Clause::Any(parts) => {
            for part in parts {
                expressions(session, part, asked)?;
            }
        }
        Clause::Not(part) => expressions(session, part, asked)?,
        Clause::Atom(atom) => {
            let bound = atom.bound.as_ref().map(|(_, bound)| bound);
            for one in [atom.value.as_ref(), bound] {
                asked.push(one.cloned().map(without_query).transpose()?.flatten());
            }
        }
    }
    Ok(())
}

fn line_of(
    session: &Session,
    clause: &Clause,
    values: &mut impl Iterator<Item = Option<String>>,
) -> Line {
    let is_met = values.next().flatten().map(|met| met == "true");
    let (kind, parts, value, bound) = match clause {
        Clause::All(parts) | Clause::Any(parts) => {
            let kind = if matches!(clause, Clause::All(_)) {
                "all"
            } else {
                "any"
            };
            let parts = parts.iter();
            let parts = parts.map(|part| line_of(session, part, values)).collect();
            (kind, parts, None, None)
        }
        Clause::Not(part) => ("not", vec![line_of(session, part, values)], None, None),
        Clause::Atom(_) => {
            let (value, bound) = (values.next().flatten(), values.next().flatten());
            ("clause", Vec::new(), value, bound)
        }
    };
    let apart = value.as_deref().zip(bound.as_deref());
    Line {
        kind,
        text: clause.text(),
        is_met,
        distance: apart.and_then(|(value, bound)| distance(value, &session.in_utc(bound))),
        value,
        bound,
        facts: Vec::new(),
        parts,
    }
}
