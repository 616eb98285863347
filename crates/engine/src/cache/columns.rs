//! The persons of a snapshot, and columns that have a value for each of them.

use std::collections::{BTreeSet, HashSet};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array,
};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use roaring::RoaringTreemap;

use crate::sql::statement::{template, to_plan};

/// Everybody, in order.
#[derive(Debug)]
pub(super) struct Persons {
    ids: Vec<i64>,
}

impl Persons {
    pub(super) async fn read(state: &SessionState) -> Result<Self> {
        let mut ids = Vec::new();
        let mut batches = rows(state, "select person_id from people").await?;
        while let Some(batch) = batches.try_next().await? {
            ids.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
        ids.sort_unstable();
        if u32::try_from(ids.len()).is_err() {
            let message = "more persons than are kept in memory".to_owned();
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        Ok(Self { ids })
    }

    pub(super) fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// The place of a person; `near` is where the one before was found.
    pub(super) fn place(&self, person: i64, near: usize) -> Option<usize> {
        match self.ids.get(near..near + 2) {
            Some([same, _]) if *same == person => Some(near),
            Some([_, next]) if *next == person => Some(near + 1),
            _ => self.ids.binary_search(&person).ok(),
        }
    }

    /// The same with those who came after all others; `None` where of `changed` anybody went, or came
    /// between others. `now` are those of `changed` who are there.
    pub(super) fn with(&self, changed: &RoaringTreemap, now: &Self) -> Option<Self> {
        let is_there = |id: i64| self.ids.binary_search(&id).is_ok();
        let changed = changed.iter().filter_map(|id| i64::try_from(id).ok());
        let last = self.ids.last().copied().unwrap_or_default();
        let (known, new) = now.ids.split_at(now.ids.partition_point(|id| *id <= last));
        let goes_on = changed.filter(|id| is_there(*id)).eq(known.iter().copied());
        goes_on.then(|| Self {
            ids: [self.ids.as_slice(), new].concat(),
        })
    }

    /// Of everybody, whether they are among some.
    pub(super) fn are(&self, some: &RoaringTreemap) -> BooleanArray {
        let mut are = BooleanBufferBuilder::new(self.ids.len());
        are.append_n(self.ids.len(), false);
        for place in self.places(some) {
            are.set_bit(place as usize, true);
        }
        BooleanArray::from(are.finish())
    }

    /// The places of some, as far as they are there.
    pub(super) fn places(&self, some: &RoaringTreemap) -> Vec<u32> {
        let (mut near, mut places) = (0, Vec::new());
        for id in some.iter().filter_map(|id| i64::try_from(id).ok()) {
            if let Some(place) = self.place(id, near) {
                near = place;
                places.extend(u32::try_from(place));
            }
        }
        places
    }

    /// Those at some places alone.
    pub(super) fn picked(&self, places: &[u32]) -> Self {
        let ids = places.iter().map(|place| self.ids[*place as usize]);
        Self { ids: ids.collect() }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.ids.as_slice())
    }

    /// Columns of `people`.
    pub(super) async fn named(
        &self,
        state: &SessionState,
        names: &[String],
    ) -> Result<Vec<ArrayRef>> {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let sql = format!("select person_id, {} from people", quoted.join(", "));
        self.columns(state, &sql).await
    }

    /// What a query gives after the person, with a value for everybody: null for those whom it
    /// does not name.
    pub(super) async fn columns(&self, state: &SessionState, sql: &str) -> Result<Vec<ArrayRef>> {
        let mut batches = rows(state, sql).await?;
        let schema = batches.schema();
        let mut all = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            all.push(batch);
        }
        let all: RecordBatch = concat_batches(&schema, &all)?;
        let mut rows: Vec<Option<u32>> = vec![None; self.ids.len()];
        let mut near = 0;
        let persons = all.column(0).as_primitive::<Int64Type>().values();
        for (row, person) in (0_u32..).zip(persons) {
            if let Some(place) = self.place(*person, near) {
                rows[place] = Some(row);
                near = place;
            }
        }
        let rows = UInt32Array::from(rows);
        let columns = all.columns().iter().skip(1);
        columns
            .map(|column| Ok(take(column.as_ref(), &rows, None)?))
            .collect()
    }
}

/// The different texts of a column, at most so many; `None` where it has no texts.
pub(super) fn distinct(column: &ArrayRef, most: usize) -> Option<BTreeSet<String>> {
    let texts = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            cast(column, &DataType::Utf8View).ok()?
        }
        _ => return None,
    };
    let mut found: HashSet<&str> = HashSet::new();
    for text in texts.as_string_view().iter().flatten() {
        if found.len() == most {
            break;
        }
        found.insert(text);
    }
    Some(found.into_iter().map(str::to_owned).collect())
}

/// The rows of a query of our own.
pub(super) async fn rows(state: &SessionState, sql: &str) -> Result<SendableRecordBatchStream> {
    // Texts of users are parts of it, and are read as they are anywhere else.
    let plan = to_plan(state, template(sql)?).await?;
    let plan = state.create_physical_plan(&plan).await?;
    execute_stream(plan, state.task_ctx())
}
