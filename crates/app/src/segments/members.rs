//! Members of a segment: pages pinned to one membership, counts and checksums.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_lake::{BitmapRef, Lake, LakeError, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::membership::{self, current};
use rollbook_segments::{Channel, Freshness, Percent, Refreshed, SegmentError, definition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::watermarks_of;
use crate::segments::freshness::{SegmentState, freshness_of_all};
use crate::segments::reach::{deliverable, is_sampled};
use crate::segments::set_operations::SetOperations;
use crate::{AppError, Workspace, page_token};

/// The member ids in order, and the membership that they are from.
///
/// # Errors
/// There is no lake; the segment does not exist; it was never refreshed, or not from that snapshot.
pub async fn members(
    workspace: &Workspace,
    key: &SegmentKey,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Refreshed, Vec<u64>), AppError> {
    workspace.require("segments::members::members")?;
    let lake = workspace.lake().await?;
    let (refreshed, persons) = membership::members(&lake, key, snapshot).await?;
    Ok((refreshed, persons.iter().collect()))
}

/// A page of members, in order of id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPage {
    /// The membership, the same for all pages.
    pub refreshed: Refreshed,
    /// Its freshness when the first page was requested.
    pub freshness: Freshness,
    /// Number of members on all pages.
    pub count: u64,
    /// The members of this page.
    pub members: Vec<u64>,
    /// Token of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// Selection of members.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Members per page.
    pub limit: usize,
    /// Only members reachable over this channel; `Some(None)` means the channel of the segment.
    pub deliverable: Option<Option<Channel>>,
    /// The channel that was named, whether or not only members reachable over it are wanted.
    pub channel: Option<Channel>,
    /// Only a sample of this size, drawn by a hash of the person id.
    pub sample: Option<Percent>,
    /// Set operations with other segments.
    pub combined: SetOperations,
}

impl Pull {
    /// All members, in pages of `limit`.
    pub fn of_all(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Whether it selects all members.
    pub fn is_of_all(&self) -> bool {
        self.deliverable.is_none() && self.sample.is_none() && self.combined.is_empty()
    }
}

/// Content of a page token: the membership itself, so that all pages are from the same one.
#[derive(Debug, Serialize, Deserialize)]
struct PinnedMembers {
    of: Refreshed,
    #[serde(rename = "standing")]
    freshness: Freshness,
    /// The stored bitmap of the selection, unless all members are selected.
    #[serde(default)]
    chosen: Option<BitmapRef>,
    after: u64,
    /// The digest of what the caller's key is bound to.
    #[serde(default)]
    bounds: Option<String>,
}

/// The first page, or the one of `token`: from the same membership and selection as the first page,
/// whatever was ingested, refreshed or deleted since.
///
/// # Errors
/// There is no lake; the segment does not exist; it was never refreshed; [`AppError::ForgedPageToken`];
/// [`AppError::ExpiredPageToken`]; a segment of the set operations does not exist or was never refreshed; a
/// query for deliverable members exceeds a limit.
pub async fn members_page(
    workspace: &Workspace,
    key: &SegmentKey,
    token: Option<&str>,
    pull: &Pull,
    now: Timestamp,
) -> Result<MemberPage, AppError> {
    workspace.require("segments::members::members_page")?;
    let lake = workspace.lake().await?;
    let (of, freshness, chosen, persons, from) = match token {
        None => {
            let state = lake.head().await?;
            let (refreshed, freshness, persons) =
                select(workspace, &lake, &state, key, pull, now).await?;
            let is_as_computed = pull.is_of_all() && refreshed.has_same_ids(&state);
            let chosen = match is_as_computed {
                true => None,
                false => {
                    let stored = lake.put_sets("_members/pull", &[&persons]).await?;
                    stored.into_iter().next()
                }
            };
            (refreshed, freshness, chosen, persons, 0)
        }
        Some(token) => {
            let pinned: PinnedMembers = page_token::open(&lake, token).await?;
            if pinned.of.segment != *key || pinned.bounds != workspace.bounds_digest() {
                return Err(AppError::ForgedPageToken);
            }
            if workspace.is_bound() {
                workspace
                    .definition(&lake, &lake.head().await?, key)
                    .await?;
            }
            let persons = match &pinned.chosen {
                Some(set) => lake.set(set).await.map_err(SegmentError::from),
                None => membership::persons(&lake, &pinned.of).await,
            };
            let persons = persons.map_err(|error| match error {
                SegmentError::Lake(LakeError::Damaged { .. }) => AppError::ExpiredPageToken,
                other => other.into(),
            })?;
            let (of, freshness) = (pinned.of, pinned.freshness);
            (of, freshness, pinned.chosen, persons, pinned.after + 1)
        }
    };
    let mut ids = persons.iter();
    ids.advance_to(from);
    let mut members: Vec<u64> = ids.take(pull.limit + 1).collect();
    let is_last = members.len() <= pull.limit;
    members.truncate(pull.limit);
    let count = persons.len();
    let next = match members.last() {
        Some(&after) if !is_last => {
            let pinned = PinnedMembers {
                of: of.clone(),
                freshness: freshness.clone(),
                chosen,
                after,
                bounds: workspace.bounds_digest(),
            };
            Some(page_token::seal(&lake, &pinned).await?)
        }
        _ => None,
    };
    Ok(MemberPage {
        refreshed: of,
        freshness,
        count,
        members,
        next,
    })
}

/// All selected members, the membership, and its freshness at `now`.
///
/// # Errors
/// There is no lake; the segment, or one of the set operations, does not exist or was never refreshed; a
/// query for deliverable members exceeds a limit.
pub async fn selected_members(
    workspace: &Workspace,
    key: &SegmentKey,
    pull: &Pull,
    now: Timestamp,
) -> Result<(Refreshed, Freshness, RoaringTreemap), AppError> {
    workspace.require("segments::members::selected_members")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (refreshed, freshness, persons) = select(workspace, &lake, &state, key, pull, now).await?;
    Ok((refreshed.with_ids_of(&state), freshness, persons))
}

async fn select(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    pull: &Pull,
    now: Timestamp,
) -> Result<(Refreshed, Freshness, RoaringTreemap), AppError> {
    if workspace.is_bound() {
        for key in std::iter::once(key).chain(pull.combined.keys()) {
            workspace.definition(lake, state, key).await?;
        }
        workspace.require_channel(pull.deliverable.flatten().or(pull.channel))?;
    }
    let (refreshed, persons) = membership::members_now(lake, state, key).await?;
    let freshness = freshness_at(workspace, lake, key, &refreshed, now).await?;
    let persons = match pull.is_of_all() {
        true => persons,
        false => apply_selection(workspace, lake, state, key, persons, pull, now).await?,
    };
    Ok((refreshed, freshness, persons))
}

/// The freshness of a membership that was read.
async fn freshness_at(
    workspace: &Workspace,
    lake: &Lake,
    key: &SegmentKey,
    refreshed: &Refreshed,
    now: Timestamp,
) -> Result<Freshness, AppError> {
    let state = lake.head().await?;
    let scheduled = definition::show(lake, &state, key).await?.scheduled();
    let mut state_of_segment = SegmentState::of(&state, scheduled)?;
    state_of_segment.refreshed = Some(refreshed.clone());
    let mut freshness = freshness_of_all(workspace, lake, &state, &[state_of_segment], now).await;
    let freshness = freshness.pop().expect("one segment has one freshness");
    Ok(workspace.shown_freshness(freshness))
}

/// Applies the selection to the members.
async fn apply_selection(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    persons: RoaringTreemap,
    pull: &Pull,
    now: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    let mut persons = pull.combined.apply(lake, state, persons).await?;
    if let Some(channel) = pull.deliverable {
        let definition = definition::show(lake, state, key).await?;
        let channel = channel.or(definition.channel).unwrap_or(Channel::Email);
        let reached = deliverable(workspace, lake, state, &definition, &persons, channel, now);
        persons = reached.await?.1;
    }
    if let Some(part) = pull.sample {
        // Salted differently than the holdout, so that the sample is independent of it.
        let salt = format!("sample/{key}");
        persons = persons
            .iter()
            .filter(|person| is_sampled(*person, &salt, part))
            .collect();
    }
    Ok(persons)
}

/// Number of members, and the membership that was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberCount {
    /// The segment.
    pub segment: SegmentKey,
    /// Number of members.
    pub count: u64,
    /// Hexadecimal SHA-256 of the ids in order, each as 8 bytes little-endian.
    pub checksum: String,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// When it was computed.
    pub computed_at: Timestamp,
    /// Time of the last ingest of each provider up to that snapshot.
    pub watermarks: BTreeMap<String, Timestamp>,
    /// Whether it is up to date, and if not, why.
    #[serde(flatten)]
    pub freshness: Freshness,
}

