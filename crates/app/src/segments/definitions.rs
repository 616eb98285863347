//! Saving and deleting segments.

use rollbook_lake::Lake;
use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::{Criteria, Definition, Draft, definition};

use super::named::NamedSegments;
use super::refresh::refresh_one;
use crate::access::Right;
use crate::{AppError, Workspace};

/// What the names of segments begin with, in the state of a lake.
const SEGMENTS: &str = "segment/";

/// Saves a segment, or a new revision of it, after checking that its criteria can be evaluated. A static
/// segment is computed at once, and never again.
///
/// # Errors
/// The key is reserved; the criteria are empty or invalid, refer to an unknown segment or to the segment
/// itself, or exceed a limit; the lake cannot be written.
pub async fn put(
    workspace: &Workspace,
    draft: &Draft,
    at: Timestamp,
) -> Result<Definition, AppError> {
    workspace.require("segments::definitions::put")?;
    let lake = workspace.lake_or_new().await?;
    let draft = &with_author(workspace, draft);
    check(workspace, &lake, draft, at).await?;
    let saved = definition::put(&lake, draft, at).await?;
    compute_if_static(workspace, saved, at).await
}

/// The draft with what its author may read. Criteria that pass [`check`] may still name personal columns, where the
/// planner finds that they do not matter yet: `now() > '2030-01-01' and email = …`. So they are never computed with
/// more than their author may read.
fn with_author(workspace: &Workspace, draft: &Draft) -> Draft {
    Draft {
        without_personal: !workspace.rights.has(Right::Pii),
        ..draft.clone()
    }
}

/// Evaluates the criteria: planning alone does not find values that cannot be computed, or segments that
/// refer to each other in a cycle.
async fn check(
    workspace: &Workspace,
    lake: &Lake,
    draft: &Draft,
    at: Timestamp,
) -> Result<(), AppError> {
    let state = lake.head().await?;
    if !state
        .names_below(SEGMENTS)
        .any(|name| name == draft.key.as_str())
    {
        let segments = state.names_below(SEGMENTS).count() as u64;
        workspace.quotas().check_segments(segments)?;
    }
    let session = workspace.cached_session(lake, &state, at).await?;
    let criteria = Criteria::parse(&draft.criteria, &workspace.limits)?;
    let known = NamedSegments::of(lake, &state, &session, &criteria).await?;
    let evaluation = known.evaluation(&session);
    let mut evaluation = evaluation.with(&draft.key, criteria);
    let key = std::slice::from_ref(&draft.key);
    evaluation.segments(key).await.pop().transpose()?;
    Ok(())
}

async fn compute_if_static(
    workspace: &Workspace,
    saved: Definition,
    at: Timestamp,
) -> Result<Definition, AppError> {
    if saved.is_static() {
        refresh_one(workspace, &saved.key, at, at, false).await?;
    }
    Ok(saved)
}

/// Creates a segment.
///
/// # Errors
/// [`AppError::SegmentExists`]; else those of [`put`].
pub async fn create(
    workspace: &Workspace,
    draft: &Draft,
    at: Timestamp,
) -> Result<Definition, AppError> {
    workspace.require("segments::definitions::create")?;
    let exists = || AppError::SegmentExists {
        segment: draft.key.clone(),
    };
    let lake = workspace.lake_or_new().await?;
    let mut known = definition::schedules(&lake.head().await?)?.into_iter();
    if known.any(|known| known.key == draft.key) {
        return Err(exists());
    }
    let draft = &with_author(workspace, draft);
    check(workspace, &lake, draft, at).await?;
    let created = definition::create(&lake, draft, at).await?;
    compute_if_static(workspace, created.ok_or_else(exists)?, at).await
}

/// Deletes a segment.
///
/// # Errors
/// There is no lake; the segment does not exist; the lake cannot be written.
pub async fn delete(
    workspace: &Workspace,
    key: &SegmentKey,
    at: Timestamp,
) -> Result<(), AppError> {
    workspace.require("segments::definitions::delete")?;
    let lake = workspace.lake().await?;
    Ok(rollbook_segments::delete(&lake, key, at).await?)
}
