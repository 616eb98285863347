//! The stored members of a segment: a bitmap, and the data that it was computed from.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_lake::{BitmapRef, Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp, TraitName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SegmentError;
use crate::custom_traits::since;
use crate::definition::{scheduled, show, unknown};
use crate::names::members_name;
use crate::schedule::Schedule;

pub(crate) mod view;

/// A stored membership: the data that it was computed from, and its bitmap.
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
    /// The custom traits that it was computed from, also through others, and since when each had its
    /// definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) traits: BTreeMap<TraitName, Timestamp>,
    /// The settings that criteria read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Value>,
    /// The bitmap.
    #[serde(flatten)]
    pub(crate) set: BitmapRef,
    /// Of a list, the given persons by their ids at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decided: Option<BitmapRef>,
    /// The document of persons without records, as [`State::person_redirects_path`] names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<String>,
}

impl Refreshed {
    /// A custom trait that it was computed from and whose definition differs at a snapshot.
    ///
    /// # Errors
    /// [`SegmentError::Lake`] where the traits of the snapshot cannot be read.
    pub fn changed_trait(&self, state: &State) -> Result<Option<&TraitName>, SegmentError> {
        if self.traits.is_empty() {
            return Ok(None);
        }
        let now = since(state)?;
        let mut traits = self.traits.iter();
        let changed = traits.find(|(name, since)| now.get(*name) != Some(since));
        Ok(changed.map(|(name, _)| name))
    }

    /// Whether no person of it can have another id at a snapshot.
    pub fn has_same_ids(&self, state: &State) -> bool {
        self.gone.as_deref() == state.person_redirects_path()
    }

    /// The document of persons without records at the time of its ids.
    pub fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// The same with the ids of a snapshot.
    #[must_use]
    pub fn with_ids_of(mut self, state: &State) -> Self {
        self.gone = state.person_redirects_path().map(str::to_owned);
        self
    }

    /// The bitmap that its persons now are derived from: of a list, the given ids.
    pub(crate) fn origin(&self) -> &BitmapRef {
        self.decided.as_ref().unwrap_or(&self.set)
    }

    /// A segment that it was computed from and that differs at a snapshot: its key, and `deleted`,
    /// `changed` or `computed`.
    ///
    /// # Errors
    /// [`SegmentError::Lake`] where a named value of the snapshot cannot be read.
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

    /// Whether it was computed before the members of a static segment were stored.
    pub(crate) fn is_before(&self, state: &State, list: &SegmentKey) -> Result<bool, SegmentError> {
        let known = current(state, list)?;
        Ok(known.is_some_and(|known| known.computed_at > self.computed_at))
    }
}

/// Settings that no condition reads.
const OTHER_SETTINGS: [&str; 4] = [
    "default_region",
    "snapshot_days",
    "journal_seconds",
    "journal_mebibytes",
];

/// The settings that criteria read, at a snapshot.
pub(crate) fn settings_of_criteria(state: &State) -> Option<Value> {
    let mut settings = serde_json::to_value(state.settings().ok()?).ok()?;
    let all = settings.as_object_mut()?;
    for name in OTHER_SETTINGS {
        all.remove(name);
    }
    Some(settings)
}

/// The membership in force at a snapshot; `None` for a segment that was never refreshed.
///
/// # Errors
/// [`SegmentError::Lake`] where it cannot be parsed.
pub fn current(state: &State, key: &SegmentKey) -> Result<Option<Refreshed>, SegmentError> {
    Ok(state.value(&members_name(key))?)
}

/// The persons of a membership, by the ids that they had when it was computed.
///
/// # Errors
/// [`SegmentError::Lake`] where the bitmap cannot be read.
pub async fn persons(lake: &Lake, refreshed: &Refreshed) -> Result<RoaringTreemap, SegmentError> {
    Ok(lake.set(&refreshed.set).await?)
}

/// The persons of memberships by their ids at the snapshot of `gone` ([`State::person_redirects_path`]): merged persons are
/// replaced by the person who has their records, and erased ones are left out.
///
/// # Errors
/// [`SegmentError::Lake`] where a bitmap or the document `gone` cannot be read.
pub async fn persons_at(
    lake: &Lake,
    gone: Option<&str>,
    memberships: &[&Refreshed],
) -> Result<Vec<RoaringTreemap>, SegmentError> {
    let is_as_computed = |one: &Refreshed| one.gone() == gone;
    let stored: Vec<&BitmapRef> = memberships
        .iter()
        .map(|one| match is_as_computed(one) {
            true => &one.set,
            false => one.origin(),
        })
        .collect();
    let mut sets = lake.sets(&stored).await?;
    if !memberships.iter().all(|one| is_as_computed(one)) {
        let gone = lake.person_redirects(gone).await?;
        let sets = sets.iter_mut().zip(memberships);
        for (set, _) in sets.filter(|(_, one)| !is_as_computed(one)) {
            *set = gone.resolve(set);
        }
    }
    Ok(sets)
}

/// The persons of one membership by the ids that they have at a snapshot.
///
/// # Errors
/// As [`persons_at`].
pub async fn persons_now(
    lake: &Lake,
    state: &State,
    refreshed: &Refreshed,
) -> Result<RoaringTreemap, SegmentError> {
    let mut found = persons_at(lake, state.person_redirects_path(), &[refreshed]).await?;
    Ok(found.pop().unwrap_or_default())
}

/// The members of a segment: those in force now, by the ids that persons have now, or those computed from
/// the data of `snapshot`, by the ids of that time.
///
/// # Errors
/// [`SegmentError::Unknown`] where there is no such segment; [`SegmentError::NotRefreshed`] where it was
/// not computed, or not from that snapshot; [`SegmentError::Lake`] where the lake cannot be read.
pub async fn members(
    lake: &Lake,
    key: &SegmentKey,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Refreshed, RoaringTreemap), SegmentError> {
    let head = lake.head().await?;
    let Some(number) = snapshot else {
        return members_now(lake, &head, key).await;
    };
    let found = of_snapshot(lake, &head, key, number).await?;
    let refreshed = found.ok_or_else(|| SegmentError::NotRefreshed {
        segment: key.clone(),
        snapshot,
    })?;
    let persons = persons(lake, &refreshed).await?;
    Ok((refreshed, persons))
}

/// The members of a segment at the newest snapshot, by the ids that persons have there.
///
/// # Errors
/// [`SegmentError::Unknown`] where there is no such segment; [`SegmentError::NotRefreshed`] where it was
/// not computed yet; [`SegmentError::Lake`] where the lake cannot be read.
pub async fn members_now(
    lake: &Lake,
    head: &State,
    key: &SegmentKey,
) -> Result<(Refreshed, RoaringTreemap), SegmentError> {
    show(lake, head, key).await?;
    let found = current(head, key)?;
    let mut refreshed = found.ok_or_else(|| SegmentError::NotRefreshed {
        segment: key.clone(),
        snapshot: None,
    })?;
    let persons = persons_now(lake, head, &refreshed).await?;
    refreshed.count = persons.len();
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
    let mut found = current(&at, key)?;
    for later in number.0 + 1..=head.number.0 {
        let state = lake.state(SnapshotNumber(later)).await?;
        match current(&state, key)? {
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

/// The memberships in force of all segments.
///
/// # Errors
/// [`SegmentError::Lake`] where one cannot be parsed.
pub fn memberships(state: &State) -> Result<Vec<Refreshed>, SegmentError> {
    let mut all = Vec::new();
    for name in state.names_below("members/") {
        all.extend(state.value::<Refreshed>(&format!("members/{name}"))?);
    }
    Ok(all)
}
