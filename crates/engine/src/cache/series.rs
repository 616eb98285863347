//! What persons did, reduced to what counting needs: persons and times, sorted by person.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use rollbook_model::table::{MONEY_PRECISION, MONEY_SCALE};

use super::columns::{Persons, rows};
use super::memory::{ByteBudget, CacheLimit};
use super::run::Run;
use super::spans::Spans;
use crate::criteria::behaviour::KEPT;

/// The query that loads activities.
const ACTIVITIES: &str = "select person_id, type, occurred_at from _fact_activities \
                          where person_id <> 0 order by person_id";

/// A run has at least this many times the rows of the next run.
const MIN_RUN_RATIO: usize = 4;

/// Rows of one kind: the run that was read first, and runs that were added later.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Runs by falling length.
    runs: Vec<Arc<Run>>,
}

/// Activities by their type.
#[derive(Debug, Clone)]
pub(super) struct Activities {
    by_type: HashMap<String, Arc<Series>>,
}

impl Activities {
    /// All activities that a state reads.
    ///
    /// # Errors
    /// `ResourcesExhausted` where they need more than `limit`, and any error of the query.
    pub(super) async fn read(
        state: &SessionState,
        persons: &Persons,
        limit: CacheLimit,
    ) -> Result<Self> {
        let (mut by_type, mut budget): (HashMap<String, Run>, _) =
            (HashMap::new(), ByteBudget::new(limit));
        let mut hint = 0;
        let mut batches = rows(state, ACTIVITIES).await?;
        while let Some(batch) = batches.try_next().await? {
            let types = cast(batch.column(1), &DataType::Utf8View)?;
            let types = types.as_string_view();
            // Equal views are equal texts: most rows have one of few types, so that few texts are
            // compared.
            let mut known: Vec<(u128, usize)> = Vec::new();
            let mut parts: Vec<(String, Run)> = Vec::new();
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
            for (row, (person, at)) in ids.iter().zip(times.values()).enumerate() {
                let Some(position) = persons.position(*person, hint) else {
                    continue;
                };
                hint = position;
                let view = types.views()[row];
                let part = match known.iter().find(|(known, _)| *known == view) {
                    Some((_, part)) => *part,
                    None => {
                        let name = types.value(row);
                        let part = parts.iter().position(|(known, _)| known == name);
                        let part = part.unwrap_or_else(|| {
                            parts.push((name.to_owned(), Run::default()));
                            parts.len() - 1
                        });
                        known.push((view, part));
                        part
                    }
                };
                parts[part].1.push(position, *at);
            }
            for (name, part) in parts {
                budget.take(part.bytes())?;
                by_type.entry(name).or_default().append(part);
            }
        }
        let by_type = by_type.into_iter();
        let by_type = by_type.map(|(name, run)| (name, Arc::new(Series::of(run))));
        Ok(Self {
            by_type: by_type.collect(),
        })
    }

    /// These activities and `added`.
    pub(super) fn merged_with(&self, added: &Self) -> Self {
        let mut by_type = self.by_type.clone();
        for (name, series) in &added.by_type {
            let known = by_type.entry(name.clone()).or_default();
            *known = Arc::new(known.merged_with(series));
        }
        Self { by_type }
    }

    /// The activities of the persons at positions that `is_included` accepts.
    pub(super) fn filtered(&self, is_included: impl Fn(u32) -> bool) -> Self {
        let some = self.by_type.iter();
        let some = some.map(|(name, all)| (name.clone(), Arc::new(all.filtered(&is_included))));
        Self {
            by_type: some.filter(|(_, some)| !some.is_empty()).collect(),
        }
    }

