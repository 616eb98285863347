//! What persons did, as far as it takes to count: persons and times, in order of persons.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use futures::TryStreamExt;
use rollbook_model::table::{MONEY_PRECISION, MONEY_SCALE};

use super::columns::{Persons, rows};

/// The views whose rows are kept, and what gives them: the person, the time by which windows take a
/// row, the time from which it is seen at all, and an amount where there is one. None of it depends
/// on the moment that is looked from.
const KEPT: [(&str, &str); 3] = [
    (
        "_fact_orders_placed",
        "select person_id, at, at as seen from _fact_orders_placed \
         where person_id <> 0 order by person_id",
    ),
    (
        "_fact_orders_paid",
        "select person_id, at, greatest(at, placed_at) as seen from _fact_orders_paid \
         where person_id <> 0 order by person_id",
    ),
    (
        "_spending",
        "select person_id, at, greatest(at, placed_at, revenue_at) as seen, converted \
         from _spending where person_id <> 0 order by person_id",
    ),
];

/// The same of activities, by type.
const ACTIVITIES: &str = "select person_id, type, occurred_at from _fact_activities \
                          where person_id <> 0 order by person_id";

/// What is figured from the rows of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// How many there are.
    Count,
    /// The time of the first; null where there is none.
    First,
    /// The time of the last; null where there is none.
    Last,
    /// The sum of their amounts.
    Sum,
}

/// What is figured from the rows of a person in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figured {
    /// From the first moment on, before the second, in microseconds.
    pub(crate) window: [i64; 2],
    pub(crate) figure: Figure,
}

/// Whether the rows of a view are kept.
pub(crate) fn is_kept(relation: &str) -> bool {
    KEPT.iter().any(|(kept, _)| *kept == relation)
}

/// Rows of one kind, in order of persons.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The places of the persons.
    persons: Vec<u32>,
    times: Vec<i64>,
    /// From when rows are seen, where that is not their time.
    seen: Option<Vec<i64>>,
    amounts: Option<Vec<i128>>,
}

/// Activities by their type.
#[derive(Debug)]
pub(super) struct Activities {
    by_type: HashMap<String, Arc<Series>>,
}

impl Activities {
    /// All activities, in at most so many bytes.
    pub(super) async fn read(state: &SessionState, persons: &Persons, most: usize) -> Result<Self> {
        let (mut by_type, mut room): (HashMap<String, Series>, _) = (HashMap::new(), Room(most));
        let mut near = 0;
        let mut batches = rows(state, ACTIVITIES).await?;
        while let Some(batch) = batches.try_next().await? {
            let types = cast(batch.column(1), &DataType::Utf8View)?;
            let types = types.as_string_view();
            // Few types, of which most rows have one of the last: told by their views.
            let mut known: Vec<(u128, usize)> = Vec::new();
            let mut parts: Vec<(String, Series)> = Vec::new();
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
            for (row, (person, at)) in ids.iter().zip(times.values()).enumerate() {
                let Some(place) = persons.place(*person, near) else {
                    continue;
                };
                near = place;
                let view = types.views()[row];
                let part = match known.iter().find(|(known, _)| *known == view) {
                    Some((_, part)) => *part,
                    None => {
                        let name = types.value(row);
                        let part = parts.iter().position(|(known, _)| known == name);
                        let part = part.unwrap_or_else(|| {
                            parts.push((name.to_owned(), Series::default()));
                            parts.len() - 1
                        });
                        known.push((view, part));
                        part
                    }
                };
                parts[part].1.push(place, *at);
            }
            for (name, part) in parts {
                room.take(part.bytes())?;
                by_type.entry(name).or_default().append(part);
            }
        }
        let by_type = by_type.into_iter();
        let by_type = by_type.map(|(name, mut series)| {
            series.shrink();
            (name, Arc::new(series))
        });
        Ok(Self {
            by_type: by_type.collect(),
        })
    }

    /// The activities of a type.
    pub(super) fn of(&self, kind: &str) -> Option<Arc<Series>> {
        self.by_type.get(kind).map(Arc::clone)
    }

    pub(super) fn types(&self) -> BTreeSet<String> {
        self.by_type.keys().cloned().collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_type.values().map(|series| series.bytes()).sum()
    }
}

