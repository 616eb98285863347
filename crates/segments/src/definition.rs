//! Definitions of segments: immutable documents that the snapshot names, with revisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_lake::{Cause, Commit, Lake, State, Update};
use rollbook_model::{SegmentKey, Timestamp, nearest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::names::{ended_name, name_of};
use crate::schedule::{Channel, Percent, Schedule};
use crate::{SegmentError, ledger};

/// Keys that no new segment may have, because the HTTP API uses them in its routes.
pub const RESERVED_KEYS: [&str; 3] = ["overlap", "preview", "refresh"];

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
    /// The revision that changed who belongs; later ones changed other things.
    #[serde(default)]
    pub criteria_revision: u64,
    /// When it is computed.
    #[serde(default)]
    pub refresh: Schedule,
    /// How its members are reached.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// The part of its members that is held out, in percent.
    #[serde(default)]
    pub holdout: Option<Percent>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Of a list that was given, the checksum of its ids.
    #[serde(default)]
    pub list: Option<String>,
    /// Whether its author may not read personal values: it is then computed without them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_personal: bool,
}

impl Definition {
    /// Its schedule.
    pub fn scheduled(&self) -> Scheduled {
        Scheduled {
            key: self.key.clone(),
            refresh: self.refresh,
            criteria_revision: self.criteria_revision,
            without_personal: self.without_personal,
        }
    }

    /// The first revision of a segment.
    pub fn first(draft: &Draft, at: Timestamp) -> Self {
        revise(None, draft, at)
    }

    /// Whether it is static: a given list of persons.
    pub fn is_static(&self) -> bool {
        self.refresh == Schedule::Static
    }
}

/// What a definition is changed to. What is left out is as in the revision before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The segment.
    pub key: SegmentKey,
    /// Who belongs, in SQL.
    pub criteria: String,
    /// The name to show; the key, where there never was one.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it is computed; on each ingest, where that was never said.
    pub refresh: Option<Schedule>,
    /// How its members are reached.
    pub channel: Option<Channel>,
    /// The part of its members that is held out.
    pub holdout: Option<Percent>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to find it by.
    pub tags: Option<Vec<String>>,
    /// Of a list of members, the checksum of its ids; such a segment has no criteria.
    pub list: Option<String>,
    /// Whether its author may not read personal values.
    pub without_personal: bool,
    /// Whether it is complete: what is left out is then removed instead of kept.
    pub is_whole: bool,
}

impl Draft {
    /// Criteria, and nothing else.
    pub fn new(key: SegmentKey, criteria: String) -> Self {
        Self {
            key,
            criteria,
            name: None,
            description: None,
            refresh: None,
            channel: None,
            holdout: None,
            owner: None,
            tags: None,
            list: None,
            without_personal: false,
            is_whole: false,
        }
    }
}

/// What the snapshot holds of a definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DefinitionPointer {
    pub(crate) revision: u64,
    path: String,
    /// What schedules need, so that they are known without reading the document. Older programs wrote
    /// neither.
    #[serde(default)]
    refresh: Schedule,
    #[serde(default)]
    criteria_revision: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    without_personal: bool,
}

/// When a segment is to be computed, as the snapshot itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The segment.
    pub key: SegmentKey,
    /// When it is computed.
    pub refresh: Schedule,
    /// The revision that changed who belongs.
    pub criteria_revision: u64,
    /// Whether it is computed without personal values.
    pub without_personal: bool,
}

/// The schedules of all segments at a snapshot; no document is read.
///
/// # Errors
/// [`SegmentError::Lake`] where a named value of the snapshot cannot be parsed.
pub fn schedules(state: &State) -> Result<Vec<Scheduled>, SegmentError> {
    let mut found = Vec::new();
    for name in state.names_below("segment/") {
        let pointer = state.value::<DefinitionPointer>(&format!("segment/{name}"))?;
        if let (Ok(key), Some(pointer)) = (name.parse(), pointer) {
            found.push(Scheduled {
                key,
                refresh: pointer.refresh,
                criteria_revision: pointer.criteria_revision,
                without_personal: pointer.without_personal,
            });
        }
    }
    Ok(found)
}

