//! Definitions of segments: immutable documents that the snapshot names, with revisions.

use std::collections::BTreeMap;

use rollbook_lake::{Cause, Commit, Committed, Lake, LakeError, State};
use rollbook_model::{SegmentKey, Timestamp, nearest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::SegmentError;

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// A segment as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The name by which programs ask for it.
    pub key: SegmentKey,
    /// From 1, one more with each change.
    pub revision: u64,
    /// The name to show.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who belongs, in SQL.
    pub criteria: String,
    /// When this revision was written.
    pub updated_at: Timestamp,
}

/// What a definition is changed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The segment.
    pub key: SegmentKey,
    /// Who belongs, in SQL.
    pub criteria: String,
    /// The name to show; that of the revision before, or the key, where there is none.
    pub name: Option<String>,
    /// What it is for; kept from the revision before where there is none.
    pub description: Option<String>,
}

/// What the snapshot holds of a definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pointer {
    revision: u64,
    path: String,
}

fn name_of(key: &SegmentKey) -> String {
    format!("segment/{key}")
}

pub(crate) fn members_name(key: &SegmentKey) -> String {
    format!("members/{key}")
}

/// All definitions at a snapshot, in order of their keys.
pub async fn list(lake: &Lake, state: &State) -> Result<Vec<Definition>, SegmentError> {
    let mut found = Vec::new();
    for key in state.names_below("segment/") {
        if let Some(pointer) = state.value::<Pointer>(&format!("segment/{key}"))? {
            found.push(lake.document(&pointer.path).await?);
        }
    }
    Ok(found)
}

/// The definition of a segment at a snapshot.
pub async fn show(
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
) -> Result<Definition, SegmentError> {
    match state.value::<Pointer>(&name_of(key))? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Err(unknown(state, key)),
    }
}

/// Writes a new revision; the same text again changes nothing.
pub async fn put(lake: &Lake, draft: &Draft, at: Timestamp) -> Result<Definition, SegmentError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let before = match state.value::<Pointer>(&name_of(&draft.key))? {
            Some(pointer) => Some(lake.document::<Definition>(&pointer.path).await?),
            None => None,
        };
        let after = revise(before.as_ref(), draft, at);
        if let Some(before) = before.filter(|before| before.revision == after.revision) {
            return Ok(before);
        }
        // Two writers of one revision must not meet in one object.
        let path = format!(
            "_definitions/segment/{}/{:06}-{:016x}.json",
            draft.key,
            after.revision,
            at.micros()
        );
        lake.put_document(&path, &after).await?;
        let pointer = json!(Pointer {
            revision: after.revision,
            path
        });
        let named = BTreeMap::from([(name_of(&draft.key), Some(pointer))]);
        if commit(lake, &state, &draft.key, named, at).await? {
            return Ok(after);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// Takes a segment and its membership away; earlier snapshots keep them.
pub async fn delete(lake: &Lake, key: &SegmentKey, at: Timestamp) -> Result<(), SegmentError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        if !state.named.contains_key(&name_of(key)) {
            return Err(unknown(&state, key));
        }
        let named = BTreeMap::from([(name_of(key), None), (members_name(key), None)]);
        if commit(lake, &state, key, named, at).await? {
            return Ok(());
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

async fn commit(
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    named: BTreeMap<String, Option<serde_json::Value>>,
    at: Timestamp,
) -> Result<bool, SegmentError> {
    let cause = Cause::Define { name: name_of(key) };
    let committed = lake
        .commit(state, Commit::of_names(cause, at, named))
        .await?;
    Ok(matches!(committed, Committed::Done(_)))
}

fn revise(before: Option<&Definition>, draft: &Draft, at: Timestamp) -> Definition {
    let name = draft
        .name
        .clone()
        .or_else(|| before.map(|before| before.name.clone()));
    let description = draft
        .description
        .clone()
        .or_else(|| before.and_then(|before| before.description.clone()));
    let after = Definition {
        key: draft.key.clone(),
        revision: before.map_or(1, |before| before.revision),
        name: name.unwrap_or_else(|| draft.key.to_string()),
        description,
        criteria: draft.criteria.trim().to_owned(),
        updated_at: before.map_or(at, |before| before.updated_at),
    };
    match before {
        Some(before) if *before != after => Definition {
            revision: before.revision + 1,
            updated_at: at,
            ..after
        },
        _ => after,
    }
}

pub(crate) fn unknown(state: &State, key: &SegmentKey) -> SegmentError {
    let nearest = nearest(key.as_str(), state.names_below("segment/")).map(str::to_owned);
    SegmentError::Unknown {
        segment: key.clone(),
        nearest,
    }
}

#[cfg(test)]
mod tests {
    use rollbook_model::Timestamp;

    use super::{Definition, Draft, revise};

    fn draft(criteria: &str) -> Draft {
        let key = "vip".parse().unwrap();
        Draft {
            key,
            criteria: criteria.to_owned(),
            name: None,
            description: None,
        }
    }

    #[test]
    fn a_change_is_a_revision_and_the_same_again_is_none() {
        let (early, late) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let first = revise(None, &draft("vip_status"), early);
        assert_eq!((first.revision, first.name.as_str()), (1, "vip"));
        assert_eq!(revise(Some(&first), &draft(" vip_status\n"), late), first);
        let named = Draft {
            name: Some("Very important".into()),
            ..draft("vip_status")
        };
        let second = revise(Some(&first), &named, late);
        assert_eq!((second.revision, second.updated_at), (2, late));
        let third = revise(Some(&second), &draft("total_spent > 5"), late);
        assert_eq!(
            third,
            Definition {
                revision: 3,
                criteria: "total_spent > 5".into(),
                ..second.clone()
            }
        );
    }
}
