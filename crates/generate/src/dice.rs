//! Random choices that are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The purpose of a random stream; separate streams keep one kind of choice from shifting another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Tables without persons.
    Reference = 0,
    /// Attributes of a person.
    Profile = 1,
    /// Facts of a person.
    Facts = 2,
    /// One organization.
    Organization = 3,
    /// The channel of a lead, and whether they buy.
    Lead = 4,
    /// Activities of a lead before their first order.
    Funnel = 5,
    /// The record of a person at a second provider.
    SecondRecord = 6,
}

/// A stream of random choices. It uses only whole numbers of fixed width, and none of the distributions of
/// `rand`, whose results may change with its version.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The random stream for one kind of value of the object with this number.
    pub(crate) fn new(seed: u64, stream: Stream, number: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream((number << 3) | stream as u64);
        Self(random)
    }

    /// A random whole number from 0 to `bound` - 1; `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of a 128-bit product fits")
    }

    /// A random whole number from `low` to `high`, both included; `low` if `high` is below it.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).max(0).unsigned_abs();
        low + i64::try_from(self.below(width + 1)).expect("a number below a positive i64")
    }

    /// True with a probability of `per_mille` / 1,000.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A random item; all are equally likely.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// A random item; the probability of each is proportional to its weight.
    pub(crate) fn weighted<'a, T>(&mut self, items: &'a [(u64, T)]) -> &'a T {
        let mut left = self.below(items.iter().map(|(weight, _)| weight).sum());
        let chosen = items.iter().find(|(weight, _)| {
            let falls_here = left < *weight;
            left = left.saturating_sub(*weight);
            falls_here
        });
        &chosen
            .expect("a number below the sum of the weights falls into one of them")
            .1
    }

    /// A random index below `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).expect("a slice is shorter than u64");
        usize::try_from(self.below(bound)).expect("a number below a usize")
    }

    /// A random index by cumulative weights: the first one whose cumulative weight exceeds a random number
    /// below the total.
    pub(crate) fn along(&mut self, running: &[u64]) -> usize {
        let last = running
            .last()
            .copied()
            .expect("a running sum has at least one member");
        let at = self.below(last);
        running.partition_point(|sum| *sum <= at)
    }

    /// A random count with this mean (in thousandths), at most `most`. It is geometric: most counts are
    /// small, and some are many times the mean.
    pub(crate) fn count(&mut self, mean: u64, most: u64) -> u64 {
        let mut count = 0;
        while count < most && self.below(1000 + mean) < mean {
            count += 1;
        }
        count
    }

    /// A random number in thousandths, from 1,000 to `most`, from a Pareto distribution of shape 4/3: most
    /// are small, a few very large. This shape can be computed with square roots alone.
    pub(crate) fn pareto(&mut self, most: u64) -> u64 {
        let thousandths = self.below(1 << 30) + 1;
        #[expect(clippy::cast_precision_loss, reason = "30 bits are exact in an f64")]
        let fraction = thousandths as f64 / (1_u64 << 30) as f64;
        let root = fraction.sqrt();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1,000 and 6e9 by the bounds of the fraction"
        )]
        let value = (1000.0 / (root * root.sqrt())) as u64;
        value.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, Stream};

    #[test]
    fn stream_of_a_seed_is_fixed() {
        let mut dice = Dice::new(7, Stream::Facts, 3);
        let first = [dice.below(1000), dice.below(1000), dice.pareto(100_000)];
        assert_eq!(
            first,
            [828, 780, 11_182],
            "every data set ever generated would change"
        );
        let mut other = Dice::new(7, Stream::Profile, 3);
        assert_ne!(
            first,
            [other.below(1000), other.below(1000), other.pareto(100_000)]
        );
    }

    #[test]
    fn counts_have_their_mean() {
        let mut dice = Dice::new(1, Stream::Lead, 0);
        let counts: Vec<u64> = (0..20_000).map(|_| dice.count(1_500, 60)).collect();
        let mean = counts.iter().sum::<u64>() as f64 / 20_000.0;
        // The standard deviation of a geometric count of mean 1.5 is 1.94.
        assert!(
            (mean - 1.5).abs() < 4.0 * 1.94 / 20_000_f64.sqrt(),
            "{mean}"
        );
        assert!((0..100).all(|_| dice.count(50_000, 3) <= 3));
    }

    #[test]
    fn pareto_is_skewed_and_bounded() {
        let mut dice = Dice::new(1, Stream::Profile, 0);
        let mut values: Vec<u64> = (0..10_000).map(|_| dice.pareto(50_000)).collect();
        values.sort_unstable();
        assert!(values[0] >= 1000 && values[9_999] == 50_000);
        assert!(
            (1500..1900).contains(&values[5_000]),
            "median {}",
            values[5_000]
        );
    }
}
