//! Segments put together and held against each other, straight from their bitmaps.

use roaring::RoaringTreemap;
use rollbook_model::SegmentKey;
use rollbook_segments::membership;
use serde::Serialize;

use crate::{AppError, Workspace};

/// How two segments overlap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// One of them.
    pub a: SegmentKey,
    /// The other.
    pub b: SegmentKey,
    /// How many belong to both.
    pub both: u64,
    /// How many belong to the first alone.
    pub only_a: u64,
    /// How many belong to the second alone.
    pub only_b: u64,
    /// Those of both as a part of those of either; 0 where there are none.
    pub jaccard: f64,
}

/// All pairs of some segments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// The segments, and how many belong to each.
    pub segments: Vec<(SegmentKey, u64)>,
    /// Every pair once.
    pub pairs: Vec<Pair>,
}

/// How segments overlap; all that were computed where none is named.
pub async fn overlap(workspace: &Workspace, keys: &[SegmentKey]) -> Result<Overlap, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let mut all = Vec::new();
    if keys.is_empty() {
        let computed = membership::memberships(&state)?;
        let of: Vec<_> = computed.iter().collect();
        let persons = membership::persons_at(&lake, state.gone(), &of).await?;
        all.extend(computed.into_iter().map(|one| one.segment).zip(persons));
    }
    for key in keys {
        let (_, persons) = membership::members_now(&lake, &state, key).await?;
        all.push((key.clone(), persons));
    }
    let mut pairs = Vec::new();
    for (at, (a, of_a)) in all.iter().enumerate() {
        for (b, of_b) in &all[at + 1..] {
            let both = of_a.intersection_len(of_b);
            let either = of_a.len() + of_b.len() - both;
            #[expect(clippy::cast_precision_loss, reason = "a part for people to read")]
            let jaccard = match either {
                0 => 0.0,
                either => both as f64 / either as f64,
            };
            pairs.push(Pair {
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

/// Other segments that a segment's members are put together with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Combined {
    /// Those who belong to one of these too.
    pub or: Vec<SegmentKey>,
    /// Of these, who belongs to all of these.
    pub and: Vec<SegmentKey>,
    /// Of these, who belongs to none of these.
    pub not: Vec<SegmentKey>,
}

impl Combined {
    /// Whether nothing is put together.
    pub fn is_empty(&self) -> bool {
        self.or.is_empty() && self.and.is_empty() && self.not.is_empty()
    }

    /// The members of a segment put together with those of others.
    pub(crate) async fn with(
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
