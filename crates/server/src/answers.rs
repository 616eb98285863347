//! What is answered, type by type: the document describes these, and nothing else is sent.

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

/// Rows that a query of ours gave, as their type.
pub(crate) fn typed<T: DeserializeOwned>(rows: Value) -> Result<T, Problem> {
    serde_json::from_value(rows).map_err(|error| {
        tracing::error!(%error, "a query gives other columns than the document says");
        Problem::internal()
    })
}
