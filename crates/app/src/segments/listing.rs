//! Segments with their size and freshness.

use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::membership::persons_now;
use rollbook_segments::{Definition, Freshness};
use serde::Serialize;

use super::freshness::{SegmentState, freshness_of_all};
use crate::{AppError, Workspace};

/// A segment with its size and freshness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSegment {
    /// The definition.
    #[serde(flatten)]
    pub definition: Definition,
    /// Number of members; `None` before the first refresh.
    pub count: Option<u64>,
    /// The snapshot of the data that it was computed from.
    pub snapshot: Option<SnapshotNumber>,
    /// The moment that it was computed for.
    pub as_of: Option<Timestamp>,
    /// The time of the refresh.
    pub computed_at: Option<Timestamp>,
    /// Whether it is up to date, and if not, why.
    #[serde(flatten)]
    pub freshness: Freshness,
    /// Whether the criteria are masked for the caller.
    #[serde(skip)]
    pub is_masked: bool,
}

/// All segments in order of key, with their freshness at `now`.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn list(workspace: &Workspace, now: Timestamp) -> Result<Vec<ListedSegment>, AppError> {
    workspace.require("segments::listing::list")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definitions = workspace.definitions(&lake, &state).await?;
    listed(workspace, &lake, &state, definitions, now).await
}

/// One segment with its freshness at `now`.
///
/// # Errors
/// There is no lake; the segment does not exist.
pub async fn show(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<ListedSegment, AppError> {
    workspace.require("segments::listing::show")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definition = workspace.definition(&lake, &state, key).await?;
    let listed = listed(workspace, &lake, &state, vec![definition], now).await?;
    let one = listed.into_iter().next();
    Ok(one.expect("one definition is listed once"))
}

/// The freshness of one segment at `now`.
///
/// # Errors
/// There is no lake; the segment does not exist.
pub async fn freshness_at(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<Freshness, AppError> {
    workspace.require("segments::listing::freshness_at")?;
    Ok(show(workspace, key, now).await?.freshness)
}

/// A revision that was just saved, with its freshness at `now`, even if others saved newer ones since.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn saved(
    workspace: &Workspace,
    definition: Definition,
    now: Timestamp,
) -> Result<ListedSegment, AppError> {
    workspace.require("segments::listing::saved")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let listed = listed(workspace, &lake, &state, vec![definition], now).await?;
    let one = listed.into_iter().next();
    Ok(one.expect("one definition is listed once"))
}

async fn listed(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    definitions: Vec<Definition>,
    now: Timestamp,
) -> Result<Vec<ListedSegment>, AppError> {
    let mut states = Vec::new();
    for definition in &definitions {
        let mut one = SegmentState::of(state, definition.scheduled())?;
        if let Some(known) = one
            .refreshed
            .as_mut()
            .filter(|one| !one.has_same_ids(state))
        {
            known.count = persons_now(lake, state, known).await?.len();
        }
        states.push(one);
    }
    let freshness = freshness_of_all(workspace, lake, state, &states, now).await;
    let all = definitions.into_iter().zip(states).zip(freshness);
    let listed = |((definition, state), freshness): ((Definition, SegmentState), Freshness)| {
        let refreshed = state.refreshed.as_ref();
        ListedSegment {
            freshness: workspace.shown_freshness(freshness),
            is_masked: workspace.is_bound(),
            count: refreshed.map(|refreshed| refreshed.count),
            snapshot: refreshed.map(|refreshed| refreshed.snapshot),
            as_of: refreshed.map(|refreshed| refreshed.as_of),
            computed_at: refreshed.map(|refreshed| refreshed.computed_at),
            definition,
        }
    };
    Ok(all.map(listed).collect())
}
