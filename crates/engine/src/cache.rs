//! Cache of one snapshot in memory: conditions on `people` are answered from the cache without
//! reading the lake, while an analyst types a condition or a page asks the same condition again.
//!
//! The cache holds the persons, the columns of `people` that conditions have asked for, and for
//! each type of activity the person and the time of each row, sorted by person. A condition is
//! planned as any query, but over a table of the cached columns. Counts are computed from the
//! cached rows at each query, a batch of persons at a time. Personal columns are never cached.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use roaring::{RoaringBitmap, RoaringTreemap};
use rollbook_model::Timestamp;
use tokio::sync::Mutex;

use crate::criteria::behaviour::{ACTIVITIES, Source};
use crate::opaque::Opaque;
use crate::query_pool::is_in_use;
use crate::threads::spawn_detached;

mod columns;
pub(crate) mod memory;
pub(crate) mod refresh;
mod request;
mod run;
mod series;
mod spans;
mod table;

pub(crate) use crate::criteria::names::Names;
use columns::{Persons, distinct};
use memory::{CacheLimit, CacheMemory};
pub(crate) use request::CacheRequest;
use series::{Activities, Series, load_series};
use spans::Spans;

/// The cached persons, columns and activity times of one snapshot.
#[derive(Debug)]
pub struct PeopleCache {
    /// The state of a session over the snapshot that also shows rows after `as_of`.
    full_state: Opaque<SessionState>,
    limit: CacheLimit,
    contents: Mutex<Contents>,
    /// What is reserved for the contents. To be locked after them.
    memory: std::sync::Mutex<CacheMemory>,
    last_used: std::sync::Mutex<Instant>,
    /// Number of queries answered from this cache and from the caches that it was refreshed from.
    answers: Arc<AtomicU64>,
    has_answered: AtomicBool,
    has_loaded: AtomicBool,
    /// Rows are loaded from this time on; before it a newer snapshot may still replace this one.
    load_after: Instant,
}

/// Rows that are loaded in the background, because loading them takes longer than one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RowSource {
    Activities,
    Rows(&'static str),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// Rows that conditions asked for and that are not loaded yet.
    pending: BTreeSet<RowSource>,
    /// Whether a thread is loading rows.
    is_loading: bool,
    /// Whether the rows exceed the largest size; then nothing is cached.
    exceeds_limit: bool,
    persons: Option<Arc<Persons>>,
    columns: HashMap<Key, ArrayRef>,
    /// Distinct texts by column.
    texts: HashMap<String, BTreeSet<String>>,
    activities: Option<Arc<Activities>>,
    /// Rows by the name of their view.
    series: HashMap<&'static str, Arc<Series>>,
}

/// A column, and `as_of` where its values depend on that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    column: String,
    as_of: Option<Timestamp>,
}

impl PeopleCache {
    /// An empty cache of the snapshot that `full_state` reads; `full_state` must show rows of the
    /// future too.
    pub(crate) fn empty(
        full_state: SessionState,
        limit: CacheLimit,
        answers: Arc<AtomicU64>,
        delay: Duration,
    ) -> Self {
        Self {
            full_state: Opaque::new(full_state),
            limit,
            contents: Mutex::default(),
            memory: std::sync::Mutex::new(CacheMemory::new(limit.shared)),
            last_used: std::sync::Mutex::new(Instant::now()),
            answers,
            has_answered: AtomicBool::new(false),
            has_loaded: AtomicBool::new(false),
            load_after: Instant::now() + delay,
        }
    }

    fn with_contents(
        full_state: SessionState,
        limit: CacheLimit,
        contents: Contents,
        answers: &Arc<AtomicU64>,
    ) -> Self {
        let mut cache = Self::empty(full_state, limit, Arc::clone(answers), Duration::ZERO);
        cache.contents = Mutex::new(contents);
        cache
    }

    /// Whether rows are being loaded.
    pub async fn is_loading(&self) -> bool {
        self.contents.lock().await.is_loading
    }

    /// Whether a query was answered from the cache.
    pub fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Whether rows were loaded into the cache.
    pub fn has_loaded(&self) -> bool {
        self.has_loaded.load(Ordering::Relaxed)
    }

    /// The size of the cache in bytes.
    pub async fn bytes(&self) -> usize {
        self.contents.lock().await.bytes()
    }

    /// Loads the rows that conditions have asked for, and returns when they are loaded.
    pub async fn load_requested(&self) {
        self.load_pending().await;
    }

    /// The types of all activities; `None` if the activities are not cached.
    pub(crate) async fn activity_types(&self) -> Option<BTreeSet<String>> {
        let contents = self.contents.lock().await;
        Some(contents.activities.as_ref()?.types())
    }

    /// The persons with rows of a view in spans of time, including rows of the future; `kind`
    /// narrows activities to one type. `None` if the rows are not cached.
    pub(crate) async fn persons_in_spans(
        &self,
        view: &str,
        kind: Option<&str>,
        spans: &[[i64; 2]],
    ) -> Option<RoaringTreemap> {
        let (series, persons) = {
            let contents = self.contents.lock().await;
            let series = match (view, kind) {
                (ACTIVITIES, _) => contents.activities.as_ref()?.all(kind),
                (_, None) => vec![Arc::clone(contents.series.get(view)?)],
                _ => return None,
            };
            (series, contents.persons.clone()?)
        };
        let (spans, mut positions) = (Spans::new(spans), RoaringBitmap::new());
        for series in series {
            series.collect_positions(&spans, &mut positions);
        }
        let ids = positions.into_iter();
        let ids = ids.filter_map(|position| u64::try_from(persons.ids()[position as usize]).ok());
        Some(ids.collect())
    }

