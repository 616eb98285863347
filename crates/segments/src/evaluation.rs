//! Evaluating criteria, those of several segments together.
//!
//! Segments that a condition names in `in_segment` are evaluated before it, from their definitions
//! and for the same moment, whatever membership they were last refreshed to. Conditions that wait
//! for no other are answered in one pass; a `select` runs by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Rows, Session};
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::{SegmentKey, Timestamp, nearest};

use crate::criteria::Criteria;
use crate::definition::Definition;
use crate::error::SegmentError;

/// Conditions that are planned as one query at most.
const TOGETHER: usize = 128;

/// Criteria over one session, and the segments that they may name.
#[derive(Debug)]
pub struct Evaluation<'a> {
    session: &'a Session,
    /// The criteria of every segment.
    criteria: BTreeMap<SegmentKey, String>,
    /// Members that are known by now.
    known: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// Why segments have none, in words.
    failed: BTreeMap<SegmentKey, String>,
}

/// One segment's members, or why there are none.
pub type Members = Result<Arc<RoaringTreemap>, SegmentError>;

/// A condition that is ready to be evaluated: what it is called, its text, whom it names.
type Ready = (SegmentKey, String, Vec<SegmentKey>);

impl<'a> Evaluation<'a> {
    /// Over the segments of `definitions`.
    pub fn new(session: &'a Session, definitions: &[Definition]) -> Self {
        let criteria = definitions.iter();
        Self {
            session,
            criteria: criteria
                .map(|definition| (definition.key.clone(), definition.criteria.clone()))
                .collect(),
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
        self
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
        let named = self.named(text)?;
        self.settle(&named).await;
        self.check_named(&named)?;
        let mut members = self.matching(vec![text.clone()], &named).await?;
        Ok(members.pop().unwrap_or_default())
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
            let (ready, rest): (Vec<Ready>, Vec<Ready>) = waiting
                .into_iter()
                .partition(|(_, _, named)| named.iter().all(is_settled));
            waiting = rest;
            if ready.is_empty() {
                break;
            }
            self.evaluate(ready, &mut errors).await;
        }
        // Those that are left wait for each other.
        let left: BTreeMap<_, _> = waiting
            .iter()
            .map(|(key, _, named)| (key.clone(), named.clone()))
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
    ) -> Vec<Ready> {
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
            match text.and_then(|text| Ok((self.named_by(&text)?, text))) {
                Ok((named, text)) => {
                    next.extend(named.iter().cloned());
                    waiting.push((key, text, named));
                }
                Err(error) => self.fail(key, error, errors),
            }
        }
        waiting.sort_unstable();
        waiting
    }

    async fn evaluate(
        &mut self,
        ready: Vec<Ready>,
        errors: &mut BTreeMap<SegmentKey, SegmentError>,
    ) {
        let mut conditions = Vec::new();
        for one in ready {
            let checked = self
                .check_named(&one.2)
                .and_then(|()| Criteria::parse(&one.1));
            match checked {
                Ok(Criteria::Expression(_)) => conditions.push(one),
                Ok(Criteria::Select(sql)) => {
                    let members = self.selected(&sql).await;
                    self.note(one.0, members, errors);
                }
                Err(error) => self.fail(one.0, error, errors),
            }
        }
        for part in conditions.chunks(TOGETHER) {
            let texts = part.iter().map(|(_, text, _)| text.clone()).collect();
            let named: BTreeSet<_> = part
                .iter()
                .flat_map(|(_, _, named)| named.clone())
                .collect();
            let named: Vec<_> = named.into_iter().collect();
            match self.matching(texts, &named).await {
                Ok(all) => {
                    for ((key, ..), members) in part.iter().zip(all) {
                        self.note(key.clone(), Ok(members), errors);
                    }
                }
                // One of them is wrong, or all of them together are too much.
                Err(_) => {
                    for (key, text, named) in part {
                        let alone = self.matching(vec![text.clone()], named).await;
                        let members = alone.map(|mut all| all.pop().unwrap_or_default());
                        self.note(key.clone(), members, errors);
                    }
                }
            }
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

    /// The segments that a text names; a `select` names none.
    fn named_by(&self, text: &str) -> Result<Vec<SegmentKey>, SegmentError> {
        match Criteria::parse(text)? {
            Criteria::Expression(text) => self.named(&text),
            Criteria::Select(_) => Ok(Vec::new()),
        }
    }

    fn named(&self, condition: &str) -> Result<Vec<SegmentKey>, SegmentError> {
        let named = self.session.segments_named(condition)?;
        let key = |name: &String| {
            name.parse().map_err(|_| SegmentError::UnknownName {
                name: name.clone(),
                nearest: self.nearest(name),
            })
        };
        named.iter().map(key).collect()
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

    /// The members of each of some conditions, from one pass.
    async fn matching(
        &self,
        conditions: Vec<String>,
        named: &[SegmentKey],
    ) -> Result<Vec<RoaringTreemap>, SegmentError> {
        let mut tables = BTreeMap::new();
        for key in named {
            if let Some(members) = self.known.get(key) {
                tables.insert(key.to_string(), table(members)?);
            }
        }
        let count = conditions.len();
        let mut rows = self.session.people_matching(conditions, tables).await?;
        let mut all = vec![RoaringTreemap::new(); count];
        while let Some(batch) = rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            for (members, meets) in all.iter_mut().zip(&batch.columns()[1..]) {
                // A condition that is never known has no type of its own.
                let Some(meets) = meets.as_boolean_opt() else {
                    continue;
                };
                let meets = match meets.nulls() {
                    None => meets.values().clone(),
                    Some(nulls) => meets.values() & nulls.inner(),
                };
                let met = meets.set_indices().map(|at| ids[at]);
                members.extend(met.filter_map(|id| u64::try_from(id).ok()));
            }
        }
        Ok(all)
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
