//! Evaluating criteria, those of several segments together.
//!
//! Segments that a condition names in `in_segment` are evaluated before it, from their definitions
//! and for the same moment, whatever membership they were last refreshed to. Conditions that wait
//! for no other are answered in one pass; a `select` runs by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use roaring::RoaringTreemap;
use rollbook_engine::{Clause, Condition, Rows, Session};
use rollbook_model::{SegmentKey, Timestamp};

use crate::criteria::Criteria;
use crate::definition::Definition;
use crate::error::SegmentError;

mod batch_ids;
mod named_criteria;
mod named_segments;
mod queries;
mod unique_clauses;

use named_criteria::NamedCriteria;
use named_segments::circle;

/// Criteria over one session, and the segments that they may name.
#[derive(Debug)]
pub struct Evaluation<'a> {
    session: &'a Session,
    /// The criteria of every segment.
    criteria: BTreeMap<SegmentKey, Arc<NamedCriteria>>,
    /// The revision of each one's criteria.
    revisions: BTreeMap<SegmentKey, u64>,
    /// The static ones.
    fixed: BTreeSet<SegmentKey>,
    /// Members that were evaluated or given.
    known: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// Errors of segments that failed, as text, and whether a personal column is the reason.
    failed: BTreeMap<SegmentKey, (String, bool)>,
}

/// One segment's members, or why there are none.
pub type Members = Result<Arc<RoaringTreemap>, SegmentError>;

type MemberTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// What a condition needs before it is evaluated.
#[derive(Debug, Clone, Default)]
struct Needed {
    /// The segments that it names.
    named: Vec<SegmentKey>,
    /// Whether it can be answered together with others.
    is_shareable: bool,
}

/// A segment that waits for the segments that it names.
#[derive(Debug)]
struct Waiting {
    key: SegmentKey,
    criteria: Criteria,
    needed: Needed,
}

impl<'a> Evaluation<'a> {
    /// An evaluation that can name the segments of `definitions`.
    pub fn new(session: &'a Session, definitions: &[Definition]) -> Self {
        let criteria = definitions.iter().map(|one| {
            let named = NamedCriteria::of_text(one.criteria.clone());
            (one.key.clone(), Arc::new(named))
        });
        let revisions = definitions.iter();
        let revisions = revisions.map(|one| (one.key.clone(), one.criteria_revision));
        Self {
            session,
            criteria: criteria.collect(),
            revisions: revisions.collect(),
            fixed: BTreeSet::new(),
            known: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// The same segments over another session; of their members only those of static ones are known.
    pub fn over<'b>(&self, session: &'b Session) -> Evaluation<'b> {
        let known = self.known.iter();
        let known = known.filter(|(key, _)| self.fixed.contains(*key));
        let known = known.map(|(key, members)| (key.clone(), Arc::clone(members)));
        Evaluation {
            session,
            criteria: self.criteria.clone(),
            revisions: self.revisions.clone(),
            fixed: self.fixed.clone(),
            known: known.collect(),
            failed: BTreeMap::new(),
        }
    }

    /// The session that criteria are evaluated over.
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// The moment that criteria are evaluated for.
    pub fn as_of(&self) -> Timestamp {
        self.session.as_of()
    }

    /// With other criteria for a segment, or with a new one.
    pub fn with(mut self, key: &SegmentKey, criteria: Criteria) -> Self {
        let criteria = Arc::new(NamedCriteria::of(criteria));
        self.criteria.insert(key.clone(), criteria);
        // Its members before, and whether it was static, no longer count.
        self.known.remove(key);
        self.fixed.remove(key);
        self
    }

    /// With the members of static segments.
    pub fn with_fixed(mut self, fixed: &BTreeMap<SegmentKey, Arc<RoaringTreemap>>) -> Self {
        self.fixed.extend(fixed.keys().cloned());
        let fixed = fixed.iter();
        self.known
            .extend(fixed.map(|(key, members)| (key.clone(), Arc::clone(members))));
        self
    }

    /// Sets the members of a segment.
    pub fn know(&mut self, key: &SegmentKey, members: &Arc<RoaringTreemap>) {
        self.known.insert(key.clone(), Arc::clone(members));
    }

    /// The persons who meet criteria that belong to no segment.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`], with the position in the text, where they cannot be evaluated;
    /// [`SegmentError::Named`], [`SegmentError::UnknownName`] and [`SegmentError::Circle`] where a segment
    /// that they name has no members.
    pub async fn of(&mut self, criteria: &Criteria) -> Result<RoaringTreemap, SegmentError> {
        match criteria {
            Criteria::Select(query) => self.selected(query).await,
            Criteria::Expression(condition) => {
                let needed = self.needs(condition)?;
                self.know_all(&needed.named).await?;
                self.alone(condition, &needed).await
            }
        }
    }

