//! Evaluating criteria, those of several segments together.
//!
//! Segments that a condition names in `in_segment` are evaluated before it, from their definitions
//! and for the same moment, whatever membership they were last refreshed to. Conditions that wait
//! for no other are answered in one pass; a `select` runs by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use roaring::RoaringTreemap;
use rollbook_engine::{Rows, Session};
use rollbook_model::{SegmentKey, Timestamp};

use crate::criteria::Criteria;
use crate::definition::Definition;
use crate::error::SegmentError;

mod batch_ids;
mod named_segments;
mod queries;
mod unique_clauses;

use named_segments::circle;

/// Criteria over one session, and the segments that they may name.
#[derive(Debug)]
pub struct Evaluation<'a> {
    session: &'a Session,
    /// The criteria of every segment.
    criteria: BTreeMap<SegmentKey, String>,
    /// The revision of each one's criteria.
    revisions: BTreeMap<SegmentKey, u64>,
    /// The static ones.
    fixed: BTreeSet<SegmentKey>,
    /// Members that were evaluated or given.
    known: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// Errors of segments that failed, as text.
    failed: BTreeMap<SegmentKey, String>,
}

/// One segment's members, or why there are none.
pub type Members = Result<Arc<RoaringTreemap>, SegmentError>;

type MemberTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// A segment that waits for the segments that it names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    key: SegmentKey,
    text: String,
    named: Vec<SegmentKey>,
    /// Whether it can be answered together with others.
    is_shareable: bool,
}

impl<'a> Evaluation<'a> {
    /// An evaluation that can name the segments of `definitions`.
    pub fn new(session: &'a Session, definitions: &[Definition]) -> Self {
        let criteria = definitions.iter();
        let criteria = criteria.map(|one| (one.key.clone(), one.criteria.clone()));
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

    /// The moment that criteria are evaluated for.
    pub fn as_of(&self) -> Timestamp {
        self.session.as_of()
    }

    /// With other criteria for a segment, or with a new one.
    pub fn with(mut self, key: &SegmentKey, criteria: &str) -> Self {
        self.criteria.insert(key.clone(), criteria.to_owned());
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
    /// [`SegmentError::Criteria`], with the position in the text, where they cannot be parsed or evaluated;
    /// [`SegmentError::Named`], [`SegmentError::UnknownName`] and [`SegmentError::Circle`] where a segment
    /// that they name has no members.
    pub async fn of(&mut self, criteria: &Criteria) -> Result<RoaringTreemap, SegmentError> {
        let Criteria::Expression(text) = criteria else {
            return self.selected(criteria.text()).await;
        };
        let (named, _) = self.needs(text)?;
        self.settle(&named).await;
        self.check_named(&named)?;
        self.alone(text, &named).await
    }

    /// The values of expressions on `people` for every person: `person_id`, then a column for each
    /// expression. None may have a subquery.
    ///
    /// # Errors
    /// As [`Evaluation::of`].
    pub async fn values(&mut self, expressions: Vec<String>) -> Result<Rows, SegmentError> {
        let named = self.named_by(&expressions).await?;
        let tables = self.tables(&named)?;
        Ok(self.session.people_values(expressions, tables).await?)
    }

    /// The persons who meet each of some conditions. Conditions without a subquery are evaluated in one pass.
    ///
    /// # Errors
    /// As [`Evaluation::of`].
    pub async fn each_of(
        &mut self,
        conditions: &[String],
    ) -> Result<Vec<RoaringTreemap>, SegmentError> {
        let (mut together, mut places) = (Vec::new(), Vec::new());
        let mut all = vec![RoaringTreemap::new(); conditions.len()];
        for (at, condition) in conditions.iter().enumerate() {
            match self.needs(condition)? {
                (_, true) => {
                    together.push(condition.clone());
                    places.push(at);
                }
                (_, false) => all[at] = self.of(&Criteria::Expression(condition.clone())).await?,
            }
        }
        let named = self.named_by(&together).await?;
        for part in self.parts(&together)? {
            let found = self.matching(&together[part.clone()], &named).await?;
            for (members, at) in found.into_iter().zip(&places[part]) {
                all[*at] = members;
            }
        }
        Ok(all)
    }

    /// Evaluates the segments that expressions name, and gives them.
    async fn named_by(&mut self, texts: &[String]) -> Result<Vec<SegmentKey>, SegmentError> {
        let mut named = BTreeSet::new();
        for text in texts {
            named.extend(self.needs(text)?.0);
        }
        let named: Vec<_> = named.into_iter().collect();
        self.settle(&named).await;
        self.check_named(&named)?;
        Ok(named)
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
                .partition(|one| one.named.iter().all(is_settled));
            waiting = rest;
            if ready.is_empty() {
                break;
            }
            self.evaluate(ready, &mut errors).await;
        }
        // Those that are left wait for each other.
        let left: BTreeMap<_, _> = waiting
            .iter()
            .map(|one| (one.key.clone(), one.named.clone()))
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
            let text = self.criteria.get(&key).cloned();
            let text = text.ok_or_else(|| self.unknown(&key));
            match text.and_then(|text| Ok((self.needs_of(&text)?, text))) {
                Ok(((named, is_shareable), text)) => {
                    next.extend(named.iter().cloned());
                    waiting.push(Waiting {
                        key,
                        text,
                        named,
                        is_shareable,
                    });
                }
                Err(error) => self.fail(key, error, errors),
            }
        }
        waiting.sort_unstable();
        waiting
    }

    async fn evaluate(
        &mut self,
        ready: Vec<Waiting>,
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) {
        let (mut together, mut by_themselves) = (Vec::new(), Vec::new());
        for one in ready {
            match self.check_named(&one.named) {
                Ok(()) if one.is_shareable => together.push(one),
                Ok(()) => by_themselves.push(one),
                Err(error) => self.fail(one.key, error, errors),
            }
        }
        if together.len() == 1 {
            by_themselves.append(&mut together);
        }
        let texts: Vec<String> = together.iter().map(|one| one.text.clone()).collect();
        // Their texts were parsed before.
        let parts = self.parts(&texts).unwrap_or_default();
        for part in parts {
            let (texts, part) = (&texts[part.clone()], &together[part]);
            let named: BTreeSet<_> = part.iter().flat_map(|one| one.named.clone()).collect();
            let named: Vec<_> = named.into_iter().collect();
            match self.matching(texts, &named).await {
                Ok(all) => {
                    for (one, members) in part.iter().zip(all) {
                        self.note(one.key.clone(), Ok(members), errors);
                    }
                }
                // One of them fails, or all together need too much memory.
                Err(_) => {
                    for one in part {
                        let members = self.alone(&one.text, &one.named).await;
                        self.note(one.key.clone(), members, errors);
                    }
                }
            }
        }
        for one in by_themselves {
            let members = match Criteria::parse(&one.text) {
                Ok(Criteria::Expression(text)) => self.alone(&text, &one.named).await,
                Ok(Criteria::Select(sql)) => self.selected(&sql).await,
                Err(error) => Err(error),
            };
            self.note(one.key, members, errors);
        }
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
        self.failed.insert(key.clone(), error.without_values());
        errors.insert(key, error);
    }
}
