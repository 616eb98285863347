//! The table for some conditions, from what is kept and what is read for them.

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
use super::table::{Column, ResidentTable};
use super::{Key, PeopleCache};
use crate::criteria::behaviour::{EvaluationContext, Source};
use crate::tables::traits::is_trait;

/// What conditions want.
pub(crate) struct CacheRequest<'a> {
    pub(crate) viewpoint: EvaluationContext,
    /// The persons who are asked about, whom alone the session knows; all where there are none.
    pub(crate) among: Option<&'a RoaringTreemap>,
    /// Columns of `people` that they name.
    pub(crate) columns: &'a [String],
    /// What else they ask for.
    pub(crate) sources: Vec<(String, Source<'a>)>,
}

impl PeopleCache {
    /// The table that conditions are evaluated over; `None` where rows that it takes are not there.
    pub(crate) async fn table(
        &self,
        state: &SessionState,
        wants: CacheRequest<'_>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let as_of = wants.viewpoint.as_of;
        let mut held = self.held.lock().await;
        let sources = || wants.sources.iter().map(|(_, source)| source);
        if held.is_too_much || held.lacks(sources()) {
            return Ok(None);
        }
        let persons = self.persons(&mut held).await?;
        let held = &mut *held;
        // What a session reads that knows some alone is nothing to keep.
        let mut of_some = wants.among.map(|_| held.columns.clone());
        let mut reading = Reading {
            state,
            // What is kept hides nothing that is yet to come.
            all: match wants.among {
                Some(_) => state,
                None => &self.all,
            },
            persons: &persons,
            as_of,
            columns: of_some.as_mut().unwrap_or(&mut held.columns),
        };
        let mut columns = vec![Column::persons()];
        for (name, column) in reading.named(wants.columns).await? {
            columns.push(Column::held(name, column));
        }
        for (name, source) in wants.sources {
            columns.push(match source {
                Source::Activities(counted) => {
                    let all = held.activities.as_ref();
                    let series = all.and_then(|all| all.of(&counted.kind));
                    Column::counted(name, series, counted)
                }
                Source::Rows(relation, figured) => {
                    let series = held.series.get(relation).map(Arc::clone);
                    Column::figured(name, series, figured)
                }
                Source::Query(sql) => Column::held(name, reading.kept(sql).await?),
                Source::Members(table) => {
                    let sql = format!("select person_id, true from {table}");
                    Column::held(name, reading.column(&sql).await?)
                }
            });
        }
        held.make_room(as_of, self.most);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
        let (persons, columns) = match wants.among {
            Some(some) => {
                let places = persons.places(some);
                let columns = Column::picked(columns, &places)?;
                (Arc::new(persons.picked(&places)), columns)
            }
            None => (persons, columns),
        };
        Ok(Some(ResidentTable::provider(
            persons,
            columns,
            wants.viewpoint,
        )?))
    }
}

/// Columns that are read where they are not there yet.
struct Reading<'a> {
    state: &'a SessionState,
    /// Where times that may lie ahead are read.
    all: &'a SessionState,
    persons: &'a Persons,
    as_of: Timestamp,
    columns: &'a mut HashMap<Key, ArrayRef>,
}

impl Reading<'_> {
    /// Columns of `people`, read together.
    async fn named(&mut self, names: &[String]) -> Result<Vec<(String, ArrayRef)>> {
        let as_of = self.as_of;
        let key = |name: &String| Key {
            column: name.clone(),
            as_of: is_trait(name).then_some(as_of),
        };
        let missing = names
            .iter()
            .filter(|name| !self.columns.contains_key(&key(name)));
        let missing = missing.cloned();
        let (times, others): (Vec<String>, Vec<String>) =
            missing.partition(|name| is_null_ahead(name));
        for (state, missing) in [(self.all, times), (self.state, others)] {
            if !missing.is_empty() {
                let read = self.persons.named(state, &missing).await?;
                self.columns.extend(missing.iter().map(key).zip(read));
            }
        }
        let found = names.iter().map(|name| {
            let column = self.columns.get(&key(name)).expect("it was just read");
            let column = match is_null_ahead(name) {
                true => without_later(column, as_of)?,
                false => Arc::clone(column),
            };
            Ok((name.clone(), column))
        });
        found.collect()
    }

    /// What a query gives after the person, read unless that was asked before.
    async fn kept(&mut self, sql: String) -> Result<ArrayRef> {
        let key = Key {
            column: sql,
            as_of: Some(self.as_of),
        };
        if let Some(known) = self.columns.get(&key) {
            return Ok(Arc::clone(known));
        }
        let column = self.column(&key.column).await?;
        self.columns.insert(key, Arc::clone(&column));
        Ok(column)
    }

    async fn column(&self, sql: &str) -> Result<ArrayRef> {
        let mut read = self.persons.columns(self.state, sql).await?;
        Ok(read.pop().expect("it has a column beside the person"))
    }
}

/// Whether it is a time of persons that is null while it lies ahead.
fn is_null_ahead(name: &str) -> bool {
    let column = PERSONS.column(name);
    column.is_some_and(|column| PERSONS.is_null_ahead(column))
}

fn without_later(times: &ArrayRef, as_of: Timestamp) -> Result<ArrayRef> {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let is_ahead = BooleanArray::from_unary(times, |at| at > as_of.micros());
    match is_ahead.has_true() {
        true => Ok(nullif(times, &is_ahead)?),
        false => Ok(Arc::new(times.clone())),
    }
}