    /// The rows of one type, or of every type.
    pub(super) fn all(&self, kind: Option<&str>) -> Vec<Arc<Series>> {
        match kind {
            Some(kind) => self.of(kind).into_iter().collect(),
            None => self.by_type.values().map(Arc::clone).collect(),
        }
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

/// The rows of a cached view.
///
/// # Errors
/// `ResourcesExhausted` where they need more than `limit`, and any error of the query.
pub(super) async fn load_series(
    state: &SessionState,
    persons: &Persons,
    relation: &str,
    limit: CacheLimit,
) -> Result<Series> {
    let known = KEPT.iter().find(|(name, _)| *name == relation);
    let (_, sql) = known.ok_or_else(|| {
        DataFusionError::Internal(format!("the rows of {relation} are never cached"))
    })?;
    let (mut run, mut budget) = (Run::default(), ByteBudget::new(limit));
    let mut hint = 0;
    let mut batches = rows(state, sql).await?;
    while let Some(batch) = batches.try_next().await? {
        let before = run.bytes();
        add(&mut run, &batch, persons, &mut hint)?;
        budget.take(run.bytes() - before)?;
    }
    Ok(Series::of(run))
}

fn add(run: &mut Run, batch: &RecordBatch, persons: &Persons, hint: &mut usize) -> Result<()> {
    let ids = batch.column(0).as_primitive::<Int64Type>().values();
    let time = |at: usize| batch.column(at).as_primitive::<TimestampMicrosecondType>();
    let (times, visible_from) = (time(1), time(2));
    let money = DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE);
    let amounts = match batch.columns().get(3) {
        Some(amounts) => Some(cast(amounts, &money)?),
        None => None,
    };
    let amounts = amounts
        .as_ref()
        .map(|all| all.as_primitive::<Decimal128Type>());
    for (row, person) in ids.iter().enumerate() {
        let Some(position) = persons.position(*person, *hint) else {
            continue;
        };
        *hint = position;
        // A sum leaves out amounts without a conversion.
        if times.is_null(row) || amounts.is_some_and(|amounts| amounts.is_null(row)) {
            continue;
        }
        let amount = amounts.map(|amounts| amounts.value(row));
        run.push_details(position, times.value(row), visible_from.value(row), amount);
    }
    Ok(())
}

impl Series {
    fn of(run: Run) -> Self {
        Self {
            runs: vec![Arc::new(run.shrink_to_fit())],
        }
    }

    /// These rows and `added`.
    pub(super) fn merged_with(&self, added: &Self) -> Self {
        let mut runs = self.runs.clone();
        for run in added.runs.iter().filter(|run| run.len() > 0) {
            let mut run = Arc::clone(run);
            // A new run is merged with the runs before it until the run before is long enough; so
            // each row is copied a logarithmic number of times.
            while let Some(last) = runs.pop_if(|last| last.len() < MIN_RUN_RATIO * run.len()) {
                run = Arc::new(last.merged_with(&run));
            }
            runs.push(run);
        }
        Self { runs }
    }

    /// The rows of the persons at positions that `is_included` accepts.
    pub(super) fn filtered(&self, is_included: impl Fn(u32) -> bool) -> Self {
        let runs = self
            .runs
            .iter()
            .map(|run| Arc::new(run.filtered(&is_included)));
        Self {
            runs: runs.filter(|run| run.len() > 0).collect(),
        }
    }

    /// The rows of the persons at `positions`, renumbered 0, 1, 2 and so on.
    pub(super) fn select(&self, positions: &[u32]) -> Self {
        let runs = self.runs.iter().map(|run| Arc::new(run.select(positions)));
        Self {
            runs: runs.collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.iter().all(|run| run.len() == 0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes()).sum()
    }

    /// Adds the positions of persons with rows in the spans.
    pub(super) fn collect_positions(&self, spans: &Spans<'_>, positions: &mut RoaringBitmap) {
        for run in &self.runs {
            positions.extend(run.positions_in(spans));
        }
    }

    /// Calls `note` for each row that is visible at `as_of`, lies in the window and belongs to a
    /// person at `positions`, with the index of the person in `positions`, the run and the row in
    /// it.
    pub(super) fn for_each_row(
        &self,
        positions: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
        mut note: impl FnMut(usize, &Run, usize),
    ) {
        for run in &self.runs {
            run.for_each_row(positions, window, as_of, |number, row| {
                note(number, run, row)
            });
        }
    }

    /// For each person at `positions` the number of rows that are visible at `as_of` and lie in the
    /// window.
    pub(super) fn counts(
        &self,
        positions: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
    ) -> Vec<i64> {
        let mut counts = vec![0; positions.len()];
        for run in &self.runs {
            run.count(positions, window, as_of, &mut counts);
        }
        counts
    }
}