    /// The persons who meet a condition whose clauses could not be evaluated one by one, for the reason
    /// `failed`. The whole is planned otherwise: it may take less memory, and compute less where a clause
    /// excludes a person. Nothing is evaluated where it cannot be planned.
    ///
    /// # Errors
    /// As [`Evaluation::of`]; `failed` where time ran out or data could not be read.
    pub async fn of_whole(
        &mut self,
        condition: &Condition,
        failed: SegmentError,
    ) -> Result<RoaringTreemap, SegmentError> {
        if let SegmentError::Criteria(error) = &failed
            && !queries::may_succeed_as_whole(error)
        {
            return Err(failed);
        }
        let needed = self.needs(condition)?;
        self.know_all(&needed.named).await?;
        self.whole(condition, &needed.named).await
    }

    /// The values of expressions on `people` for every person: `person_id`, then a column for each
    /// expression. None may have a subquery.
    ///
    /// # Errors
    /// As [`Evaluation::of`].
    pub async fn values(&mut self, expressions: Vec<Condition>) -> Result<Rows, SegmentError> {
        let needed = expressions.iter().map(|one| self.needs(one));
        let needed: Vec<Needed> = needed.collect::<Result<_, _>>()?;
        let named = all_named(&needed);
        self.know_all(&named).await?;
        let tables = self.tables(&named)?;
        Ok(self.session.people_values(expressions, tables).await?)
    }