/// Bytes that may still be taken.
struct Room(usize);

impl Room {
    fn take(&mut self, bytes: usize) -> Result<()> {
        let left = self.0.checked_sub(bytes).ok_or_else(|| {
            DataFusionError::ResourcesExhausted("more rows than are kept in memory".to_owned())
        })?;
        self.0 = left;
        Ok(())
    }
}

/// The rows of a view that is kept, in at most so many bytes.
pub(super) async fn series_of(
    state: &SessionState,
    persons: &Persons,
    relation: &str,
    most: usize,
) -> Result<Series> {
    let kept = KEPT.iter().find(|(kept, _)| *kept == relation);
    let (_, sql) = kept
        .ok_or_else(|| DataFusionError::Internal(format!("the rows of {relation} are not kept")))?;
    let (mut series, mut room) = (Series::default(), Room(most));
    let mut near = 0;
    let mut batches = rows(state, sql).await?;
    while let Some(batch) = batches.try_next().await? {
        let before = series.bytes();
        series.add(&batch, persons, &mut near)?;
        room.take(series.bytes() - before)?;
    }
    if series
        .seen
        .as_ref()
        .is_some_and(|seen| *seen == series.times)
    {
        series.seen = None;
    }
    series.shrink();
    Ok(series)
}

impl Series {
    fn push(&mut self, place: usize, at: i64) {
        // There are no more than fit, or they would not have been read.
        self.persons.push(u32::try_from(place).unwrap_or(u32::MAX));
        self.times.push(at);
    }

    fn append(&mut self, mut other: Self) {
        self.persons.append(&mut other.persons);
        self.times.append(&mut other.times);
    }

    fn shrink(&mut self) {
        self.persons.shrink_to_fit();
        self.times.shrink_to_fit();
    }

    fn add(&mut self, batch: &RecordBatch, persons: &Persons, near: &mut usize) -> Result<()> {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let time = |at: usize| batch.column(at).as_primitive::<TimestampMicrosecondType>();
        let (times, seen) = (time(1), time(2));
        let money = DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE);
        let amounts = match batch.columns().get(3) {
            Some(amounts) => Some(cast(amounts, &money)?),
            None => None,
        };
        let amounts = amounts
            .as_ref()
            .map(|all| all.as_primitive::<Decimal128Type>());
        for (row, person) in ids.iter().enumerate() {
            let Some(place) = persons.place(*person, *near) else {
                continue;
            };
            *near = place;
            // A sum leaves out what cannot be converted.
            if times.is_null(row) || amounts.is_some_and(|amounts| amounts.is_null(row)) {
                continue;
            }
            self.push(place, times.value(row));
            self.seen.get_or_insert_default().push(seen.value(row));
            if let Some(amounts) = amounts {
                self.amounts
                    .get_or_insert_default()
                    .push(amounts.value(row));
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let amounts = self.amounts.as_deref().map_or(0, size_of_val);
        let seen = self.seen.as_deref().map_or(0, size_of_val);
        size_of_val(self.persons.as_slice()) + size_of_val(self.times.as_slice()) + amounts + seen
    }

    /// Goes through the rows of the persons at some places that are seen at `as_of` and fall in a
    /// window: gives `note` the place among these, and the row.
    pub(super) fn each(
        &self,
        places: &Range<usize>,
        [from, until]: [i64; 2],
        as_of: i64,
        mut note: impl FnMut(usize, usize),
    ) {
        let begin = self
            .persons
            .partition_point(|place| (*place as usize) < places.start);
        let persons = &self.persons[begin..];
        let count = persons.partition_point(|place| (*place as usize) < places.end);
        let until = until.min(as_of.saturating_add(1));
        let seen = self.seen.as_deref().map(|seen| &seen[begin..begin + count]);
        let rows = persons[..count]
            .iter()
            .zip(&self.times[begin..begin + count]);
        for (row, (place, at)) in rows.enumerate() {
            if (from..until).contains(at) && seen.is_none_or(|seen| seen[row] <= as_of) {
                note(*place as usize - places.start, begin + row);
            }
        }
    }

    pub(super) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    pub(super) fn amount(&self, row: usize) -> i128 {
        self.amounts.as_ref().map_or(0, |amounts| amounts[row])
    }
}
