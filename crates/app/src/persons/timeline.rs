//! Timeline: the events of one person, newest first, in pages.

use rollbook_engine::Parameter;
use rollbook_model::{SnapshotNumber, Timestamp, whole};
use rollbook_queries::persons::{RECORDS, TIMELINE};
use serde::Serialize;
use serde_json::Value;

use super::missing_person;
use crate::rows::objects;
use crate::{AppError, Workspace};

/// Events per page at most.
const MAX_EVENTS: u64 = 1_000;

/// A page of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// The events, newest first.
    pub events: Vec<Value>,
    /// Token of the next page; `None` on the last one.
    pub next: Option<String>,
    /// The snapshot of the data, the same for all pages.
    pub snapshot: SnapshotNumber,
}

/// Which events to return.
#[derive(Debug, Clone, Default)]
pub struct TimelineQuery {
    /// Only events of this type.
    pub kind: Option<String>,
    /// Events per page, 1 to 1,000; 100 by default.
    pub limit: Option<u64>,
    /// The token of the page before.
    pub next: Option<String>,
}

/// Position of a page, with the snapshot and moment of all pages.
struct PagePosition {
    snapshot: SnapshotNumber,
    as_of: Timestamp,
    after: u64,
}

impl PagePosition {
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
            // Rejects times outside the supported years.
            as_of: as_of.to_string().parse().ok()?,
            after: whole(parts.next()?)?,
        })
    }
}

/// A page of a person's events.
///
/// # Errors
/// There is no lake; [`AppError::ForgedPageToken`] for a malformed token; its snapshot expired;
/// [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; [`AppError::BoundKey`].
pub async fn timeline(
    workspace: &Workspace,
    person: i64,
    query: &TimelineQuery,
    as_of: Timestamp,
) -> Result<Timeline, AppError> {
    workspace.require("persons::timeline::timeline")?;
    let lake = workspace.lake().await?;
    let next = query.next.as_deref().map(|next| {
        let next = PagePosition::parse(next);
        next.ok_or(AppError::ForgedPageToken)
    });
    let next = next.transpose()?;
    let state = workspace
        .state(&lake, next.as_ref().map(|next| next.snapshot))
        .await?;
    workspace
        .require_person(&lake, &lake.head().await?, person)
        .await?;
    // Erased persons are unknown, also on later pages of a timeline that began before.
    let gone = lake
        .person_redirects(lake.head().await?.person_redirects_path())
        .await?;
    if gone.resolves_to_erased(person.unsigned_abs()) {
        return Err(missing_person(workspace, person, as_of).await?);
    }
    let as_of = next.as_ref().map_or(as_of, |next| next.as_of);
    let after = next.map_or(0, |next| next.after);
    let session = workspace.session(&lake, &state, as_of).await?;
    let id = [("person_id", Parameter::Int(person))];
    let records = session.query_with(RECORDS, &id).await?;
    if records.batches.iter().all(|batch| batch.num_rows() == 0) {
        return Err(missing_person(workspace, person, as_of).await?);
    }
    let limit = query.limit.unwrap_or(100).clamp(1, MAX_EVENTS);
    let until = after.saturating_add(limit);
    let number = |number: u64| Parameter::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let named = [
        ("person_id", Parameter::Int(person)),
        ("type", Parameter::Text(query.kind.clone())),
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
