//! Refreshing a cache to a newer snapshot, at the cost of what changed.
//!
//! The rows of changed persons are read from a session over these persons only, and replace the
//! cached rows. Where activities were only added, the rows of the new files are added to the cached
//! ones. Where persons were removed or inserted between others, the positions of all persons
//! change, and the cache is rebuilt.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::compute::concat;
use arrow::compute::kernels::zip::zip;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use roaring::RoaringTreemap;

use super::columns::Persons;
use super::memory::CacheLimit;
use super::series::{Activities, load_series};
use super::{Contents, Key, PeopleCache};

/// The tables that the rows of orders depend on.
const ORDER_TABLES: [&str; 2] = ["orders", "refunds"];

/// What changed since the snapshot of a cache. Each state reads the newer snapshot and shows rows
/// of the future too.
pub(crate) struct CacheDelta<'a> {
    pub(crate) full_state: &'a SessionState,
    /// Reads the rows of `changed_persons` only.
    pub(crate) changed_state: &'a SessionState,
    /// All persons with a change.
    pub(crate) changed_persons: &'a RoaringTreemap,
    /// The tables that changed.
    pub(crate) changed_tables: &'a BTreeSet<String>,
    /// Reads the added activities only; `None` if activities were changed or removed.
    pub(crate) added_activities: Option<&'a SessionState>,
}

impl PeopleCache {
    /// The cache of the newer snapshot; `None` if the cache has to be rebuilt.
    ///
    /// # Errors
    /// An error of DataFusion where the changed rows cannot be read.
    pub(crate) async fn refreshed(&self, delta: CacheDelta<'_>) -> Result<Option<Self>> {
        let before = {
            let contents = self.contents.lock().await;
            if contents.is_loading || contents.exceeds_limit {
                return Ok(None);
            }
            contents.clone()
        };
        let Some(persons) = &before.persons else {
            return Ok(None);
        };
        let now = Persons::read(delta.changed_state).await?;
        let Some(persons) = persons.with_new(delta.changed_persons, &now) else {
            return Ok(None);
        };
        let refresher = Refresher {
            delta: &delta,
            known_count: before.persons.as_ref().map_or(0, |known| known.ids().len()),
            is_changed: persons.mask_of(delta.changed_persons),
            persons: &persons,
            limit: self.limit,
        };
        let mut contents = Contents::default();
        if let Some(all) = &before.activities {
            contents.activities = Some(refresher.activities(all).await?);
        }
        let orders_changed = ORDER_TABLES
            .iter()
            .any(|one| delta.changed_tables.contains(*one));
        for (relation, series) in before.series {
            let series = match orders_changed || refresher.has_new() {
                true => {
                    let state = delta.changed_state;
                    let now = load_series(state, &persons, relation, self.limit).await?;
                    let others = series.filtered(|position| !refresher.is_changed(position));
                    Arc::new(others.merged_with(&now))
                }
                false => series,
            };
            contents.series.insert(relation, series);
        }
        if contents.rows_bytes() > self.limit.max_bytes {
            return Ok(None);
        }
        contents.columns = refresher.people_columns(before.columns).await?;
        if !delta.changed_tables.contains("persons") {
            contents.texts = before.texts;
        }
        contents.persons = Some(Arc::new(persons));
        let full_state = delta.full_state.clone();
        let mut cache = Self::with_contents(full_state, self.limit, contents, &self.answers);
        let is_reserved = {
            let (contents, memory) = (cache.contents.get_mut(), &mut cache.memory);
            let memory = memory.get_mut().unwrap_or_else(PoisonError::into_inner);
            memory.try_reserve(contents.bytes())
        };
        Ok(is_reserved.then_some(cache))
    }
}

struct Refresher<'a> {
    delta: &'a CacheDelta<'a>,
    persons: &'a Persons,
    /// The number of persons before.
    known_count: usize,
    /// For each position whether anything of the person changed.
    is_changed: BooleanArray,
    limit: CacheLimit,
}

impl Refresher<'_> {
    fn has_new(&self) -> bool {
        self.persons.ids().len() > self.known_count
    }

    fn is_new(&self, position: u32) -> bool {
        position as usize >= self.known_count
    }

    fn is_changed(&self, position: u32) -> bool {
        self.is_changed.value(position as usize)
    }

    async fn activities(&self, all: &Arc<Activities>) -> Result<Arc<Activities>> {
        let is_same = !self.delta.changed_tables.contains("activities");
        if is_same && !self.has_new() {
            return Ok(Arc::clone(all));
        }
        let read =
            async |state: &SessionState| Activities::read(state, self.persons, self.limit).await;
        if !is_same && self.delta.added_activities.is_none() {
            let others = all.filtered(|position| !self.is_changed(position));
            return Ok(Arc::new(
                others.merged_with(&read(self.delta.changed_state).await?),
            ));
        }
        let mut now = all.as_ref().clone();
        if let Some(added) = self.delta.added_activities {
            let added = read(added).await?;
            now = now.merged_with(&added.filtered(|position| !self.is_new(position)));
        }
        // A new person may have activities from before the person was known.
        if self.has_new() {
            let some = read(self.delta.changed_state).await?;
            now = now.merged_with(&some.filtered(|position| self.is_new(position)));
        }
        Ok(Arc::new(now))
    }

    /// Columns of `people` that do not depend on `as_of`.
    async fn people_columns(
        &self,
        before: HashMap<Key, ArrayRef>,
    ) -> Result<HashMap<Key, ArrayRef>> {
        let before = before.into_iter().filter(|(key, _)| key.as_of.is_none());
        let mut columns: HashMap<Key, ArrayRef> = before.collect();
        if !self.delta.changed_tables.contains("persons") || columns.is_empty() {
            return Ok(columns);
        }
        let names: Vec<String> = columns.keys().map(|key| key.column.clone()).collect();
        let read = self
            .persons
            .load_people_columns(self.delta.changed_state, &names)
            .await?;
        for (name, now) in names.into_iter().zip(read) {
            let key = Key {
                column: name,
                as_of: None,
            };
            let more = self.persons.ids().len() - self.known_count;
            if let Some(known) = columns.get_mut(&key) {
                let none = new_null_array(known.data_type(), more);
                let all = concat(&[known.as_ref(), none.as_ref()])?;
                *known = zip(&self.is_changed, &now, &all)?;
            }
        }
        Ok(columns)
    }
}
