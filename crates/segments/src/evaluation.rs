//! Evaluating criteria, those of several segments together.
//!
//! Segments that a condition names in `in_segment` are evaluated before it, from their definitions
//! and for the same moment, whatever membership they were last refreshed to. Conditions that wait
//! for no other are answered in one pass; a `select` runs by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Rows, Session};
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::{SegmentKey, Timestamp, nearest};

use crate::atoms::{Atoms, Met};
use crate::criteria::Criteria;
use crate::definition::Definition;
use crate::error::SegmentError;

/// Different clauses without parts that are planned as one query at most.
const TOGETHER: usize = 512;

/// Criteria over one session, and the segments that they may name.
#[derive(Debug)]
pub struct Evaluation<'a> {
    session: &'a Session,
    /// The criteria of every segment.
    criteria: BTreeMap<SegmentKey, String>,
    /// The revision of each one's criteria.
    revisions: BTreeMap<SegmentKey, u64>,
    /// Those that are lists.
    fixed: BTreeSet<SegmentKey>,
    /// Members that are known by now.
    known: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// Why segments have none, in words.
    failed: BTreeMap<SegmentKey, String>,
}

/// One segment's members, or why there are none.
pub type Members = Result<Arc<RoaringTreemap>, SegmentError>;

type MemberTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// A segment that waits for those that it names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    key: SegmentKey,
    text: String,
    named: Vec<SegmentKey>,
    /// Whether it can be answered together with others.
    is_shareable: bool,
}

impl<'a> Evaluation<'a> {
    /// Over the segments of `definitions`.
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

    /// The moment that is looked from.
    pub fn as_of(&self) -> Timestamp {
        self.session.as_of()
    }

    /// With another text for a segment, or one that is new.
    pub fn with(mut self, key: &SegmentKey, criteria: &str) -> Self {
        self.criteria.insert(key.clone(), criteria.to_owned());
        // What it was, also where it was a list, no longer counts.
        self.known.remove(key);
        self.fixed.remove(key);
        self
    }

    /// With the members of segments that are lists.
    pub fn with_fixed(mut self, fixed: &BTreeMap<SegmentKey, Arc<RoaringTreemap>>) -> Self {
        self.fixed.extend(fixed.keys().cloned());
        let fixed = fixed.iter();
        self.known
            .extend(fixed.map(|(key, members)| (key.clone(), Arc::clone(members))));
        self
    }

    /// Takes the members of a segment as known.
    pub fn know(&mut self, key: &SegmentKey, members: &Arc<RoaringTreemap>) {
        self.known.insert(key.clone(), Arc::clone(members));
    }

