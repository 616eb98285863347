//! Criteria: a condition on people, or a query for them, parsed once.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;
use rollbook_engine::{Condition, PersonQuery, is_select};
use rollbook_model::config::Limits;

use crate::error::SegmentError;

/// Who belongs to a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criteria {
    /// A condition on the columns of `people`.
    Expression(Condition),
    /// A query that gives one column `person_id`.
    Select(PersonQuery),
}

/// What an edit of criteria would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// How many persons belong, exactly.
    pub count: u64,
    /// The lowest of their ids, in order.
    pub sample: Vec<u64>,
}

impl Criteria {
    /// Parses criteria; a query is told from a condition by its first word. Whether the tenant has
    /// the columns is found when they are evaluated.
    ///
    /// # Errors
    /// [`SegmentError::EmptyCriteria`]; [`SegmentError::Criteria`], with the position in the text, where
    /// they exceed a limit, or are neither a condition nor a query.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, SegmentError> {
        if text.trim().is_empty() {
            return Err(SegmentError::EmptyCriteria);
        }
        Ok(match is_select(text) {
            true => Self::Select(PersonQuery::parse(text, limits)?),
            false => Self::Expression(Condition::parse(text, limits)?),
        })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        match self {
            Self::Expression(condition) => condition.source(),
            Self::Select(query) => query.source(),
        }
    }

    /// Those of some columns that they name. A query may mean a column of another table than `people`.
    pub fn names_among(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        match self {
            Self::Expression(condition) => condition.names_among(wanted),
            Self::Select(query) => query.names_among(wanted),
        }
    }
}

/// The exact count, and the `sample` lowest ids, of some members.
pub fn preview(members: &RoaringTreemap, sample: usize) -> Preview {
    Preview {
        count: members.len(),
        sample: members.iter().take(sample).collect(),
    }
}
