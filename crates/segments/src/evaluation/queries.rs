//! Queries for the persons who meet conditions.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Rows};
use rollbook_model::SegmentKey;
use rollbook_model::config::BATCH_ROWS;

use super::batch_ids::BatchIds;
use super::{Evaluation, MemberTables};
use crate::error::SegmentError;
use crate::evaluation::unique_clauses::{ClauseResults, UniqueClauses};

/// Distinct clauses per query, at most.
const TOGETHER: usize = 512;

impl Evaluation<'_> {
    /// Splits conditions into ranges of one query each.
    pub(super) fn parts(&self, conditions: &[String]) -> Result<Vec<Range<usize>>, SegmentError> {
        let (mut parts, mut begin, mut atoms) = (Vec::new(), 0, UniqueClauses::default());
        for (at, condition) in conditions.iter().enumerate() {
            let clauses = self.session.clauses(condition)?;
            atoms.tree(&clauses);
            if atoms.len() > TOGETHER && begin < at {
                parts.push(begin..at);
                (begin, atoms) = (at, UniqueClauses::default());
                atoms.tree(&clauses);
            }
        }
        if begin < conditions.len() {
            parts.push(begin..conditions.len());
        }
        Ok(parts)
    }

    /// The members of each of some conditions, in one pass; a clause that several of them share is evaluated
    /// once.
    pub(super) async fn matching(
        &self,
        conditions: &[String],
        named: &[SegmentKey],
    ) -> Result<Vec<RoaringTreemap>, SegmentError> {
        let (mut atoms, mut trees) = (UniqueClauses::default(), Vec::new());
        for condition in conditions {
            trees.push(atoms.tree(&self.session.clauses(condition)?));
        }
        let (tables, texts) = (self.tables(named)?, atoms.into_texts());
        let mut rows = self.session.people_matching(texts, tables).await?;
        let mut all = vec![RoaringTreemap::new(); conditions.len()];
        while let Some(batch) = rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let ids = BatchIds::new(ids);
            let met = ClauseResults::of(&batch);
            for (members, tree) in all.iter_mut().zip(&trees) {
                let meets = met.tree(tree).map_err(|source| EngineError::Setup {
                    source: Box::new(source.into()),
                })?;
                let meets = match meets.nulls() {
                    None => meets.values().clone(),
                    Some(nulls) => meets.values() & nulls.inner(),
                };
                ids.note(&meets, members);
            }
        }
        Ok(all)
    }

    /// The members of one condition.
    pub(super) async fn alone(
        &self,
        condition: &str,
        named: &[SegmentKey],
    ) -> Result<RoaringTreemap, SegmentError> {
        if self.session.has_resident() && self.needs(condition)?.1 {
            let alone = [condition.to_owned()];
            // The error is reported below, with its position in the whole text.
            if let Ok(Some(members)) = self.matching(&alone, named).await.map(|mut all| all.pop()) {
                return Ok(members);
            }
        }
        let tables = self.tables(named)?;
        let mut rows = self.session.people_where_with(condition, tables).await?;
        Ok(collect(&mut rows).await?)
    }

    /// The members of segments as tables.
    pub(super) fn tables(&self, named: &[SegmentKey]) -> Result<MemberTables, EngineError> {
        let known = named
            .iter()
            .filter_map(|key| Some((key, self.known.get(key)?)));
        known
            .map(|(key, members)| Ok((key.to_string(), table(members)?)))
            .collect()
    }

    pub(super) async fn selected(&self, sql: &str) -> Result<RoaringTreemap, SegmentError> {
        let mut rows = self.session.select_person_ids(sql).await?;
        Ok(collect(&mut rows).await?)
    }
}

async fn collect(rows: &mut Rows) -> Result<RoaringTreemap, EngineError> {
    let mut members = RoaringTreemap::new();
    while let Some(batch) = rows.next_batch().await? {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        // Ids are given from 1 on, so a negative one is nobody's.
        members.extend(ids.iter().flatten().filter_map(|id| u64::try_from(id).ok()));
    }
    Ok(members)
}

/// Members as a table with the column `person_id`.
fn table(members: &RoaringTreemap) -> Result<Arc<dyn TableProvider>, EngineError> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "person_id",
        DataType::Int64,
        false,
    )]));
    let ids: Vec<i64> = members.iter().map(u64::cast_signed).collect();
    let batch = |ids: &[i64]| {
        let ids = Arc::new(Int64Array::from(ids.to_vec()));
        RecordBatch::try_new(Arc::clone(&schema), vec![ids])
    };
    let batches = ids
        .chunks(BATCH_ROWS)
        .map(batch)
        .collect::<Result<Vec<_>, _>>();
    let table = batches
        .map_err(Into::into)
        .and_then(|batches| MemTable::try_new(Arc::clone(&schema), vec![batches]));
    let table = table.map_err(|source| EngineError::Setup {
        source: Box::new(source),
    })?;
    Ok(Arc::new(table))
}
