//! Set operations on the bitmaps of segments: union, intersection, difference, overlap.

use roaring::RoaringTreemap;
use rollbook_model::SegmentKey;
use rollbook_segments::membership;
use serde::Serialize;

use crate::{AppError, Workspace};

/// Overlap of two segments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlapPair {
    /// The first segment.
    pub a: SegmentKey,
    /// The second segment.
    pub b: SegmentKey,
    /// Members of both.
    pub both: u64,
    /// Members of the first only.
    pub only_a: u64,
    /// Members of the second only.
    pub only_b: u64,
    /// Jaccard index: members of both divided by members of either; 0 if there are none.
    pub jaccard: f64,
}

/// Overlaps of several segments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// The segments with their sizes.
    pub segments: Vec<(SegmentKey, u64)>,
    /// Every pair once.
    pub pairs: Vec<OverlapPair>,
}

/// Computes how segments overlap; all refreshed ones if `keys` is empty.
///
/// # Errors
/// There is no lake; a segment does not exist or was never refreshed.
pub async fn overlap(workspace: &Workspace, keys: &[SegmentKey]) -> Result<Overlap, AppError> {
    workspace.require("segments::set_operations::overlap")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let mut all = Vec::new();
    if keys.is_empty() {
        let mut computed = membership::memberships(&state)?;
        if workspace.is_bound() {
            let known = workspace.definitions(&lake, &state).await?;
            computed.retain(|one| known.iter().any(|known| known.key == one.segment));
        }
        let of: Vec<_> = computed.iter().collect();
        let persons = membership::persons_at(&lake, state.person_redirects_path(), &of).await?;
        all.extend(computed.into_iter().map(|one| one.segment).zip(persons));
    }
    for key in keys {
        workspace.definition(&lake, &state, key).await?;
        let (_, persons) = membership::members_now(&lake, &state, key).await?;
        all.push((key.clone(), persons));
    }
    let mut pairs = Vec::new();
    for (at, (a, of_a)) in all.iter().enumerate() {
        for (b, of_b) in &all[at + 1..] {
            let both = of_a.intersection_len(of_b);
            let either = of_a.len() + of_b.len() - both;
            #[expect(
                clippy::cast_precision_loss,
                reason = "the ratio is for people to read"
            )]
            let jaccard = match either {
                0 => 0.0,
                either => both as f64 / either as f64,
            };
            pairs.push(OverlapPair {
                a: a.clone(),
                b: b.clone(),
                both,
                only_a: of_a.len() - both,
                only_b: of_b.len() - both,
                jaccard,
            });
        }
    }
    let segments = all
        .iter()
        .map(|(key, persons)| (key.clone(), persons.len()));
    Ok(Overlap {
        segments: segments.collect(),
        pairs,
    })
}

/// Set operations to apply to the members of a segment, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetOperations {
    /// Union with the members of these.
    pub or: Vec<SegmentKey>,
    /// Intersection with the members of each of these.
    pub and: Vec<SegmentKey>,
    /// Difference: without the members of any of these.
    pub not: Vec<SegmentKey>,
}

impl SetOperations {
    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.or.is_empty() && self.and.is_empty() && self.not.is_empty()
    }

    /// The keys of all segments in them.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SegmentKey> {
        self.or.iter().chain(&self.and).chain(&self.not)
    }

    /// Applies the operations.
    pub(crate) async fn apply(
        &self,
        lake: &rollbook_lake::Lake,
        state: &rollbook_lake::State,
        mut persons: RoaringTreemap,
    ) -> Result<RoaringTreemap, AppError> {
        for key in &self.or {
            persons |= membership::members_now(lake, state, key).await?.1;
        }
        for key in &self.and {
            persons &= membership::members_now(lake, state, key).await?.1;
        }
        for key in &self.not {
            persons -= membership::members_now(lake, state, key).await?.1;
        }
        Ok(persons)
    }
}
