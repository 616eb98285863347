//! Queries for the persons who meet conditions.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use roaring::RoaringTreemap;
use rollbook_engine::{Clause, Condition, EngineError, PersonQuery, Rows};
use rollbook_model::SegmentKey;
use rollbook_model::config::BATCH_ROWS;

use super::batch_ids::BatchIds;
use super::{Evaluation, MemberTables, Needed, Waiting};
use crate::criteria::Criteria;
use crate::error::SegmentError;
use crate::evaluation::unique_clauses::{ClauseResults, ConditionTree, UniqueClauses};

/// Distinct clauses per query, at most.
const TOGETHER: usize = 512;

/// A query for the results of the clauses of some conditions.
pub(super) struct Asked {
    rows: Rows,
    trees: Vec<ConditionTree>,
}

/// Splits conditions into ranges of one query each.
pub(super) fn parts(conditions: &[Clause]) -> Vec<Range<usize>> {
    let (mut parts, mut begin, mut atoms) = (Vec::new(), 0, UniqueClauses::default());
    for (at, clauses) in conditions.iter().enumerate() {
        atoms.tree(clauses);
        if atoms.len() > TOGETHER && begin < at {
            parts.push(begin..at);
            (begin, atoms) = (at, UniqueClauses::default());
            atoms.tree(clauses);
        }
    }
    if begin < conditions.len() {
        parts.push(begin..conditions.len());
    }
    parts
}

/// Whether a condition may be answered as a whole where its clauses could not, one by one.
pub(super) fn may_succeed_as_whole(error: &EngineError) -> bool {
    !matches!(
        error,
        EngineError::TimeExhausted { .. } | EngineError::MemoryInUse | EngineError::Storage { .. }
    )
}

impl Evaluation<'_> {
    /// The members of each of some conditions, in one pass; a clause that several of them share is evaluated
    /// once.
    pub(super) async fn matching(
        &self,
        conditions: &[Clause],
        named: &[SegmentKey],
    ) -> Result<Vec<RoaringTreemap>, EngineError> {
        self.ask(conditions, named).await?.members().await
    }

    /// Plans and starts [`Evaluation::matching`].
    pub(super) async fn ask(
        &self,
        conditions: &[Clause],
        named: &[SegmentKey],
    ) -> Result<Asked, EngineError> {
        let mut atoms = UniqueClauses::default();
        let trees = conditions.iter().map(|clauses| atoms.tree(clauses));
        let trees = trees.collect();
        let (tables, atoms) = (self.tables(named)?, atoms.into_conditions());
        let rows = self.session.people_matching(atoms, tables).await?;
        Ok(Asked { rows, trees })
    }

    /// Whether the condition of a segment can be planned as a whole.
    pub(super) async fn can_be_planned(&self, one: &Waiting) -> bool {
        match (&one.criteria, self.tables(&one.needed.named)) {
            (Criteria::Expression(condition), Ok(tables)) => {
                self.session.check(condition, tables).await.is_ok()
            }
            _ => false,
        }
    }

    /// The members of one condition.
    pub(super) async fn alone(
        &self,
        condition: &Condition,
        needed: &Needed,
    ) -> Result<RoaringTreemap, SegmentError> {
        if self.session.has_cache() && needed.is_shareable {
            let alone = [Clause::of(condition)];
            match self.matching(&alone, &needed.named).await {
                Ok(mut all) => return Ok(all.pop().unwrap_or_default()),
                Err(error) if !may_succeed_as_whole(&error) => return Err(error.into()),
                Err(_) => {}
            }
        }
        self.whole(condition, &needed.named).await
    }

    /// The members of one condition, which is not taken apart.
    pub(super) async fn whole(
        &self,
        condition: &Condition,
        named: &[SegmentKey],
    ) -> Result<RoaringTreemap, SegmentError> {
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

    /// The members that a query gives.
    pub(super) async fn selected(
        &self,
        query: &PersonQuery,
    ) -> Result<RoaringTreemap, SegmentError> {
        let mut rows = self.session.select_person_ids(query).await?;
        Ok(collect(&mut rows).await?)
    }
}

impl Asked {
    /// The members of each condition.
    pub(super) async fn members(mut self) -> Result<Vec<RoaringTreemap>, EngineError> {
        let mut all = vec![RoaringTreemap::new(); self.trees.len()];
        while let Some(batch) = self.rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let ids = BatchIds::new(ids);
            let met = ClauseResults::of(&batch);
            for (members, tree) in all.iter_mut().zip(&self.trees) {
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
