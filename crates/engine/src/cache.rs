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
use series::{Activities, Series, series_of};
use spans::Spans;

/// Persons and what they did, of one snapshot.
#[derive(Debug)]
pub struct PeopleCache {
    /// Of a session over the snapshot that hides nothing which is yet to come.
    all: Opaque<SessionState>,
    /// Bytes that may be kept.
    most: usize,
    held: Mutex<Held>,
    /// Questions that were answered from it, and from those before it.
    answers: Arc<AtomicU64>,
    is_used: AtomicBool,
    was_read: AtomicBool,
    /// From when on it is worth reading rows.
    from: Instant,
}

/// Rows that are read aside, since reading them takes longer than one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Activities,
    Rows(&'static str),
}

#[derive(Debug, Clone, Default)]
struct Held {
    /// What was asked for and is not there.
    wanted: BTreeSet<Wanted>,
    /// Whether somebody is reading it.
    is_read: bool,
    /// Whether it does not fit.
    is_too_much: bool,
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
    pub(crate) fn over(
        all: SessionState,
        most: usize,
        answers: Arc<AtomicU64>,
        patience: Duration,
    ) -> Self {
        Self {
            all: Opaque::new(all),
            most,
            held: Mutex::default(),
            answers,
            is_used: AtomicBool::new(false),
            was_read: AtomicBool::new(false),
            from: Instant::now() + patience,
        }
    }

    fn holding(all: SessionState, most: usize, held: Held, answers: &Arc<AtomicU64>) -> Self {
        let mut resident = Self::over(all, most, Arc::clone(answers), Duration::ZERO);
        resident.held = Mutex::new(held);
        resident
    }

    /// Whether rows are being read.
    pub async fn is_read(&self) -> bool {
        self.held.lock().await.is_read
    }

    /// Whether any question was answered from it.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Whether rows were read for it.
    pub fn was_read(&self) -> bool {
        self.was_read.load(Ordering::Relaxed)
    }

    /// Bytes that are kept.
    pub async fn bytes(&self) -> usize {
        self.held.lock().await.bytes()
    }

    /// Reads what was asked for and is not there, before anything else is asked.
    pub async fn settle(&self) {
        self.read_wanted().await;
    }

    /// The types of all activities; `None` where they are not kept.
    pub(crate) async fn types(&self) -> Option<BTreeSet<String>> {
        let held = self.held.lock().await;
        Some(held.activities.as_ref()?.types())
    }

    /// The persons who have rows of a view, and of a type where one is named, in spans of time,
    /// whenever these are seen; `None` where they are not kept.
    pub(crate) async fn between(
        &self,
        view: &str,
        kind: Option<&str>,
        spans: &[[i64; 2]],
    ) -> Option<RoaringTreemap> {
        let (series, persons) = {
            let held = self.held.lock().await;
            let series = match (view, kind) {
                (ACTIVITIES, _) => held.activities.as_ref()?.all(kind),
                (_, None) => vec![Arc::clone(held.series.get(view)?)],
                _ => return None,
            };
            (series, held.persons.clone()?)
        };
        let (spans, mut places) = (Spans::new(spans), RoaringBitmap::new());
        for series in series {
            series.between(&spans, &mut places);
        }
        let ids = places.into_iter();
        let ids = ids.filter_map(|place| u64::try_from(persons.ids()[place as usize]).ok());
        Some(ids.collect())
    }

    /// The different texts in a column of `people` that is kept, at most so many; `None` where it
    /// is not, or has no texts.
    pub(crate) async fn texts(&self, name: &str, most: usize) -> Option<BTreeSet<String>> {
        let mut held = self.held.lock().await;
        if let Some(known) = held.texts.get(name) {
            return Some(known.clone());
        }
        let key = Key {
            column: name.to_owned(),
            as_of: None,
        };
        let texts = distinct(held.columns.get(&key)?, most)?;
        held.texts.insert(name.to_owned(), texts.clone());
        Some(texts)
    }

    async fn persons(&self, held: &mut Held) -> Result<Arc<Persons>> {
        if let Some(known) = &held.persons {
            return Ok(Arc::clone(known));
        }
        let persons = Arc::new(Persons::read(&self.all).await?);
        Ok(Arc::clone(held.persons.insert(persons)))
    }

    /// Reads what was asked for and is not there, in the background, unless somebody does.
    pub(crate) async fn read_aside(self: &Arc<Self>) {
        if Instant::now() < self.from {
            return;
        }
        let mut held = self.held.lock().await;
        if held.wanted.is_empty() || held.is_read || held.is_too_much {
            return;
        }
        held.is_read = true;
        let resident = Arc::clone(self);
        spawn_detached(async move { resident.read_wanted().await });
    }

    async fn read_wanted(&self) {
        loop {
            let mut held = self.held.lock().await;
            let (Some(wanted), Ok(persons)) =
                (held.wanted.pop_first(), self.persons(&mut held).await)
            else {
                held.is_read = false;
                return;
            };
            let room = self.most.saturating_sub(held.rows_bytes());
            drop(held);
            self.was_read.store(true, Ordering::Relaxed);
            // Others go on meanwhile, over the lake.
            let state = &self.all;
            let read = match wanted {
                Wanted::Activities => {
                    let all = Activities::read(state, &persons, room).await;
                    all.map(Read::Activities)
                }
                Wanted::Rows(relation) => {
                    let series = series_of(state, &persons, relation, room).await;
                    series.map(|series| Read::Rows(relation, series))
                }
            };
            let mut held = self.held.lock().await;
            match read {
                Ok(Read::Activities(all)) => held.activities = Some(Arc::new(all)),
                Ok(Read::Rows(relation, series)) => {
                    held.series.insert(relation, Arc::new(series));
                }
                // There is no room for it, or it cannot be read: whoever asks is answered over the lake,
                // which tells what is wrong.
                Err(_) => {
                    *held = Held {
                        is_too_much: true,
                        ..Held::default()
                    };
                }
            }
        }
    }
}

/// What was read aside.
enum Read {
    Activities(Activities),
    Rows(&'static str, Series),
}

impl Held {
    /// Whether rows are missing that columns come from; they are noted.
    fn lacks<'a>(&mut self, sources: impl Iterator<Item = &'a Source<'a>>) -> bool {
        let mut lacks = false;
        for source in sources {
            let wanted = match source {
                Source::Activities(_) if self.activities.is_none() => Wanted::Activities,
                Source::Rows(relation, _) if !self.series.contains_key(relation) => {
                    Wanted::Rows(relation)
                }
                _ => continue,
            };
            self.wanted.insert(wanted);
            lacks = true;
        }
        lacks
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
    fn make_room(&mut self, as_of: Timestamp, most: usize) {
        if self.bytes() > most {
            self.columns
                .retain(|key, _| key.as_of.is_none_or(|seen_from| seen_from == as_of));
        }
        if self.bytes() > most {
            self.columns.clear();
        }
    }
}
