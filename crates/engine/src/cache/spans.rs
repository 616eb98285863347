//! Finds out whether a time lies in one of many spans, in about a nanosecond.

/// The largest number of buckets that the whole range is divided into.
const MAX_BUCKETS: u32 = 1 << 14;

/// Half-open spans of time in microseconds.
#[derive(Debug)]
pub(super) struct Spans<'a> {
    spans: &'a [[i64; 2]],
    first: i64,
    /// The distance from the first begin to the last end.
    width: u64,
    shift: u32,
    /// For each bucket whether a span overlaps it.
    is_covered: Vec<bool>,
}

impl<'a> Spans<'a> {
    pub(super) fn new(spans: &'a [[i64; 2]]) -> Self {
        let some = || spans.iter().filter(|[from, until]| from < until);
        let first = some().map(|[from, _]| *from).min().unwrap_or_default();
        let last = some().map(|[_, until]| *until).max().unwrap_or(first);
        let width = last.abs_diff(first);
        let shift = width.checked_ilog2().unwrap_or_default();
        let shift = (shift + 1).saturating_sub(MAX_BUCKETS.ilog2());
        let mut covering = Self {
            spans,
            first,
            width,
            shift,
            is_covered: Vec::new(),
        };
        covering.is_covered = vec![false; covering.bucket(width) + 1];
        for [from, until] in some() {
            let ends = [*from, *until - 1].map(|at| covering.bucket(at.abs_diff(first)));
            covering.is_covered[ends[0]..=ends[1]].fill(true);
        }
        covering
    }

    fn bucket(&self, offset: u64) -> usize {
        usize::try_from(offset >> self.shift).unwrap_or(usize::MAX)
    }

    pub(super) fn contains(&self, at: i64) -> bool {
        // A time before `first` wraps around to an offset beyond `width`.
        let offset = at.wrapping_sub(self.first).cast_unsigned();
        offset < self.width
            && self.is_covered[self.bucket(offset)]
            && self
                .spans
                .iter()
                .any(|[from, until]| (*from..*until).contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Spans;

    fn moment() -> impl Strategy<Value = i64> {
        prop_oneof![
            -50_i64..50,
            any::<i64>(),
            Just(i64::MIN),
            Just(i64::MAX),
            1_700_000_000_000_000_i64..1_700_000_100_000_000,
        ]
    }

    proptest! {
        #[test]
        fn contains_equals_checking_each_span(
            spans in prop::collection::vec([moment(), moment()], 0..6),
            times in prop::collection::vec(moment(), 0..40),
        ) {
            let ends = spans.iter().flatten().flat_map(|at| {
                [at.saturating_sub(1), *at, at.saturating_add(1)]
            });
            let all = Spans::new(&spans);
            for at in ends.chain(times) {
                let expected = spans.iter().any(|[from, until]| (*from..*until).contains(&at));
                prop_assert_eq!(all.contains(at), expected, "{} in {:?}", at, spans);
            }
        }
    }
}
