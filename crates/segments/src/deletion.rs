//! Deleting segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_lake::{Lake, State, Update};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde_json::json;

use crate::SegmentError;
use crate::definition::{DefinitionPointer, commit_of, unknown};
use crate::ledger::{self, Change, Direction, LEDGER, Moved, Reason};
use crate::membership::{current, persons};
use crate::names::{ended_name, members_name, name_of, status_name};

/// Deletes a segment and its membership; earlier snapshots keep both. The ledger records that all its
/// members left.
///
/// # Errors
/// [`SegmentError::Unknown`] where there is no such segment; [`SegmentError::Lake`] where the lake cannot
/// be read or written, or other writers were faster 10 times.
pub async fn delete(lake: &Lake, key: &SegmentKey, at: Timestamp) -> Result<(), SegmentError> {
    let update = |state: Arc<State>| async move {
        let Some(pointer) = state.value::<DefinitionPointer>(&name_of(key))? else {
            return Err(unknown(&state, key));
        };
        let gone = [name_of(key), members_name(key), status_name(key)];
        let mut named: BTreeMap<_, _> = gone.map(|name| (name, None)).into_iter().collect();
        named.insert(ended_name(key), Some(json!(pointer.revision)));
        if let Some(pages) = everybody_left(lake, &state, key, at).await? {
            named.insert(LEDGER.to_owned(), Some(pages));
        }
        Ok(Update::commit(commit_of(&state, key, named, at), ()))
    };
    lake.update(update).await
}

/// The pages of the ledger after all members of a segment left; `None` where there were none.
async fn everybody_left(
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    at: Timestamp,
) -> Result<Option<serde_json::Value>, SegmentError> {
    let Some(before) = current(state, key)?.filter(|before| before.count > 0) else {
        return Ok(None);
    };
    let members = persons(lake, &before).await?;
    let change = Change {
        segment: key.clone(),
        revision: before.revision,
        snapshot: before.snapshot,
        commit: SnapshotNumber::default(),
        as_of: before.as_of,
        at,
        count: 0,
        moves: Vec::new(),
    };
    let persons = BTreeMap::from([((Direction::Left, Reason::Definition), members)]);
    let name = format!("{:020}-{:016x}", state.data.0, at.micros());
    let moved = vec![Moved { change, persons }];
    Ok(Some(ledger::write(lake, state, moved, &name).await?))
}
