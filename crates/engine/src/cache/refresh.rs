//! Keeping of a newer snapshot what was kept of an older one, at the cost of what changed.
//!
//! The rows of whom anything changed are read anew, from a session that has theirs alone, and take
//! the place of those that were kept. Activities that were only added are read from the files that
//! came and put beside those that are there. Where persons went, or came between others, the
//! places of all change, and everything is read anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::compute::concat;
use arrow::compute::kernels::zip::zip;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use roaring::RoaringTreemap;

use super::columns::Persons;
use super::series::{Activities, series_of};
use super::{Held, Key, PeopleCache};

/// What orders are counted from.
const OF_ORDERS: [&str; 2] = ["orders", "refunds"];

/// What changed after the snapshot of a cache, each state over the newer snapshot. None of them hides
/// rows of the future.
pub(crate) struct CacheDelta<'a> {
    pub(crate) all: &'a SessionState,
    /// With the rows of `persons` alone.
    pub(crate) some: &'a SessionState,
    /// All persons with a change.
    pub(crate) persons: &'a RoaringTreemap,
    /// The tables that changed.
    pub(crate) tables: &'a BTreeSet<String>,
    /// With the added activities alone, where none were changed or removed.
    pub(crate) added: Option<&'a SessionState>,
}

impl PeopleCache {
    /// What is kept of the newer snapshot; `None` where everything has to be read anew.
    ///
    /// # Errors
    /// Whatever keeps rows from being read.
    pub(crate) async fn refreshed(&self, since: CacheDelta<'_>) -> Result<Option<Self>> {
        let before = {
            let held = self.held.lock().await;
            if held.is_read || held.is_too_much {
                return Ok(None);
            }
            held.clone()
        };
        let Some(persons) = &before.persons else {
            return Ok(None);
        };
        let now = Persons::read(since.some).await?;
        let Some(persons) = persons.with(since.persons, &now) else {
            return Ok(None);
        };
        let renewing = Renewing {
            since: &since,
            known: before.persons.as_ref().map_or(0, |known| known.ids().len()),
            is_changed: persons.are(since.persons),
            persons: &persons,
            most: self.most,
        };
        let mut held = Held::default();
        if let Some(all) = &before.activities {
            held.activities = Some(renewing.activities(all).await?);
        }
        let orders_changed = OF_ORDERS.iter().any(|one| since.tables.contains(*one));
        for (relation, series) in before.series {
            let series = match orders_changed || renewing.has_new() {
                true => {
                    let state = since.some;
                    let now = series_of(state, &persons, relation, self.most).await?;
                    let others = series.of_those(|place| !renewing.is_changed(place));
                    Arc::new(others.with(&now))
                }
                false => series,
            };
            held.series.insert(relation, series);
        }
        if held.rows_bytes() > self.most {
            return Ok(None);
        }
        held.columns = renewing.columns(before.columns).await?;
        if !since.tables.contains("persons") {
            held.texts = before.texts;
        }
        held.persons = Some(Arc::new(persons));
        Ok(Some(Self::holding(
            since.all.clone(),
            self.most,
            held,
            &self.answers,
        )))
    }
}

struct Renewing<'a> {
    since: &'a CacheDelta<'a>,
    persons: &'a Persons,
    /// How many there were.
    known: usize,
    /// For each place whether anything changed for who has it.
    is_changed: BooleanArray,
    most: usize,
}

impl Renewing<'_> {
    fn has_new(&self) -> bool {
        self.persons.ids().len() > self.known
    }

    fn is_new(&self, place: u32) -> bool {
        place as usize >= self.known
    }

    fn is_changed(&self, place: u32) -> bool {
        self.is_changed.value(place as usize)
    }

    async fn activities(&self, all: &Arc<Activities>) -> Result<Arc<Activities>> {
        let is_same = !self.since.tables.contains("activities");
        if is_same && !self.has_new() {
            return Ok(Arc::clone(all));
        }
        let read =
            async |state: &SessionState| Activities::read(state, self.persons, self.most).await;
        if !is_same && self.since.added.is_none() {
            let others = all.of_those(|place| !self.is_changed(place));
            return Ok(Arc::new(others.with(&read(self.since.some).await?)));
        }
        let mut now = all.as_ref().clone();
        if let Some(added) = self.since.added {
            let added = read(added).await?;
            now = now.with(&added.of_those(|place| !self.is_new(place)));
        }
        // There may be some who have done something before they were known.
        if self.has_new() {
            let some = read(self.since.some).await?;
            now = now.with(&some.of_those(|place| self.is_new(place)));
        }
        Ok(Arc::new(now))
    }

    /// Columns of `people` that do not depend on the moment.
    async fn columns(&self, before: HashMap<Key, ArrayRef>) -> Result<HashMap<Key, ArrayRef>> {
        let before = before.into_iter().filter(|(key, _)| key.as_of.is_none());
        let mut columns: HashMap<Key, ArrayRef> = before.collect();
        if !self.since.tables.contains("persons") || columns.is_empty() {
            return Ok(columns);
        }
        let names: Vec<String> = columns.keys().map(|key| key.column.clone()).collect();
        let read = self.persons.named(self.since.some, &names).await?;
        for (name, now) in names.into_iter().zip(read) {
            let key = Key {
                column: name,
                as_of: None,
            };
            let more = self.persons.ids().len() - self.known;
            if let Some(known) = columns.get_mut(&key) {
                let none = new_null_array(known.data_type(), more);
                let all = concat(&[known.as_ref(), none.as_ref()])?;
                *known = zip(&self.is_changed, &now, &all)?;
            }
        }
        Ok(columns)
    }
}
