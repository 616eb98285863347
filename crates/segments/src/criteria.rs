//! From criteria to members: the one path that previews, refreshes and lists share.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Rows, Session, is_select};

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

/// The ids of all members, as of the session's moment.
///
/// Every member is a row of `people`: id 0, nulls, and ids that nobody has are left out, and so
/// is a person for whom a condition is null.
///
/// # Errors
/// [`SegmentError::Criteria`], with its place in the text.
pub async fn evaluate(
    session: &Session,
    criteria: &Criteria,
) -> Result<RoaringTreemap, SegmentError> {
    let mut rows = match criteria {
        Criteria::Expression(condition) => session.people_where(condition).await?,
        Criteria::Select(sql) => session.select_person_ids(sql).await?,
    };
    collect(&mut rows).await.map_err(SegmentError::from)
}

/// The exact count, and the `sample` lowest ids, of whom [`evaluate`] gives.
///
/// # Errors
/// As [`evaluate`].
pub async fn preview(
    session: &Session,
    criteria: &Criteria,
    sample: usize,
) -> Result<Preview, SegmentError> {
    let members = evaluate(session, criteria).await?;
    Ok(Preview {
        count: members.len(),
        sample: members.iter().take(sample).collect(),
    })
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