    /// The segments that a segment is computed from, also through others, with the revisions of
    /// their criteria; `None` where one of them, or it, is not a condition that looks at one
    /// person alone.
    pub fn revisions(&self, key: &SegmentKey) -> Option<BTreeMap<SegmentKey, u64>> {
        // A trait of the tenant's own may look at anything.
        if !self.traits(key).is_empty() {
            return None;
        }
        let mut found = BTreeMap::new();
        let mut next = vec![key.clone()];
        let mut seen = BTreeSet::new();
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) {
                continue;
            }
            if one != *key {
                found.insert(one.clone(), *self.revisions.get(&one)?);
            }
            // What a list has follows from nothing; of others it matters what they were computed from,
            // whether their members are known by now or not.
            if self.fixed.contains(&one) {
                continue;
            }
            let text = self.criteria.get(&one)?;
            let (named, is_shareable) = self.needs_of(text).ok()?;
            if !is_shareable {
                return None;
            }
            next.extend(named);
        }
        Some(found)
    }

    /// The traits of the tenant's own that a segment is computed from, also through others.
    pub fn traits(&self, key: &SegmentKey) -> BTreeSet<String> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        if !self.session.has_own_traits() {
            return found;
        }
        let mut next = vec![key.clone()];
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) || self.fixed.contains(&one) {
                continue;
            }
            let Some(text) = self.criteria.get(&one) else {
                continue;
            };
            // What is wrong with a text is told where it is evaluated.
            found.extend(self.session.traits_named(text).unwrap_or_default());
            let named = self.needs_of(text).map(|(named, _)| named);
            next.extend(named.unwrap_or_default());
        }
        found
    }

    /// The conditions that a segment is computed from: its own, and those of the segments that it
    /// names.
    pub fn texts(&self, key: &SegmentKey) -> Vec<&str> {
        let named = self.revisions(key).unwrap_or_default();
        let evaluated = named.keys().filter(|key| !self.fixed.contains(*key));
        let keys = evaluated.chain([key]);
        keys.filter_map(|key| Some(self.criteria.get(key)?.as_str()))
            .collect()
    }

    /// Who meets criteria that belong to no segment.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`], with its place in the text; what is wrong with a segment that
    /// it names.
    pub async fn of(&mut self, criteria: &Criteria) -> Result<RoaringTreemap, SegmentError> {
        let Criteria::Expression(text) = criteria else {
            return self.selected(criteria.text()).await;
        };
        let (named, _) = self.needs(text)?;
        self.settle(&named).await;
        self.check_named(&named)?;
        self.alone(text, &named).await
    }

    /// Whether a condition looks at one person alone, and so do all that it names.
    ///
    /// # Errors
    /// Whatever keeps the text from being read.
    pub fn is_of_one_person(&self, condition: &str) -> Result<bool, SegmentError> {
        let (named, is_shareable) = self.needs(condition)?;
        let is_known = |key: &SegmentKey| self.revisions(key).is_some();
        let is_own = !self.session.traits_named(condition)?.is_empty();
        Ok(is_shareable && !is_own && named.iter().all(is_known))
    }

    /// The texts of the segments that a condition names, also through others.
    ///
    /// # Errors
    /// Whatever keeps the text from being read.
    pub fn texts_named(&self, condition: &str) -> Result<Vec<&str>, SegmentError> {
        let (named, _) = self.needs(condition)?;
        let mut texts: Vec<&str> = named.iter().flat_map(|key| self.texts(key)).collect();
        texts.sort_unstable();
        texts.dedup();
        Ok(texts)
    }

    /// Every person, and what expressions on `people` come to: `person_id`, then a column for
    /// each. None may have a query within it.
    ///
    /// # Errors
    /// As [`Evaluation::of`].
    pub async fn values(&mut self, expressions: Vec<String>) -> Result<Rows, SegmentError> {
        let named = self.named_by(&expressions).await?;
        let tables = self.tables(&named)?;
        Ok(self.session.people_values(expressions, tables).await?)
    }

    /// Who meets each of some conditions. They are answered together, as far as none has a query
    /// within it.
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

    /// The members of segments, in the order of `keys`. One that fails holds up none but those
    /// that name it.
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

    /// Evaluates segments and all that they name, as far as they are not known yet. Gives the
    /// errors of those that failed now.
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
        // They were read before, to see what they need.
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
                // One of them is wrong, or all of them together are too much.
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
        self.failed.insert(key.clone(), error.to_string());
        errors.insert(key, error);
    }

    /// The segments that a text names, and whether it can be answered together with others; a
    /// `select` names none.
    fn needs_of(&self, text: &str) -> Result<(Vec<SegmentKey>, bool), SegmentError> {
        match Criteria::parse(text)? {
            Criteria::Expression(text) => self.needs(&text),
            Criteria::Select(_) => Ok((Vec::new(), false)),
        }
    }

    fn needs(&self, condition: &str) -> Result<(Vec<SegmentKey>, bool), SegmentError> {
        let needs = self.session.needs(condition)?;
        let key = |name: &String| {
            name.parse().map_err(|_| SegmentError::UnknownName {
                name: name.clone(),
                nearest: self.nearest(name),
            })
        };
        let named = needs.segments.iter().map(key).collect::<Result<_, _>>()?;
        Ok((named, needs.is_shareable))
    }

    /// Refuses a condition that names segments which have no members.
    fn check_named(&self, named: &[SegmentKey]) -> Result<(), SegmentError> {
        match named.iter().find(|key| !self.known.contains_key(key)) {
            None => Ok(()),
            Some(key) if self.criteria.contains_key(key) => Err(self.of_failed(key)),
            Some(key) => Err(SegmentError::UnknownName {
                name: key.to_string(),
                nearest: self.nearest(key.as_str()),
            }),
        }
    }

    fn of_failed(&self, key: &SegmentKey) -> SegmentError {
        SegmentError::Named {
            segment: key.clone(),
            reason: self.failed.get(key).cloned().unwrap_or_default(),
        }
    }

    fn unknown(&self, key: &SegmentKey) -> SegmentError {
        SegmentError::Unknown {
            segment: key.clone(),
            nearest: self.nearest(key.as_str()),
        }
    }

    fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.criteria.keys().map(SegmentKey::as_str)).map(str::to_owned)
    }

    /// Conditions in parts that are planned as one query each.
    fn parts(&self, conditions: &[String]) -> Result<Vec<Range<usize>>, SegmentError> {
        let (mut parts, mut begin, mut atoms) = (Vec::new(), 0, Atoms::default());
        for (at, condition) in conditions.iter().enumerate() {
            let clauses = self.session.clauses(condition)?;
            atoms.tree(&clauses);
            if atoms.len() > TOGETHER && begin < at {
                parts.push(begin..at);
                (begin, atoms) = (at, Atoms::default());
                atoms.tree(&clauses);
            }
        }
        if begin < conditions.len() {
            parts.push(begin..conditions.len());
        }
        Ok(parts)
    }

    /// The members of each of some conditions, from one pass; a clause that several of them have
    /// is evaluated once.
    async fn matching(
        &self,
        conditions: &[String],
        named: &[SegmentKey],
    ) -> Result<Vec<RoaringTreemap>, SegmentError> {
        let (mut atoms, mut trees) = (Atoms::default(), Vec::new());
        for condition in conditions {
            trees.push(atoms.tree(&self.session.clauses(condition)?));
        }
        let (tables, texts) = (self.tables(named)?, atoms.into_texts());
        let mut rows = self.session.people_matching(texts, tables).await?;
        let mut all = vec![RoaringTreemap::new(); conditions.len()];
        while let Some(batch) = rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let met = Met::of(&batch);
            for (members, tree) in all.iter_mut().zip(&trees) {
                let meets = met.tree(tree).map_err(|source| EngineError::Setup {
                    source: Box::new(source.into()),
                })?;
                let meets = match meets.nulls() {
                    None => meets.values().clone(),
                    Some(nulls) => meets.values() & nulls.inner(),
                };
                let met = || {
                    let ids = meets.set_indices().map(|at| ids[at]);
                    ids.filter_map(|id| u64::try_from(id).ok())
                };
                // Most often they come in order, which is quicker to note than one by one.
                match RoaringTreemap::from_sorted_iter(met()) {
                    Ok(some) => *members |= some,
                    Err(_) => members.extend(met()),
                }
            }
        }
        Ok(all)
    }

    /// The members of one condition.
    async fn alone(
        &self,
        condition: &str,
        named: &[SegmentKey],
    ) -> Result<RoaringTreemap, SegmentError> {
        if self.session.has_resident() && self.needs(condition)?.1 {
            let alone = [condition.to_owned()];
            // What is wrong is told below, with its place in the whole text.
            if let Ok(Some(members)) = self.matching(&alone, named).await.map(|mut all| all.pop()) {
                return Ok(members);
            }
        }
        let tables = self.tables(named)?;
        let mut rows = self.session.people_where_with(condition, tables).await?;
        Ok(collect(&mut rows).await?)
    }

    /// The members of segments as tables.
    fn tables(&self, named: &[SegmentKey]) -> Result<MemberTables, EngineError> {
        let known = named
            .iter()
            .filter_map(|key| Some((key, self.known.get(key)?)));
        known
            .map(|(key, members)| Ok((key.to_string(), table(members)?)))
            .collect()
    }

    async fn selected(&self, sql: &str) -> Result<RoaringTreemap, SegmentError> {
        let mut rows = self.session.select_person_ids(sql).await?;
        Ok(collect(&mut rows).await?)
    }
}

