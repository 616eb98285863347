//! Evaluating segments and keeping who belongs: one bitmap per segment, data snapshot and moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{Cause, Commit, Committed, Lake, LakeError, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::definition::{Definition, members_name, show, unknown};
use crate::{Evaluation, Membership, SegmentError};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// A membership that was computed: which figures it rests on, and where its bitmap lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// The segment.
    pub segment: SegmentKey,
    /// How many belong.
    pub count: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// When it was computed.
    pub computed_at: Timestamp,
    path: String,
}

/// What became of one segment in a refresh.
#[derive(Debug)]
pub struct Evaluated {
    /// The segment.
    pub segment: SegmentKey,
    /// Its new membership, or why there is none; then the one before stands.
    pub outcome: Result<Refreshed, SegmentError>,
}

/// Evaluates the segments of `definitions` in `evaluation`, whose session looks at the data of `state`, and
/// commits the memberships of those that succeed. One that fails holds up none but those that name
/// it.
pub async fn refresh(
    lake: &Lake,
    evaluation: &mut Evaluation<'_>,
    state: &State,
    definitions: &[Definition],
    computed_at: Timestamp,
) -> Result<Vec<Evaluated>, SegmentError> {
    let keys: Vec<SegmentKey> = definitions.iter().map(|one| one.key.clone()).collect();
    let as_of = evaluation.as_of();
    let mut evaluated = Vec::new();
    let all = evaluation.segments(&keys).await;
    for (definition, members) in definitions.iter().zip(all) {
        let outcome = match members {
            Ok(members) => Ok(keep(lake, state, definition, &members, as_of, computed_at).await?),
            Err(error) => Err(error),
        };
        evaluated.push(Evaluated {
            segment: definition.key.clone(),
            outcome,
        });
    }
    let named: BTreeMap<_, _> = evaluated
        .iter()
        .filter_map(|one| one.outcome.as_ref().ok())
        .map(|refreshed| (members_name(&refreshed.segment), Some(json!(refreshed))))
        .collect();
    if !named.is_empty() {
        commit(lake, named, computed_at).await?;
    }
    Ok(evaluated)
}

async fn keep(
    lake: &Lake,
    state: &State,
    definition: &Definition,
    members: &RoaringTreemap,
    as_of: Timestamp,
    computed_at: Timestamp,
) -> Result<Refreshed, SegmentError> {
    let path = format!(
        "_members/{}/{:020}-{:06}-{:016x}.roaring",
        definition.key,
        state.data.0,
        definition.revision,
        computed_at.micros()
    );
    lake.put_persons(&path, members).await?;
    Ok(Refreshed {
        segment: definition.key.clone(),
        count: members.len(),
        snapshot: state.data,
        revision: definition.revision,
        as_of,
        computed_at,
        path,
    })
}

/// A refresh changes no table, so it can follow whatever others committed meanwhile; only the
/// membership of a segment that was deleted meanwhile is not brought back.
async fn commit(
    lake: &Lake,
    named: BTreeMap<String, Option<serde_json::Value>>,
    at: Timestamp,
) -> Result<(), SegmentError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let mut named = named.clone();
        named.retain(|name, _| {
            state
                .named
                .contains_key(&name.replacen("members/", "segment/", 1))
        });
        let cause = Cause::Refresh {
            segments: named.len() as u64,
        };
        let committed = lake
            .commit(&state, Commit::of_names(cause, at, named))
            .await?;
        if matches!(committed, Committed::Done(_)) {
            return Ok(());
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// The membership that stands at a snapshot; `None` for a segment that was never refreshed.
pub fn standing(state: &State, key: &SegmentKey) -> Result<Option<Refreshed>, SegmentError> {
    Ok(state.value(&members_name(key))?)
}

/// The persons of a membership.
pub async fn persons(lake: &Lake, refreshed: &Refreshed) -> Result<RoaringTreemap, SegmentError> {
    Ok(lake.persons(&refreshed.path).await?)
}

/// Who belongs to a segment: as it stands now, or as computed from the data of `snapshot`.
pub async fn members(
    lake: &Lake,
    key: &SegmentKey,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Refreshed, RoaringTreemap), SegmentError> {
    let head = lake.head().await?;
    let found = match snapshot {
        None => {
            show(lake, &head, key).await?;
            standing(&head, key)?
        }
        Some(number) => of_snapshot(lake, &head, key, number).await?,
    };
    let refreshed = found.ok_or_else(|| SegmentError::NotRefreshed {
        segment: key.clone(),
        snapshot,
    })?;
    let persons = persons(lake, &refreshed).await?;
    Ok((refreshed, persons))
}

/// A refresh commits a snapshot after that of the data: it is looked for in the states from
/// `number` on, the latest computation winning.
async fn of_snapshot(
    lake: &Lake,
    head: &State,
    key: &SegmentKey,
    number: SnapshotNumber,
) -> Result<Option<Refreshed>, SegmentError> {
    let at = lake.state(number).await?;
    let mut found = standing(&at, key)?;
    for later in number.0 + 1..=head.number.0 {
        let state = lake.state(SnapshotNumber(later)).await?;
        match standing(&state, key)? {
            Some(refreshed) if refreshed.snapshot == at.data => found = Some(refreshed),
            _ if state.data > at.data => break,
            _ => {}
        }
    }
    if found.is_none() && !head.named.contains_key(&format!("segment/{key}")) {
        return Err(unknown(head, key));
    }
    Ok(found)
}

/// The standing memberships of all segments, for the view `segment_members`.
pub async fn memberships(lake: &Lake, state: &State) -> Result<Vec<Membership>, SegmentError> {
    let mut all = Vec::new();
    for name in state.names_below("members/") {
        if let Some(refreshed) = state.value::<Refreshed>(&format!("members/{name}"))? {
            let persons = lake.persons(&refreshed.path).await?;
            all.push((refreshed.segment, Arc::new(persons)));
        }
    }
    Ok(all)
}
