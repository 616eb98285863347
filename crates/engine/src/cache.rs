//! What is kept of one snapshot in memory, so that conditions on `people` are answered without
//! reading the lake: while somebody types, or again and again.
//!
//! Kept are the persons, those columns of `people` that were asked for, and what persons did by
//! type: the person and the time of each row, in order of persons. A condition is planned as ever,
//! only over a table of these columns; what it counts is counted anew from the rows, for some
//! thousand persons at a time. Personal columns are never kept.

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
use crate::threads::spawn_detached;

mod columns;
pub(crate) mod refresh;
mod request;
mod run;
mod series;
mod spans;
mod table;

pub(crate) use crate::criteria::names::Names;
use columns::{Persons, distinct};
pub(crate) use request::CacheRequest;
use series::{Activities, Series, load_series};
use spans::Spans;

/// Persons and what they did, of one snapshot.
#[derive(Debug)]
pub struct PeopleCache {
    /// Of a session over the snapshot that hides nothing which is yet to come.
    full_state: Opaque<SessionState>,
    /// Bytes that may be kept.
    max_bytes: usize,
    contents: Mutex<Contents>,
    /// Questions that were answered from it, and from those before it.
    answers: Arc<AtomicU64>,
    has_answered: AtomicBool,
    has_loaded: AtomicBool,
    /// From when on it is worth reading rows.
    load_after: Instant,
}

/// Rows that are read aside, since reading them takes longer than one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RowSource {
    Activities,
    Rows(&'static str),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// What was asked for and is not there.
    pending: BTreeSet<RowSource>,
    /// Whether somebody is reading it.
    is_loading: bool,
    /// Whether it does not fit.
    exceeds_limit: bool,
    persons: Option<Arc<Persons>>,
    columns: HashMap<Key, ArrayRef>,
    /// Different texts of columns.
    texts: HashMap<String, BTreeSet<String>>,
    activities: Option<Arc<Activities>>,
    /// By the name of their view.
    series: HashMap<&'static str, Arc<Series>>,
}

/// A column, and the moment that it is seen from where that makes a difference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    column: String,
    as_of: Option<Timestamp>,
}

impl PeopleCache {
    /// Of the snapshot that `all` is over, which hides nothing that is yet to come.
    pub(crate) fn of_state(
        full_state: SessionState,
        max_bytes: usize,
        answers: Arc<AtomicU64>,
        delay: Duration,
    ) -> Self {
        Self {
            full_state: Opaque::new(full_state),
            max_bytes,
            contents: Mutex::default(),
            answers,
            has_answered: AtomicBool::new(false),
            has_loaded: AtomicBool::new(false),
            load_after: Instant::now() + delay,
        }
    }

    fn with_contents(
        full_state: SessionState,
        max_bytes: usize,
        contents: Contents,
        answers: &Arc<AtomicU64>,
    ) -> Self {
        let mut cache = Self::of_state(full_state, max_bytes, Arc::clone(answers), Duration::ZERO);
        cache.contents = Mutex::new(contents);
        cache
    }

    /// Whether rows are being read.
    pub async fn is_loading(&self) -> bool {
        self.contents.lock().await.is_loading
    }

    /// Whether any question was answered from it.
    pub fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Whether rows were read for it.
    pub fn has_loaded(&self) -> bool {
        self.has_loaded.load(Ordering::Relaxed)
    }

    /// Bytes that are kept.
    pub async fn bytes(&self) -> usize {
        self.contents.lock().await.bytes()
    }

    /// Reads what was asked for and is not there, before anything else is asked.
    pub async fn load_requested(&self) {
        self.load_pending().await;
    }

    /// The types of all activities; `None` where they are not kept.
    pub(crate) async fn activity_types(&self) -> Option<BTreeSet<String>> {
        let contents = self.contents.lock().await;
        Some(contents.activities.as_ref()?.types())
    }

    /// The persons who have rows of a view, and of a type where one is named, in spans of time,
    /// whenever these are seen; `None` where they are not kept.
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

    /// The different texts in a column of `people` that is kept, at most so many; `None` where it
    /// is not, or has no texts.
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

    /// Reads what was asked for and is not there, on a thread of its own, unless somebody does.
    pub(crate) async fn load_in_background(self: &Arc<Self>) {
        if Instant::now() < self.load_after {
            return;
        }
        let mut contents = self.contents.lock().await;
        if contents.pending.is_empty() || contents.is_loading || contents.exceeds_limit {
            return;
        }
        contents.is_loading = true;
        let cache = Arc::clone(self);
        spawn_detached("rollbook-cache", async move { cache.load_pending().await });
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
            let room = self.max_bytes.saturating_sub(contents.rows_bytes());
            drop(contents);
            self.has_loaded.store(true, Ordering::Relaxed);
            // Others go on meanwhile, over the lake.
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
                // There is no room for it, or it cannot be read: whoever asks is answered over the lake,
                // which tells what is wrong.
                Err(_) => {
                    *contents = Contents {
                        exceeds_limit: true,
                        ..Contents::default()
                    };
                }
            }
        }
    }
}

/// What was read aside.
enum Loaded {
    Activities(Activities),
    Rows(&'static str, Series),
}

impl Contents {
    /// Whether rows are missing that columns come from; they are noted.
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

    /// Forgets columns that were seen from other moments, and then all, where it is too much.
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