/// When a segment is computed, and which revision changed who belongs; `None` where there is none.
pub(crate) fn scheduled(
    state: &State,
    key: &SegmentKey,
) -> Result<Option<Scheduled>, SegmentError> {
    let pointer = state.value::<DefinitionPointer>(&name_of(key))?;
    Ok(pointer.map(|pointer| Scheduled {
        key: key.clone(),
        refresh: pointer.refresh,
        criteria_revision: pointer.criteria_revision,
        without_personal: pointer.without_personal,
    }))
}

/// All definitions at a snapshot, in order of their keys.
///
/// # Errors
/// [`SegmentError::Lake`] where a definition cannot be read.
pub async fn list(lake: &Lake, state: &State) -> Result<Vec<Definition>, SegmentError> {
    let mut paths = Vec::new();
    for key in state.names_below("segment/") {
        let pointer = state.value::<DefinitionPointer>(&format!("segment/{key}"))?;
        paths.extend(pointer.map(|pointer| pointer.path));
    }
    Ok(lake.documents(&paths).await?)
}

/// The definition of a segment at a snapshot.
///
/// # Errors
/// [`SegmentError::Unknown`] where there is no such segment; [`SegmentError::Lake`] where its definition
/// cannot be read.
pub async fn show(
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
) -> Result<Definition, SegmentError> {
    match state.value::<DefinitionPointer>(&name_of(key))? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Err(unknown(state, key)),
    }
}

/// Checks that a new segment may have a key.
///
/// # Errors
/// [`SegmentError::ReservedKey`] for a key in [`RESERVED_KEYS`].
pub fn allow_new(key: &SegmentKey) -> Result<(), SegmentError> {
    match RESERVED_KEYS.contains(&key.as_str()) {
        true => Err(SegmentError::ReservedKey {
            segment: key.clone(),
        }),
        false => Ok(()),
    }
}

/// Writes a new revision; a draft that changes nothing writes none.
///
/// # Errors
/// [`SegmentError::ReservedKey`] for a new segment whose key is reserved; [`SegmentError::Lake`] where the
/// lake cannot be read or written, or other writers were faster 10 times.
pub async fn put(lake: &Lake, draft: &Draft, at: Timestamp) -> Result<Definition, SegmentError> {
    let update = |state: Arc<State>| async move {
        let before = match state.value::<DefinitionPointer>(&name_of(&draft.key))? {
            Some(pointer) => Some(lake.document::<Definition>(&pointer.path).await?),
            None => None,
        };
        next_revision(lake, &state, before.as_ref(), draft, at).await
    };
    lake.update(update).await
}

/// Writes a new segment; `None` where it exists, also where another process created it at the same time.
///
/// # Errors
/// [`SegmentError::ReservedKey`] where the key is reserved; [`SegmentError::Lake`] where the lake cannot be
/// read or written, or other writers were faster 10 times.
pub async fn create(
    lake: &Lake,
    draft: &Draft,
    at: Timestamp,
) -> Result<Option<Definition>, SegmentError> {
    let update = |state: Arc<State>| async move {
        if state.named.contains_key(&name_of(&draft.key)) {
            return Ok(Update::Keep(None));
        }
        let saved = next_revision(lake, &state, None, draft, at).await?;
        Ok::<_, SegmentError>(saved.map(Some))
    };
    lake.update(update).await
}

