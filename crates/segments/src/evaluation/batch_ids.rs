//! Sets of the persons of a batch, made from bits rather than person by person.

use arrow::buffer::BooleanBuffer;
use roaring::{RoaringBitmap, RoaringTreemap};

/// Ids lie close together where they span no more than so many times their number.
const MOST_SPREAD: u64 = 32;

/// The ids of a batch.
pub(super) struct BatchIds<'a> {
    ids: &'a [i64],
    /// The upper and the lower half of the first one, where all have the same upper half, are in
    /// order, each once, and lie close together.
    close: Option<(u32, u32)>,
}

impl<'a> BatchIds<'a> {
    pub(super) fn new(ids: &'a [i64]) -> Self {
        let ends = ids.first().zip(ids.last());
        let ends = ends.and_then(|(first, last)| {
            let first = u64::try_from(*first).ok()?;
            Some((first, u64::try_from(*last).ok()?))
        });
        let close = ends.filter(|(first, last)| {
            // Bits come in bytes, the last of which has to fit too.
            let is_one_half = first >> 32 == (last.saturating_add(8)) >> 32;
            is_one_half
                && last.saturating_sub(*first) <= MOST_SPREAD * ids.len() as u64
                && ids.windows(2).all(|two| two[0] < two[1])
        });
        let halves = |(first, _)| -> Option<(u32, u32)> {
            let upper = u32::try_from(first >> 32).ok()?;
            Some((upper, u32::try_from(first & u64::from(u32::MAX)).ok()?))
        };
        Self {
            ids,
            close: close.and_then(halves),
        }
    }

    /// Adds those whose bit is set.
    pub(super) fn note(&self, chosen: &BooleanBuffer, members: &mut RoaringTreemap) {
        let (Some((upper, lower)), Some(first)) = (self.close, self.ids.first()) else {
            let ids = chosen.set_indices().map(|at| self.ids[at]);
            // Ids are given from 1 on, so a negative one is nobody's.
            members.extend(ids.filter_map(|id| u64::try_from(id).ok()));
            return;
        };
        let mut bits = Vec::new();
        for at in chosen.set_indices() {
            // It is not before the first, and near it.
            let bit = usize::try_from(self.ids[at] - first).unwrap_or_default();
            if bits.len() <= bit / 8 {
                bits.resize(bit / 8 + 1, 0_u8);
            }
            bits[bit / 8] |= 1 << (bit % 8);
        }
        let some = RoaringBitmap::from_lsb0_bytes(lower, &bits);
        if !some.is_empty() {
            *members |= RoaringTreemap::from_bitmaps([(upper, some)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::buffer::BooleanBuffer;
    use proptest::prelude::*;
    use roaring::RoaringTreemap;

    use super::BatchIds;

    /// Close together or not, in order or not, around where the upper half changes.
    fn ids() -> impl Strategy<Value = Vec<i64>> {
        let base = prop_oneof![
            Just(-3_i64),
            0_i64..200_000,
            Just((1 << 32) - 40),
            Just(7 << 32)
        ];
        let steps = prop::collection::vec(prop_oneof![Just(1_i64), 1_i64..6, 0_i64..3_000], 0..300);
        (base, steps, 0_u8..8).prop_map(|(base, steps, turned)| {
            let mut ids: Vec<i64> = steps
                .into_iter()
                .scan(base, |at, step| {
                    *at += step;
                    Some(*at)
                })
                .collect();
            if turned == 0 {
                ids.reverse();
            }
            ids
        })
    }

    proptest! {
        #[test]
        fn ids_are_those_with_their_bit_set(ids in ids(), seed in any::<u64>(), known in ids()) {
            let is_chosen = |at: usize| seed.rotate_left(u32::try_from(at % 64).unwrap()) & 1 == 1;
            let chosen = BooleanBuffer::collect_bool(ids.len(), is_chosen);
            let known = known.into_iter().filter_map(|id| u64::try_from(id).ok());
            let mut members: RoaringTreemap = known.collect();
            let mut expected = members.clone();
            let some = ids.iter().enumerate().filter(|(at, _)| is_chosen(*at));
            expected.extend(some.filter_map(|(_, id)| u64::try_from(*id).ok()));
            BatchIds::new(&ids).note(&chosen, &mut members);
            prop_assert_eq!(&members, &expected);
            prop_assert_eq!(members.len(), expected.len());
        }
    }
}
