//! Who may be concerned by nothing but the passing of time.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_model::Timestamp;
use rollbook_model::tables::TABLES;

use crate::criteria::analysis::clock_reads;
use crate::criteria::behaviour::{ACTIVITIES, TimeDependency, literal};
use crate::criteria::condition::Condition;
use crate::error::EngineError;
use crate::session::Session;
use crate::session::rows::Rows;

/// Views whose rows belong to the persons of others' rows, whatever person they name, with their
/// table and when they happen.
const BY_PARENT: [(&str, &str, &str); 2] = [
    ("_fact_orders_refunded", "refunds", "refunded_at"),
    ("_fact_order_lines", "order_lines", "placed_at"),
];

/// A question for persons. What it gives may hold some for whom nothing changes, never too few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AffectedQuery {
    /// A query for `person_id`.
    Query(String),
    /// A condition on `people`.
    Condition(Condition),
}

impl Session {
    /// For whom the clock alone may change what a condition comes to, from `since` to this
    /// session's moment.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
    pub fn time_dependency(
        &self,
        condition: &Condition,
        since: Timestamp,
    ) -> Result<TimeDependency, EngineError> {
        let clock_reads = clock_reads(self.state(), condition, self.eval_context())?;
        Ok(TimeDependency::between(&clock_reads, since, self.as_of()))
    }

    /// The questions whose answers are all persons that have rows of a moment after `since`, up to
    /// this session's, but for activities, which have a copy in order of time.
    pub fn arriving(&self, since: Timestamp) -> Vec<AffectedQuery> {
        let (from, until) = (literal(since), literal(self.as_of()));
        let passes = |column: &str| format!("({column} > {from} and {column} <= {until})");
        let of = |rows: &str, conditions: String| {
            AffectedQuery::Query(format!(
                "select person_id from {rows} where person_id <> 0 and ({conditions})"
            ))
        };
        let mut due = Vec::new();
        let tables = TABLES.iter().filter(|def| def.name != "activities");
        for def in tables.filter(|def| def.is_personal_fact()) {
            let is_over = |name: &str| def.time == Some(name) && self.ends_by(def.name, since);
            let times = def.arrivals().filter(|column| !is_over(column.name));
            let conditions: Vec<_> = times.map(|column| passes(column.name)).collect();
            if !conditions.is_empty() {
                due.push(of(def.name, conditions.join(" or ")));
            }
        }
        let by_parent = BY_PARENT.into_iter();
        let by_parent = by_parent.filter(|(_, table, _)| !self.ends_by(table, since));
        due.extend(by_parent.map(|(view, _, time)| of(view, passes(time))));
        due
    }

    /// The questions whose answers are all persons for whom windows and comparisons with the clock
    /// may come to something else, but for [`TimeDependency::activities`].
    pub fn affected_queries(&self, clock: &TimeDependency) -> Vec<AffectedQuery> {
        let queries = clock.queries().into_iter().map(AffectedQuery::Query);
        let conditions = clock.conditions().into_iter().map(AffectedQuery::Condition);
        queries.chain(conditions).collect()
    }

    /// The persons who have activities from the first moment on and before the second, in
    /// microseconds, whether they are yet to come or not; `None` where that is not kept in memory.
    pub async fn cached_persons_between(&self, span: [i64; 2]) -> Option<RoaringTreemap> {
        let cache = self.cache()?;
        cache.persons_in_spans(ACTIVITIES, None, &[span]).await
    }

    /// The persons for whom windows may come to something else, as far as the rows that these are
    /// over are kept in memory, and what is left to ask for.
    pub async fn cached_affected_persons(
        &self,
        mut clock: TimeDependency,
    ) -> (RoaringTreemap, TimeDependency) {
        let mut persons = RoaringTreemap::new();
        let Some(cache) = self.cache() else {
            return (persons, clock);
        };
        for rows in clock.rows() {
            let mut rest = clock.clone();
            let (view, kind) = &rows;
            let spans = rest.without(&rows);
            if let Some(found) = cache.persons_in_spans(view, kind.as_deref(), &spans).await {
                persons |= found;
                clock = rest;
            }
        }
        (persons, clock)
    }

    /// The persons that a question gives, in a column `person_id`, some perhaps more than once.
    ///
    /// # Errors
    /// As [`Session::stream`].
    pub async fn affected_persons(&self, due: &AffectedQuery) -> Result<Rows, EngineError> {
        match due {
            AffectedQuery::Query(sql) => self.stream(sql).await,
            AffectedQuery::Condition(condition) => {
                self.people_where_with(condition, BTreeMap::new()).await
            }
        }
    }
}