/// The commit of a draft on `state`; none where it changes nothing.
async fn next_revision(
    lake: &Lake,
    state: &State,
    before: Option<&Definition>,
    draft: &Draft,
    at: Timestamp,
) -> Result<Update<Definition>, SegmentError> {
    let mut after = revise(before, draft, at);
    if let Some(before) = before
        && before.revision == after.revision
    {
        return Ok(Update::Keep(before.clone()));
    }
    let ended = ended_name(&draft.key);
    if before.is_none() {
        allow_new(&draft.key)?;
        let last = state.value::<u64>(&ended)?.unwrap_or_default();
        (after.revision, after.criteria_revision) = (last + 1, last + 1);
    }
    // Two writers of one revision must not meet in one object, not even at one moment.
    let begin = format!(
        "_definitions/segment/{}/{:06}-{:016x}",
        draft.key,
        after.revision,
        at.micros()
    );
    let path = lake.put_content(&begin, &after).await?;
    let pointer = json!(DefinitionPointer {
        revision: after.revision,
        path,
        refresh: after.refresh,
        criteria_revision: after.criteria_revision,
        without_personal: after.without_personal,
    });
    let mut named = BTreeMap::from([(name_of(&draft.key), Some(pointer))]);
    if state.named.contains_key(&ended) {
        named.insert(ended, None);
    }
    Ok(Update::commit(
        commit_of(state, &draft.key, named, at),
        after,
    ))
}

/// What a draft would make of a segment, without saving it.
pub fn preview(before: Option<&Definition>, draft: &Draft, at: Timestamp) -> Definition {
    revise(before, draft, at)
}

/// The commit after `state` that defines or deletes a segment.
pub(crate) fn commit_of(
    state: &State,
    key: &SegmentKey,
    mut named: BTreeMap<String, Option<serde_json::Value>>,
    at: Timestamp,
) -> Commit {
    ledger::committed_as(&mut named, state.number.next());
    let cause = Cause::Define { name: name_of(key) };
    Commit::of_names(cause, at, named)
}

fn revise(before: Option<&Definition>, draft: &Draft, at: Timestamp) -> Definition {
    let kept = before.filter(|_| !draft.is_whole);
    let or_before = |text: &Option<String>, of: fn(&Definition) -> Option<String>| {
        text.clone().or_else(|| kept.and_then(of))
    };
    let name = or_before(&draft.name, |before| Some(before.name.clone()));
    let after = Definition {
        key: draft.key.clone(),
        revision: before.map_or(1, |before| before.revision),
        name: name.unwrap_or_else(|| draft.key.to_string()),
        description: or_before(&draft.description, |before| before.description.clone()),
        criteria: draft.criteria.trim().to_owned(),
        updated_at: before.map_or(at, |before| before.updated_at),
        criteria_revision: before.map_or(1, |before| before.criteria_revision),
        refresh: draft
            .refresh
            .or(kept.map(|before| before.refresh))
            .unwrap_or_default(),
        channel: draft.channel.or(kept.and_then(|before| before.channel)),
        holdout: draft.holdout.or(kept.and_then(|before| before.holdout)),
        owner: or_before(&draft.owner, |before| before.owner.clone()),
        tags: draft
            .tags
            .clone()
            .or(kept.map(|before| before.tags.clone()))
            .unwrap_or_default(),
        list: draft.list.clone(),
        without_personal: draft.without_personal,
    };
    match before {
        Some(before) if *before != after => {
            let revision = before.revision + 1;
            let is_same = before.criteria == after.criteria
                && before.list == after.list
                && before.is_static() == after.is_static();
            Definition {
                revision,
                updated_at: at,
                criteria_revision: match is_same {
                    true => before.criteria_revision,
                    false => revision,
                },
                ..after
            }
        }
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
        Draft::new(key, criteria.to_owned())
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
        assert_eq!(second.criteria_revision, 1);
        let third = revise(Some(&second), &draft("total_spent > 5"), late);
        assert_eq!(
            third,
            Definition {
                revision: 3,
                criteria: "total_spent > 5".into(),
                criteria_revision: 3,
                ..second.clone()
            }
        );
    }
}