/// Counts the members, with their freshness at `now`.
///
/// # Errors
/// There is no lake; the segment does not exist; it was never refreshed.
pub async fn count(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<MemberCount, AppError> {
    workspace.require("segments::members::count")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    workspace.definition(&lake, &state, key).await?;
    let refreshed = current(&state, key)?;
    let refreshed = refreshed.ok_or_else(|| SegmentError::NotRefreshed {
        segment: key.clone(),
        snapshot: None,
    })?;
    let persons = membership::persons_now(&lake, &state, &refreshed).await?;
    let freshness = freshness_at(workspace, &lake, key, &refreshed, now).await?;
    Ok(MemberCount {
        segment: key.clone(),
        count: persons.len(),
        checksum: checksum(&persons),
        snapshot: refreshed.snapshot,
        revision: refreshed.revision,
        as_of: refreshed.as_of,
        computed_at: refreshed.computed_at,
        watermarks: watermarks(&lake, &state, refreshed.snapshot).await?,
        freshness,
    })
}

/// Checksum of a set of persons, as in [`MemberCount`].
pub(crate) fn checksum(persons: &RoaringTreemap) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::with_capacity(8 * 1024);
    for id in persons {
        bytes.extend(id.to_le_bytes());
        if bytes.len() == 8 * 1024 {
            hash.update(&bytes);
            bytes.clear();
        }
    }
    hash.update(&bytes);
    hex::encode(hash.finalize())
}

/// Time of the last ingest of each provider up to a snapshot.
async fn watermarks(
    lake: &Lake,
    head: &State,
    snapshot: SnapshotNumber,
) -> Result<BTreeMap<String, Timestamp>, AppError> {
    let of_snapshot;
    let state = match head.data == snapshot || snapshot.0 == 0 {
        true => head,
        false => {
            of_snapshot = lake.state(snapshot).await?;
            &of_snapshot
        }
    };
    watermarks_of(state)
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;
    use sha2::{Digest, Sha256};

    use super::checksum;

    #[test]
    fn checksum_covers_ids_in_order() {
        for persons in [
            vec![],
            vec![1],
            (0..5000).map(|id| id * 3).collect::<Vec<u64>>(),
        ] {
            let bytes: Vec<u8> = persons.iter().flat_map(|id| id.to_le_bytes()).collect();
            let expected = format!("{:x}", Sha256::digest(bytes));
            assert_eq!(
                checksum(&persons.into_iter().collect::<RoaringTreemap>()),
                expected
            );
        }
    }
}
