//! Many conditions over one set of distinct clauses: each clause is evaluated once, and the conditions are
//! combined from the results by three-valued logic.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and_kleene, not, or_kleene};
use arrow::error::ArrowError;
use rollbook_engine::{Clause, Condition};

/// The distinct atomic clauses of some conditions.
#[derive(Debug, Default)]
pub(crate) struct UniqueClauses {
    conditions: Vec<Condition>,
    places: HashMap<Condition, usize>,
}

/// A condition over [`UniqueClauses`].
#[derive(Debug)]
pub(crate) enum ConditionTree {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Atom(usize),
}

impl UniqueClauses {
    /// Adds the clauses of a condition.
    pub(crate) fn tree(&mut self, clause: &Clause) -> ConditionTree {
        let mut parts = |parts: &[Clause]| parts.iter().map(|part| self.tree(part)).collect();
        match clause {
            Clause::All(all) => ConditionTree::All(parts(all)),
            Clause::Any(any) => ConditionTree::Any(parts(any)),
            Clause::Not(part) => ConditionTree::Not(Box::new(self.tree(part))),
            Clause::Atom(atom) => {
                let count = self.conditions.len();
                let condition = &atom.condition;
                let at = *self.places.entry(condition.clone()).or_insert(count);
                if at == count {
                    self.conditions.push(condition.clone());
                }
                ConditionTree::Atom(at)
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.conditions.len()
    }

    /// Each of them.
    pub(crate) fn into_conditions(self) -> Vec<Condition> {
        self.conditions
    }
}

/// The results of the clauses for the persons of a batch: its columns after the first.
pub(crate) struct ClauseResults(Vec<BooleanArray>);

impl ClauseResults {
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let columns = batch.columns().iter().skip(1);
        // A clause that is null for everybody has no type of its own.
        let met = |column: &ArrayRef| match column.as_boolean_opt() {
            Some(met) => met.clone(),
            None => BooleanArray::new_null(column.len()),
        };
        Self(columns.map(met).collect())
    }

    /// The result of a condition.
    pub(crate) fn tree(&self, tree: &ConditionTree) -> Result<BooleanArray, ArrowError> {
        match tree {
            ConditionTree::Atom(at) => Ok(self.0[*at].clone()),
            ConditionTree::Not(part) => not(&self.tree(part)?),
            ConditionTree::All(parts) => self.joined(parts, and_kleene),
            ConditionTree::Any(parts) => self.joined(parts, or_kleene),
        }
    }

    fn joined(
        &self,
        parts: &[ConditionTree],
        join: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
    ) -> Result<BooleanArray, ArrowError> {
        let mut parts = parts.iter();
        let first = parts.next().expect("what is joined has parts");
        let mut joined = self.tree(first)?;
        for part in parts {
            joined = join(&joined, &self.tree(part)?)?;
        }
        Ok(joined)
    }
}
