//! Types of answers, which the OpenAPI document describes.

mod identity;
mod people;
mod persons;
mod questions;
mod segments;

pub(crate) use identity::{Followed, Forgotten, Found, Reviews, Stats};
pub(crate) use people::People;
pub(crate) use persons::{EventType, Person, Timeline};
pub(crate) use questions::{Calendar, Clause, Explanation, Impact, NearMiss, Overlap, Reach};
pub(crate) use segments::{Changes, Counted, HistoryEntry, Outcome, SegmentChange};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// Parses rows of a built-in query into their type.
///
/// # Errors
/// 500 if the query has other columns than the type; the log names them.
pub(crate) fn typed<T: DeserializeOwned>(rows: Value) -> Result<T, Problem> {
    serde_json::from_value(rows).map_err(|error| {
        tracing::error!(%error, "a query returns other columns than the document describes");
        Problem::internal()
    })
}