    /// At most `max_count` distinct texts of a cached column of `people`; `None` if the column is
    /// not cached or has no texts.
    pub(crate) async fn distinct_texts(
        &self,
        name: &str,
        max_count: usize,
    ) -> Option<BTreeSet<String>> {
        let mut contents = self.contents.lock().await;
        if let Some(known) = contents.texts.get(name) {
            return Some(known.clone());
        }
        let key = Key {
            column: name.to_owned(),
            as_of: None,
        };
        let texts = distinct(contents.columns.get(&key)?, max_count)?;
        contents.texts.insert(name.to_owned(), texts.clone());
        Some(texts)
    }

    async fn persons(&self, contents: &mut Contents) -> Result<Arc<Persons>> {
        if let Some(known) = &contents.persons {
            return Ok(Arc::clone(known));
        }
        let persons = Arc::new(Persons::read(&self.full_state).await?);
        Ok(Arc::clone(contents.persons.insert(persons)))
    }

    /// Loads the rows that conditions have asked for in the background, unless they are being
    /// loaded already.
    pub(crate) async fn load_in_background(self: &Arc<Self>) {
        if Instant::now() < self.load_after || self.is_paused() {
            return;
        }
        let mut contents = self.contents.lock().await;
        if contents.pending.is_empty() || contents.is_loading || contents.exceeds_limit {
            return;
        }
        contents.is_loading = true;
        let cache = Arc::clone(self);
        spawn_detached(async move { cache.load_pending().await });
    }

    async fn load_pending(&self) {
        loop {
            let mut contents = self.contents.lock().await;
            let (Some(pending), Ok(persons)) = (
                contents.pending.pop_first(),
                self.persons(&mut contents).await,
            ) else {
                contents.is_loading = false;
                return;
            };
            let room = CacheLimit {
                max_bytes: self.limit.max_bytes.saturating_sub(contents.rows_bytes()),
                ..self.limit
            };
            drop(contents);
            self.has_loaded.store(true, Ordering::Relaxed);
            // The lock is released: meanwhile other queries read the lake.
            let state = &self.full_state;
            let read = match pending {
                RowSource::Activities => {
                    let all = Activities::read(state, &persons, room).await;
                    all.map(Loaded::Activities)
                }
                RowSource::Rows(relation) => {
                    let series = load_series(state, &persons, relation, room).await;
                    series.map(|series| Loaded::Rows(relation, series))
                }
            };
            let mut contents = self.contents.lock().await;
            match read {
                Ok(Loaded::Activities(all)) => contents.activities = Some(Arc::new(all)),
                Ok(Loaded::Rows(relation, series)) => {
                    contents.series.insert(relation, Arc::new(series));
                }
                // Others need the memory at the moment.
                Err(error) if is_in_use(&error) => self.clear(&mut contents),
                // The rows do not fit or cannot be read: conditions are then answered from the
                // lake, and a failure is reported there.
                Err(_) => {
                    *contents = Contents {
                        exceeds_limit: true,
                        ..Contents::default()
                    };
                }
            }
            self.reserve(&mut contents);
        }
    }
}

/// Rows that were loaded in the background.
enum Loaded {
    Activities(Activities),
    Rows(&'static str, Series),
}

impl Contents {
    /// Notes the rows that `sources` need and that are not loaded; returns whether there are any.
    fn note_missing<'a>(&mut self, sources: impl Iterator<Item = &'a Source<'a>>) -> bool {
        let mut is_missing = false;
        for source in sources {
            let pending = match source {
                Source::Activities(_) if self.activities.is_none() => RowSource::Activities,
                Source::Rows(relation, _) if !self.series.contains_key(relation) => {
                    RowSource::Rows(relation)
                }
                _ => continue,
            };
            self.pending.insert(pending);
            is_missing = true;
        }
        is_missing
    }

    fn rows_bytes(&self) -> usize {
        let series = self.series.values().map(|series| series.bytes());
        let activities = self.activities.as_ref().map_or(0, |all| all.bytes());
        let persons = self.persons.as_ref().map_or(0, |all| all.bytes());
        series.sum::<usize>() + activities + persons
    }

    fn bytes(&self) -> usize {
        let columns = self.columns.values();
        let columns = columns.map(|column| column.get_array_memory_size());
        columns.sum::<usize>() + self.rows_bytes()
    }

    /// Drops the columns of other moments, and then all columns, as long as the cache exceeds
    /// `max_bytes`.
    fn make_room(&mut self, as_of: Timestamp, max_bytes: usize) {
        if self.bytes() > max_bytes {
            self.columns
                .retain(|key, _| key.as_of.is_none_or(|seen_from| seen_from == as_of));
        }
        if self.bytes() > max_bytes {
            self.columns.clear();
        }
    }
}
