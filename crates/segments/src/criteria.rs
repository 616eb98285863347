//! Criteria as text: a condition on people, or a query for them.

use roaring::RoaringTreemap;
use rollbook_engine::is_select;

use crate::error::SegmentError;

/// Who belongs to a segment, in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criteria {
    /// A condition on the columns of `people`.
    Expression(String),
    /// A query that gives one column `person_id`.
    Select(String),
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
    /// Tells a query from a condition by its first word. Whether the text can be used is told
    /// when it is evaluated, since that depends on the tenant's columns.
    ///
    /// # Errors
    /// [`SegmentError::EmptyCriteria`].
    pub fn parse(text: &str) -> Result<Self, SegmentError> {
        if text.trim().is_empty() {
            return Err(SegmentError::EmptyCriteria);
        }
        let text = text.to_owned();
        Ok(if is_select(&text) {
            Self::Select(text)
        } else {
            Self::Expression(text)
        })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        match self {
            Self::Expression(text) | Self::Select(text) => text,
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