async fn collect(rows: &mut Rows) -> Result<RoaringTreemap, EngineError> {
    let mut members = RoaringTreemap::new();
    while let Some(batch) = rows.next_batch().await? {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        // Ids are given from 1 on, so a negative one is nobody's.
        members.extend(ids.iter().flatten().filter_map(|id| u64::try_from(id).ok()));
    }
    Ok(members)
}

/// Members as a table with the column `person_id`.
fn table(members: &RoaringTreemap) -> Result<Arc<dyn TableProvider>, EngineError> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "person_id",
        DataType::Int64,
        false,
    )]));
    let ids: Vec<i64> = members.iter().map(u64::cast_signed).collect();
    let batch = |ids: &[i64]| {
        let ids = Arc::new(Int64Array::from(ids.to_vec()));
        RecordBatch::try_new(Arc::clone(&schema), vec![ids])
    };
    let batches = ids
        .chunks(BATCH_ROWS)
        .map(batch)
        .collect::<Result<Vec<_>, _>>();
    let table = batches
        .map_err(Into::into)
        .and_then(|batches| MemTable::try_new(Arc::clone(&schema), vec![batches]));
    let table = table.map_err(|source| EngineError::Setup {
        source: Box::new(source),
    })?;
    Ok(Arc::new(table))
}

/// Segments that name each other, from one that waits for them: each names the next, the last one
/// the first of the circle.
fn circle(waiting: &BTreeMap<SegmentKey, Vec<SegmentKey>>, from: &SegmentKey) -> Vec<SegmentKey> {
    let mut path = vec![from.clone()];
    loop {
        let last = path.last().and_then(|last| waiting.get(last));
        let next = last.and_then(|named| named.iter().find(|key| waiting.contains_key(key)));
        let Some(next) = next else {
            return path;
        };
        let seen = path.iter().position(|known| known == next);
        path.push(next.clone());
        if let Some(begin) = seen {
            return path.split_off(begin);
        }
    }
}
