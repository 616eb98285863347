//! The persons of a snapshot, and columns with one value for each of them.

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

/// The ids of all persons, sorted.
#[derive(Debug)]
pub(super) struct Persons {
    ids: Vec<i64>,
}

impl Persons {
    /// Reads the ids of all persons.
    ///
    /// # Errors
    /// `ResourcesExhausted` for more persons than fit into `u32`, and any error of the query.
    pub(super) async fn read(state: &SessionState) -> Result<Self> {
        let mut ids = Vec::new();
        let mut batches = rows(state, "select person_id from people").await?;
        while let Some(batch) = batches.try_next().await? {
            ids.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
        ids.sort_unstable();
        if u32::try_from(ids.len()).is_err() {
            let message = "the cache cannot hold so many persons".to_owned();
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        Ok(Self { ids })
    }

    pub(super) fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// The position of a person, if the person exists; `hint` is the position that was found
    /// before.
    pub(super) fn position(&self, person: i64, hint: usize) -> Option<usize> {
        match self.ids.get(hint..hint + 2) {
            Some([same, _]) if *same == person => Some(hint),
            Some([_, next]) if *next == person => Some(hint + 1),
            _ => self.ids.binary_search(&person).ok(),
        }
    }

    /// These persons and the new ones after them. `None` if a person of `changed` was removed, or
    /// came between others; `now` are the persons of `changed` that exist now.
    pub(super) fn with_new(&self, changed: &RoaringTreemap, now: &Self) -> Option<Self> {
        let exists = |id: i64| self.ids.binary_search(&id).is_ok();
        let changed = changed.iter().filter_map(|id| i64::try_from(id).ok());
        let last = self.ids.last().copied().unwrap_or_default();
        let (known, new) = now.ids.split_at(now.ids.partition_point(|id| *id <= last));
        let is_unmoved = changed.filter(|id| exists(*id)).eq(known.iter().copied());
        is_unmoved.then(|| Self {
            ids: [self.ids.as_slice(), new].concat(),
        })
    }

    /// One boolean for each person: whether `some` contains the person.
    pub(super) fn mask_of(&self, some: &RoaringTreemap) -> BooleanArray {
        let mut mask = BooleanBufferBuilder::new(self.ids.len());
        mask.append_n(self.ids.len(), false);
        for position in self.positions(some) {
            mask.set_bit(position as usize, true);
        }
        BooleanArray::from(mask.finish())
    }

    /// The positions of those persons of `some` that exist.
    pub(super) fn positions(&self, some: &RoaringTreemap) -> Vec<u32> {
        let (mut hint, mut positions) = (0, Vec::new());
        for id in some.iter().filter_map(|id| i64::try_from(id).ok()) {
            if let Some(position) = self.position(id, hint) {
                hint = position;
                positions.extend(u32::try_from(position));
            }
        }
        positions
    }

    /// The persons at some positions.
    pub(super) fn select(&self, positions: &[u32]) -> Self {
        let ids = positions
            .iter()
            .map(|position| self.ids[*position as usize]);
        Self { ids: ids.collect() }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.ids.as_slice())
    }

    /// Values of columns of `people`.
    ///
    /// # Errors
    /// Any error of the query.
    pub(super) async fn load_people_columns(
        &self,
        state: &SessionState,
        names: &[String],
    ) -> Result<Vec<ArrayRef>> {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let sql = format!("select person_id, {} from people", quoted.join(", "));
        self.load_columns(state, &sql).await
    }

    /// The columns after `person_id` of a query's result, with one value for each person: null for
    /// persons without a row.
    ///
    /// # Errors
    /// Any error of the query.
    pub(super) async fn load_columns(
        &self,
        state: &SessionState,
        sql: &str,
    ) -> Result<Vec<ArrayRef>> {
        let mut batches = rows(state, sql).await?;
        let schema = batches.schema();
        let mut all = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            all.push(batch);
        }
        let all: RecordBatch = concat_batches(&schema, &all)?;
        let mut rows: Vec<Option<u32>> = vec![None; self.ids.len()];
        let mut hint = 0;
        let persons = all.column(0).as_primitive::<Int64Type>().values();
        for (row, person) in (0_u32..).zip(persons) {
            if let Some(position) = self.position(*person, hint) {
                rows[position] = Some(row);
                hint = position;
            }
        }
        let rows = UInt32Array::from(rows);
        let columns = all.columns().iter().skip(1);
        columns
            .map(|column| Ok(take(column.as_ref(), &rows, None)?))
            .collect()
    }
}

/// At most `max_count` distinct texts of a column; `None` if the column has no texts.
pub(super) fn distinct(column: &ArrayRef, max_count: usize) -> Option<BTreeSet<String>> {
    let texts = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            cast(column, &DataType::Utf8View).ok()?
        }
        _ => return None,
    };
    let mut found: HashSet<&str> = HashSet::new();
    for text in texts.as_string_view().iter().flatten() {
        if found.len() == max_count {
            break;
        }
        found.insert(text);
    }
    Some(found.into_iter().map(str::to_owned).collect())
}

/// The rows of a query that the cache writes itself.
///
/// # Errors
/// Any error of parsing and planning.
pub(super) async fn rows(state: &SessionState, sql: &str) -> Result<SendableRecordBatchStream> {
    // Texts of users are parts of the query, and are parsed as in any other query.
    let plan = to_plan(state, template(sql)?).await?;
    let plan = state.create_physical_plan(&plan).await?;
    execute_stream(plan, state.task_ctx())
}
