//! Pulling members: pinned pages, counts and checksums.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use rollbook_lake::{BitmapRef, Lake, LakeError, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::membership::{self, current};
use rollbook_segments::{Channel, Freshness, Percent, Refreshed, SegmentError, definition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::freshness::{Kept, standings};
use super::overlap::Combined;
use super::reach::{deliverable, is_drawn};
use crate::{AppError, Workspace, page};

/// Who belongs, by id in order, and what that rests on.
pub async fn members(
    workspace: &Workspace,
    key: &SegmentKey,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Refreshed, Vec<u64>), AppError> {
    let lake = workspace.lake().await?;
    let (refreshed, persons) = membership::members(&lake, key, snapshot).await?;
    Ok((refreshed, persons.iter().collect()))
}

/// A part of a segment's members, in order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What all pages of one pull rest on.
    pub refreshed: Refreshed,
    /// How it stood when the first page was asked for.
    pub freshness: Freshness,
    /// Members on all pages.
    pub count: u64,
    /// The members of this page.
    pub members: Vec<u64>,
    /// What asks for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// What is pulled.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Members of a page.
    pub limit: usize,
    /// Only those who can be reached, over this channel or that of the segment.
    pub deliverable: Option<Option<Channel>>,
    /// Only this part, drawn by a hash of the person.
    pub sample: Option<Percent>,
    /// What the members are put together with.
    pub combined: Combined,
}

impl Pull {
    /// Pages of so many of all members.
    pub fn of_all(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Whether it asks for all members.
    pub fn is_of_all(&self) -> bool {
        self.deliverable.is_none() && self.sample.is_none() && self.combined.is_empty()
    }
}

/// What a page token carries: the membership itself, so that nothing can change it in between.
#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    of: Refreshed,
    #[serde(rename = "standing")]
    freshness: Freshness,
    /// Of a pull of not all members, where they lie.
    #[serde(default)]
    chosen: Option<BitmapRef>,
    after: u64,
}

/// The first page, or the one that `token` asks for: of the same membership, whatever was
/// ingested, refreshed or deleted since. A token carries what was asked on the first page.
pub async fn members_page(
    workspace: &Workspace,
    key: &SegmentKey,
    token: Option<&str>,
    pull: &Pull,
    now: Timestamp,
) -> Result<Page, AppError> {
    let lake = workspace.lake().await?;
    let (of, freshness, chosen, persons, from) = match token {
        None => {
            let state = lake.head().await?;
            let (refreshed, freshness, persons) =
                pulled(workspace, &lake, &state, key, pull, now).await?;
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
            let pinned: Pinned = page::open(&lake, token).await?;
            if pinned.of.segment != *key {
                return Err(AppError::ForgedPageToken);
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
            let pinned = Pinned {
                of: of.clone(),
                freshness: freshness.clone(),
                chosen,
                after,
            };
            Some(page::seal(&lake, &pinned).await?)
        }
        _ => None,
    };
    Ok(Page {
        refreshed: of,
        freshness,
        count,
        members,
        next,
    })
}

/// All members that a pull asks for, what that rests on, and how it stands at `now`.
pub async fn members_pulled(
    workspace: &Workspace,
    key: &SegmentKey,
    pull: &Pull,
    now: Timestamp,
) -> Result<(Refreshed, Freshness, RoaringTreemap), AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (refreshed, freshness, persons) = pulled(workspace, &lake, &state, key, pull, now).await?;
    Ok((refreshed.with_ids_of(&state), freshness, persons))
}

async fn pulled(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    pull: &Pull,
    now: Timestamp,
) -> Result<(Refreshed, Freshness, RoaringTreemap), AppError> {
    let (refreshed, persons) = membership::members_now(lake, state, key).await?;
    let freshness = freshness_at(workspace, lake, key, &refreshed, now).await?;
    let persons = match pull.is_of_all() {
        true => persons,
        false => chosen(workspace, lake, state, key, persons, pull, now).await?,
    };
    Ok((refreshed, freshness, persons))
}

/// How a membership that was read stands.
async fn freshness_at(
    workspace: &Workspace,
    lake: &Lake,
    key: &SegmentKey,
    refreshed: &Refreshed,
    now: Timestamp,
) -> Result<Freshness, AppError> {
    let state = lake.head().await?;
    let scheduled = definition::show(lake, &state, key).await?.scheduled();
    let mut kept = Kept::of(&state, scheduled)?;
    kept.refreshed = Some(refreshed.clone());
    let mut standings = standings(workspace, lake, &state, &[kept], now).await;
    Ok(standings.pop().expect("one segment stands in one way"))
}

/// The members whom a pull of not all asks for.
async fn chosen(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    key: &SegmentKey,
    persons: RoaringTreemap,
    pull: &Pull,
    now: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    let mut persons = pull.combined.with(lake, state, persons).await?;
    if let Some(channel) = pull.deliverable {
        let definition = definition::show(lake, state, key).await?;
        let channel = channel.or(definition.channel).unwrap_or(Channel::Email);
        let reached = deliverable(workspace, lake, state, &definition, &persons, channel, now);
        persons = reached.await?.1;
    }
    if let Some(part) = pull.sample {
        // Another salt than that of the holdout: who is held out is drawn as often as others.
        let salt = format!("sample/{key}");
        persons = persons
            .iter()
            .filter(|person| is_drawn(*person, &salt, part))
            .collect();
    }
    Ok(persons)
}

/// How many belong, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The segment.
    pub segment: SegmentKey,
    /// How many belong.
    pub count: u64,
    /// The SHA-256 of the ids in order, each as eight bytes with the lowest first, in hexadecimal.
    pub checksum: String,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// When it was computed.
    pub computed_at: Timestamp,
    /// When each provider's newest rows in that snapshot were taken in.
    pub watermarks: BTreeMap<String, Timestamp>,
    /// Whether it is up to date, and why not.
    #[serde(flatten)]
    pub freshness: Freshness,
}

/// How many belong, and how that stands at `now`.
pub async fn count(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<Counted, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    definition::show(&lake, &state, key).await?;
    let refreshed = current(&state, key)?;
    let refreshed = refreshed.ok_or_else(|| SegmentError::NotRefreshed {
        segment: key.clone(),
        snapshot: None,
    })?;
    let persons = membership::persons_now(&lake, &state, &refreshed).await?;
    let freshness = freshness_at(workspace, &lake, key, &refreshed, now).await?;
    Ok(Counted {
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

/// What identifies a set of persons.
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

/// When rows of each provider were last taken in, up to a snapshot.
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
    let mut watermarks = BTreeMap::new();
    for provider in state.names_below("watermark/") {
        if let Some(at) = state.value(&format!("watermark/{provider}"))? {
            watermarks.insert(provider.to_owned(), at);
        }
    }
    Ok(watermarks)
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
