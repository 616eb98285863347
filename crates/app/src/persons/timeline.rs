//! What happened with a person, page by page, the latest first.

use rollbook_engine::Parameter;
use rollbook_model::{SnapshotNumber, Timestamp, whole};
use rollbook_queries::persons::{RECORDS, TIMELINE};
use serde::Serialize;
use serde_json::Value;

use super::unknown;
use crate::rows::objects;
use crate::{AppError, Workspace};

/// Events of a page at most.
const MOST: u64 = 1_000;

/// A part of what happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// What happened, the latest first.
    pub events: Vec<Value>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
    /// The snapshot of the data; all pages are of one.
    pub snapshot: SnapshotNumber,
}

/// Which part.
#[derive(Debug, Clone, Default)]
pub struct TimelineAsked {
    /// Only events of this type.
    pub kind: Option<String>,
    /// How many at most.
    pub limit: Option<u64>,
    /// What the page before said.
    pub next: Option<String>,
}

/// Where a page begins, and what all pages are of.
struct Next {
    snapshot: SnapshotNumber,
    as_of: Timestamp,
    after: u64,
}

impl Next {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let snapshot = whole(parts.next()?)?;
        let micros = parts.next()?;
        let (sign, digits) = match micros.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, micros),
        };
        let micros = i64::try_from(whole(digits)?).ok()?;
        let as_of = Timestamp::from_micros(sign * micros);
        Some(Self {
            snapshot: SnapshotNumber(snapshot),
            // Of a year that times can be of.
            as_of: as_of.to_string().parse().ok()?,
            after: whole(parts.next()?)?,
        })
    }
}

/// What happened with a person.
pub async fn timeline(
    workspace: &Workspace,
    person: i64,
    asked: &TimelineAsked,
    as_of: Timestamp,
) -> Result<Timeline, AppError> {
    let lake = workspace.lake().await?;
    let next = asked.next.as_deref().map(|next| {
        let next = Next::parse(next);
        next.ok_or(AppError::ForgedPageToken)
    });
    let next = next.transpose()?;
    let state = workspace
        .state(&lake, next.as_ref().map(|next| next.snapshot))
        .await?;
    // Whoever was erased is unknown here too, also on pages that began before.
    let gone = lake.gone(lake.head().await?.gone()).await?;
    if gone.is_forgotten(person.unsigned_abs()) {
        return Err(unknown(workspace, person, as_of).await?);
    }
    let as_of = next.as_ref().map_or(as_of, |next| next.as_of);
    let after = next.map_or(0, |next| next.after);
    let session = workspace.session(&lake, &state, as_of).await?;
    let id = [("person_id", Parameter::Int(person))];
    let records = session.query_with(RECORDS, &id).await?;
    if records.batches.iter().all(|batch| batch.num_rows() == 0) {
        return Err(unknown(workspace, person, as_of).await?);
    }
    let limit = asked.limit.unwrap_or(100).clamp(1, MOST);
    let until = after.saturating_add(limit);
    let number = |number: u64| Parameter::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let named = [
        ("person_id", Parameter::Int(person)),
        ("type", Parameter::Text(asked.kind.clone())),
        ("after", number(after)),
        ("until", number(until.saturating_add(1))),
    ];
    let mut events = objects(&session.query_with(TIMELINE, &named).await?.batches)?;
    let is_more = events.len() as u64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Timeline {
        events,
        next: is_more.then(|| format!("{}.{}.{until}", state.number, as_of.micros())),
        snapshot: state.data,
    })
}