    /// The persons who meet each of some conditions. Conditions without a subquery are evaluated in one pass.
    ///
    /// # Errors
    /// As [`Evaluation::of`].
    pub async fn each_of(
        &mut self,
        conditions: &[Condition],
    ) -> Result<Vec<RoaringTreemap>, SegmentError> {
        let (mut together, mut needed_by, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = vec![RoaringTreemap::new(); conditions.len()];
        for (at, condition) in conditions.iter().enumerate() {
            let needed = self.needs(condition)?;
            if needed.is_shareable {
                together.push(Clause::of(condition));
                needed_by.push(needed);
                places.push(at);
            } else {
                self.know_all(&needed.named).await?;
                all[at] = self.alone(condition, &needed).await?;
            }
        }
        let named = all_named(&needed_by);
        self.know_all(&named).await?;
        for part in queries::parts(&together) {
            let found = self.matching(&together[part.clone()], &named).await?;
            for (members, at) in found.into_iter().zip(&places[part]) {
                all[*at] = members;
            }
        }
        Ok(all)
    }

    /// Evaluates segments that a condition names.
    async fn know_all(&mut self, named: &[SegmentKey]) -> Result<(), SegmentError> {
        self.settle(named).await;
        self.check_named(named)
    }

    /// The members of segments, in the order of `keys`. A failing segment affects only those that name it.
    pub async fn segments(&mut self, keys: &[SegmentKey]) -> Vec<Members> {
        let mut errors = self.settle(keys).await;
        let mut all = Vec::new();
        for key in keys {
            all.push(match (self.known.get(key), errors.remove(key)) {
                (Some(members), _) => Ok(Arc::clone(members)),
                (None, Some(error)) => Err(error),
                (None, None) => Err(self.of_failed(key)),
            });
        }
        all
    }

    /// Evaluates segments and all that they name, unless their members are known. Returns the errors of those
    /// that fail.
    async fn settle(&mut self, keys: &[SegmentKey]) -> BTreeMap<SegmentKey, SegmentError> {
        let mut errors = BTreeMap::new();
        let mut waiting = self.waiting(keys, &mut errors);
        loop {
            let is_settled =
                |key: &SegmentKey| self.known.contains_key(key) || self.failed.contains_key(key);
            let (ready, rest): (Vec<Waiting>, Vec<Waiting>) = waiting
                .into_iter()
                .partition(|one| one.needed.named.iter().all(is_settled));
            waiting = rest;
            if ready.is_empty() {
                break;
            }
            self.evaluate(ready, &mut errors).await;
        }
        // Those that are left wait for each other.
        let left: BTreeMap<_, _> = waiting
            .iter()
            .map(|one| (one.key.clone(), one.needed.named.clone()))
            .collect();
        for key in left.keys() {
            let segments = circle(&left, key);
            self.fail(key.clone(), SegmentError::Circle { segments }, &mut errors);
        }
        errors
    }

    /// The segments and all that they name which are to be evaluated.
    fn waiting(
        &mut self,
        keys: &[SegmentKey],
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        let mut seen: BTreeSet<SegmentKey> = BTreeSet::new();
        let mut next: Vec<SegmentKey> = keys.to_vec();
        while let Some(key) = next.pop() {
            if self.known.contains_key(&key)
                || self.failed.contains_key(&key)
                || !seen.insert(key.clone())
            {
                continue;
            }
            match self.parsed(&key) {
                Ok((criteria, needed)) => {
                    let criteria = criteria.clone();
                    next.extend(needed.named.iter().cloned());
                    waiting.push(Waiting {
                        key,
                        needed: needed.clone(),
                        criteria,
                    });
                }
                Err(error) => self.fail(key, error, errors),
            }
        }
        waiting.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        waiting
    }

    async fn evaluate(
        &mut self,
        ready: Vec<Waiting>,
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) {
        let (mut together, mut by_themselves) = (Vec::new(), Vec::new());
        for one in ready {
            match (self.check_named(&one.needed.named), &one.criteria) {
                (Err(error), _) => self.fail(one.key, error, errors),
                (Ok(()), Criteria::Expression(condition)) if one.needed.is_shareable => {
                    together.push((condition.clone(), one));
                }
                (Ok(()), _) => by_themselves.push(one),
            }
        }
        if together.len() == 1 {
            by_themselves.extend(together.pop().map(|(_, one)| one));
        }
        let (conditions, mut together): (Vec<Condition>, Vec<Waiting>) =
            together.into_iter().unzip();
        let clauses: Vec<Clause> = conditions.iter().map(Clause::of).collect();
        for part in queries::parts(&clauses).into_iter().rev() {
            let some = together.split_off(part.start);
            by_themselves.extend(self.evaluate_together(some, &clauses[part], errors).await);
        }
        for one in by_themselves {
            let members = match &one.criteria {
                Criteria::Expression(condition) => self.alone(condition, &one.needed).await,
                Criteria::Select(query) => self.selected(query).await,
            };
            self.note(one.key, members, errors);
        }
    }

    /// Evaluates conditions in one pass. Returns those that are to be evaluated by themselves: which cannot
    /// be planned, or all where the pass failed.
    async fn evaluate_together(
        &mut self,
        mut some: Vec<Waiting>,
        clauses: &[Clause],
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) -> Vec<Waiting> {
        let mut clauses = clauses.to_vec();
        let mut by_themselves = Vec::new();
        let named = |some: &[Waiting]| all_named(some.iter().map(|one| &one.needed));
        let mut asked = self.ask(&clauses, &named(&some)).await;
        if asked.is_err() {
            // Nothing was evaluated yet. The rest can be, without those that cannot be planned.
            let (mut planned, mut their_clauses) = (Vec::new(), Vec::new());
            for (one, clause) in some.into_iter().zip(clauses) {
                match self.can_be_planned(&one).await {
                    true => {
                        planned.push(one);
                        their_clauses.push(clause);
                    }
                    false => by_themselves.push(one),
                }
            }
            (some, clauses) = (planned, their_clauses);
            if by_themselves.is_empty() || some.is_empty() {
                by_themselves.extend(some);
                return by_themselves;
            }
            asked = self.ask(&clauses, &named(&some)).await;
        }
        let found = match asked {
            Ok(asked) => asked.members().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(all) => {
                for (one, members) in some.into_iter().zip(all) {
                    self.note(one.key, Ok(members), errors);
                }
            }
            // One of them cannot be computed, or all together need too much memory or time.
            Err(_) => by_themselves.extend(some),
        }
        by_themselves
    }

    fn note(
        &mut self,
        key: SegmentKey,
        members: Result<RoaringTreemap, SegmentError>,
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) {
        match members {
            Ok(members) => drop(self.known.insert(key, Arc::new(members))),
            Err(error) => self.fail(key, error, errors),
        }
    }

    fn fail(
        &mut self,
        key: SegmentKey,
        error: SegmentError,
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) {
        let failed = (error.without_values(), error.is_personal());
        self.failed.insert(key.clone(), failed);
        errors.insert(key, error);
    }
}

/// The segments that are named, each once, in order.
fn all_named<'a>(needed: impl IntoIterator<Item = &'a Needed>) -> Vec<SegmentKey> {
    let named = needed.into_iter().flat_map(|one| one.named.iter().cloned());
    let named: BTreeSet<SegmentKey> = named.collect();
    named.into_iter().collect()
}
