//! Who belonged to a segment when it was last computed: a bitmap, and which figures it rests on.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State, StoredSet};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp, TraitName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SegmentError;
use crate::definition::{members_name, scheduled, show, unknown};
use crate::own_traits::since;
use crate::schedule::Schedule;

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
    /// The segments that it was computed from, also through others, and the revision of each
    /// one's criteria.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) names: BTreeMap<SegmentKey, u64>,
    /// The traits of the tenant's own that it was computed from, also through others, and since when
    /// each computes what it did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) traits: BTreeMap<TraitName, Timestamp>,
    /// The settings that criteria rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Value>,
    /// The bitmap.
    #[serde(flatten)]
    pub(crate) set: StoredSet,
}

impl Refreshed {
    /// A trait that it was computed from, and that computes something else at a snapshot.
    ///
    /// # Errors
    /// [`SegmentError::Lake`].
    pub fn changed_trait(&self, state: &State) -> Result<Option<&TraitName>, SegmentError> {
        if self.traits.is_empty() {
            return Ok(None);
        }
        let now = since(state)?;
        let mut traits = self.traits.iter();
        let changed = traits.find(|(name, since)| now.get(*name) != Some(since));
        Ok(changed.map(|(name, _)| name))
    }

    /// A segment that it was computed from, and that is another by now, or is no more: its key, and
    /// what became of it.
    ///
    /// # Errors
    /// [`SegmentError::Lake`].
    pub fn changed_segment(
        &self,
        state: &State,
    ) -> Result<Option<(&SegmentKey, &'static str)>, SegmentError> {
        for (key, revision) in &self.names {
            match scheduled(state, key)? {
                None => return Ok(Some((key, "deleted"))),
                Some(now) if now.criteria_revision != *revision => {
                    return Ok(Some((key, "changed")));
                }
                Some(now) if now.refresh == Schedule::Static && self.is_before(state, key)? => {
                    return Ok(Some((key, "computed")));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// Whether it was computed before the members of another segment, which is a list, were put
    /// down.
    pub(crate) fn is_before(&self, state: &State, list: &SegmentKey) -> Result<bool, SegmentError> {
        let known = standing(state, list)?;
        Ok(known.is_some_and(|known| known.computed_at > self.computed_at))
    }
}

/// Settings that no condition rests on.
const OTHER_SETTINGS: [&str; 4] = [
    "default_region",
    "snapshot_days",
    "journal_seconds",
    "journal_mebibytes",
];

/// The settings that criteria rest on, at a snapshot.
pub(crate) fn asked_settings(state: &State) -> Option<Value> {
    let mut settings = serde_json::to_value(state.settings().ok()?).ok()?;
    let all = settings.as_object_mut()?;
    for name in OTHER_SETTINGS {
        all.remove(name);
    }
    Some(settings)
}

/// The membership that stands at a snapshot; `None` for a segment that was never refreshed.
///
/// # Errors
/// [`SegmentError::Lake`].
pub fn standing(state: &State, key: &SegmentKey) -> Result<Option<Refreshed>, SegmentError> {
    Ok(state.value(&members_name(key))?)
}

/// The persons of a membership.
///
/// # Errors
/// [`SegmentError::Lake`].
pub async fn persons(lake: &Lake, refreshed: &Refreshed) -> Result<RoaringTreemap, SegmentError> {
    Ok(lake.set(&refreshed.set).await?)
}

/// Who belongs to a segment: as it stands now, or as computed from the data of `snapshot`.
///
/// # Errors
/// [`SegmentError::Unknown`], [`SegmentError::NotRefreshed`], [`SegmentError::Lake`].
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

/// Where the standing memberships of all segments lie, for the view `segment_members`.
///
/// # Errors
/// [`SegmentError::Lake`].
pub fn memberships(state: &State) -> Result<Vec<(SegmentKey, StoredSet)>, SegmentError> {
    let mut all = Vec::new();
    for name in state.names_below("members/") {
        if let Some(refreshed) = state.value::<Refreshed>(&format!("members/{name}"))? {
            all.push((refreshed.segment, refreshed.set));
        }
    }
    Ok(all)
}
