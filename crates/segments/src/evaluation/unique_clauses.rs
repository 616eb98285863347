//! Many conditions as one set of clauses: a clause that several of them have is evaluated once, and
//! they are put together from what it comes to, by the logic of three values.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and_kleene, not, or_kleene};
use arrow::error::ArrowError;
use rollbook_engine::Clause;

/// The different clauses without parts of some conditions.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    texts: Vec<String>,
    places: HashMap<String, usize>,
}

/// A condition over [`Atoms`].
#[derive(Debug)]
pub(crate) enum Tree {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Atom(usize),
}

impl Atoms {
    /// Notes the clauses of a condition.
    pub(crate) fn tree(&mut self, clause: &Clause) -> Tree {
        let mut parts = |parts: &[Clause]| parts.iter().map(|part| self.tree(part)).collect();
        match clause {
            Clause::All(all) => Tree::All(parts(all)),
            Clause::Any(any) => Tree::Any(parts(any)),
            Clause::Not(part) => Tree::Not(Box::new(self.tree(part))),
            Clause::Atom(atom) => {
                let count = self.texts.len();
                let at = *self.places.entry(atom.text.clone()).or_insert(count);
                if at == count {
                    self.texts.push(atom.text.clone());
                }
                Tree::Atom(at)
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Each of them, as a condition.
    pub(crate) fn into_texts(self) -> Vec<String> {
        self.texts
    }
}

/// What the clauses come to for the persons of a batch: its columns after the first.
pub(crate) struct Met(Vec<BooleanArray>);

impl Met {
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let columns = batch.columns().iter().skip(1);
        // A clause that is never known has no type of its own.
        let met = |column: &ArrayRef| match column.as_boolean_opt() {
            Some(met) => met.clone(),
            None => BooleanArray::new_null(column.len()),
        };
        Self(columns.map(met).collect())
    }

    /// What a condition comes to.
    pub(crate) fn tree(&self, tree: &Tree) -> Result<BooleanArray, ArrowError> {
        match tree {
            Tree::Atom(at) => Ok(self.0[*at].clone()),
            Tree::Not(part) => not(&self.tree(part)?),
            Tree::All(parts) => self.joined(parts, and_kleene),
            Tree::Any(parts) => self.joined(parts, or_kleene),
        }
    }

    fn joined(
        &self,
        parts: &[Tree],
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
