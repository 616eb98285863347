//! The table that conditions are evaluated over: cached columns, and columns that are read for
//! these conditions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::nullif;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use roaring::RoaringTreemap;
use rollbook_model::Timestamp;
use rollbook_model::tables::PERSONS;

use super::columns::Persons;
use super::table::{CacheTable, Column};
use super::{Key, PeopleCache};
use crate::criteria::behaviour::{EvaluationContext, Source};
use crate::tables::traits::{is_consent, is_trait};

/// What conditions read from the cache.
pub(crate) struct CacheRequest<'a> {
    pub(crate) context: EvaluationContext,
    /// The persons that the session is narrowed to; `None` for all persons.
    pub(crate) persons: Option<&'a RoaringTreemap>,
    /// The columns of `people` that the conditions name.
    pub(crate) columns: &'a [String],
    /// The other columns, by name, each with the source of its values.
    pub(crate) sources: Vec<(String, Source<'a>)>,
}

impl PeopleCache {
    /// The table that conditions are evaluated over; `None` if rows that the table needs are not
    /// cached.
    ///
    /// # Errors
    /// An error of DataFusion where columns cannot be read.
    pub(crate) async fn table(
        &self,
        state: &SessionState,
        request: CacheRequest<'_>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let as_of = request.context.as_of;
        if self.is_paused() {
            return Ok(None);
        }
        self.set_used();
        let mut contents = self.contents.lock().await;
        let sources = || request.sources.iter().map(|(_, source)| source);
        if contents.exceeds_limit || contents.note_missing(sources()) {
            return Ok(None);
        }
        let persons = self.persons(&mut contents).await?;
        let contents = &mut *contents;
        // Columns of a session over few persons are not cached.
        let mut temporary_columns = request.persons.map(|_| contents.columns.clone());
        let mut loader = ColumnLoader {
            state,
            // Cached columns include times in the future.
            full_state: match request.persons {
                Some(_) => state,
                None => &self.full_state,
            },
            persons: &persons,
            as_of,
            columns: temporary_columns.as_mut().unwrap_or(&mut contents.columns),
        };
        let mut columns = vec![Column::persons()];
        for (name, column) in loader.people_columns(request.columns).await? {
            columns.push(Column::stored(name, column));
        }
        for (name, source) in request.sources {
            columns.push(match source {
                Source::Activities(counted) => {
                    let all = contents.activities.as_ref();
                    let series = all.and_then(|all| all.of(&counted.kind));
                    Column::activity_count(name, series, counted)
                }
                Source::Rows(relation, aggregate) => {
                    let series = contents.series.get(relation).map(Arc::clone);
                    Column::aggregate(name, series, aggregate)
                }
                Source::Query(sql) => Column::stored(name, loader.query_column(sql).await?),
                Source::Members(table) => {
                    let sql = format!("select person_id, true from {table}");
                    Column::stored(name, loader.load_column(&sql).await?)
                }
            });
        }
        contents.make_room(as_of, self.limit.max_bytes);
        self.reserve(contents);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.has_answered.store(true, Ordering::Relaxed);
        let (persons, columns) = match request.persons {
            Some(some) => {
                let positions = persons.positions(some);
                let columns = Column::select(columns, &positions)?;
                (Arc::new(persons.select(&positions)), columns)
            }
            None => (persons, columns),
        };
        Ok(Some(CacheTable::provider(
            persons,
            columns,
            request.context,
        )?))
    }
}

/// Reads columns that are not cached.
struct ColumnLoader<'a> {
    state: &'a SessionState,
    /// The state that reads columns with times in the future.
    full_state: &'a SessionState,
    persons: &'a Persons,
    as_of: Timestamp,
    columns: &'a mut HashMap<Key, ArrayRef>,
}

impl ColumnLoader<'_> {
    /// Columns of `people`; the missing ones are read by one query.
    async fn people_columns(&mut self, names: &[String]) -> Result<Vec<(String, ArrayRef)>> {
        let as_of = self.as_of;
        let key = |name: &String| Key {
            column: name.clone(),
            as_of: (is_trait(name) || is_consent(name)).then_some(as_of),
        };
        let missing = names
            .iter()
            .filter(|name| !self.columns.contains_key(&key(name)));
        let missing = missing.cloned();
        let (times, others): (Vec<String>, Vec<String>) =
            missing.partition(|name| hides_future(name));
        for (state, missing) in [(self.full_state, times), (self.state, others)] {
            if !missing.is_empty() {
                let read = self.persons.load_people_columns(state, &missing).await?;
                self.columns.extend(missing.iter().map(key).zip(read));
            }
        }
        let found = names.iter().map(|name| {
            let column = self.columns.get(&key(name)).expect("it was just read");
            let column = match hides_future(name) {
                true => without_future(column, as_of)?,
                false => Arc::clone(column),
            };
            Ok((name.clone(), column))
        });
        found.collect()
    }

    /// The column after `person_id` of a query, cached by its text.
    async fn query_column(&mut self, sql: String) -> Result<ArrayRef> {
        let key = Key {
            column: sql,
            as_of: Some(self.as_of),
        };
        if let Some(known) = self.columns.get(&key) {
            return Ok(Arc::clone(known));
        }
        let column = self.load_column(&key.column).await?;
        self.columns.insert(key, Arc::clone(&column));
        Ok(column)
    }

    async fn load_column(&self, sql: &str) -> Result<ArrayRef> {
        let mut read = self.persons.load_columns(self.state, sql).await?;
        Ok(read.pop().expect("it has a column beside the person"))
    }
}

/// Whether a column of `persons` is a time that is null while it lies in the future.
fn hides_future(name: &str) -> bool {
    let column = PERSONS.column(name);
    column.is_some_and(|column| PERSONS.is_null_ahead(column))
}

fn without_future(times: &ArrayRef, as_of: Timestamp) -> Result<ArrayRef> {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let is_ahead = BooleanArray::from_unary(times, |at| at > as_of.micros());
    match is_ahead.has_true() {
        true => Ok(nullif(times, &is_ahead)?),
        false => Ok(Arc::new(times.clone())),
    }
}
