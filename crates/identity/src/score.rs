//! Probability that two records are the same person, for pairs that no exact rule links.
//!
//! Model of Fellegi and Sunter (1969): each field of a pair agrees at some level, whose weight is the ratio of
//! its frequency among matches (m) to that among non-matches (u). m and the share of matches are estimated
//! from the pairs of all blocks by expectation-maximization (Winkler 1988), u from random pairs. The score
//! only suggests pairs; it never links them.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod blocks;
mod compare;
mod profile;

pub use blocks::pairs;
pub use compare::{FIELDS, Field, Profile};

use compare::{LEVELS, Levels, levels};

/// Number of random pairs; all pairs if there are fewer.
const DRAWN: u64 = 1_000_000;
/// Iterations of the estimation at most.
const ROUNDS: usize = 200;
/// The estimation converged if no m changes by more.
const SETTLED: f64 = 1e-7;
/// Pseudo-count of each level (smoothing).
const PRIOR: f64 = 0.5;

/// Frequencies by field and level.
type Shares = [[f64; LEVELS]; FIELDS];

/// A pair of records, as indices of the input, with the probability that they are the same person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion {
    /// Index of the first record.
    pub a: u32,
    /// Index of the second record, larger than `a`.
    pub b: u32,
    /// From 0 to 1.
    pub probability: f64,
}

/// Parameters estimated from a set of records.
#[derive(Debug, Clone)]
pub struct Model {
    /// Share of matches among all pairs.
    prior: f64,
    m: Shares,
    u: Shares,
}

/// Pairs within blocks that are the same person with at least this probability, the most probable first. With
/// two files, `across` is the number of records of the first, and only pairs across the files count.
pub fn suggest(profiles: &[Profile], across: Option<u32>, at_least: f64) -> Vec<Suggestion> {
    let pairs = pairs(profiles, across);
    let Some(model) = Model::estimate(profiles, &pairs) else {
        return Vec::new();
    };
    let scored = pairs.iter().map(|(a, b)| Suggestion {
        a: *a,
        b: *b,
        probability: model.probability(&profiles[*a as usize], &profiles[*b as usize]),
    });
    let mut found: Vec<_> = scored.filter(|one| one.probability >= at_least).collect();
    found.sort_unstable_by(|one, other| {
        let surer = other.probability.total_cmp(&one.probability);
        surer.then((one.a, one.b).cmp(&(other.a, other.b)))
    });
    found
}

impl Model {
    /// Estimates the parameters from the pairs within blocks; `None` if there are none.
    pub fn estimate(profiles: &[Profile], pairs: &[(u32, u32)]) -> Option<Self> {
        let blocked = counted(pairs.iter().copied(), profiles);
        let count = profiles.len() as u64;
        let all = count * count.saturating_sub(1) / 2;
        if blocked.is_empty() || all == 0 {
            return None;
        }
        let drawn = counted(drawn(count, all), profiles);
        let mut model = Self {
            prior: 0.5 * count as f64 / all as f64,
            m: first_guess(),
            u: shares(&drawn, |_| 1.0),
        };
        for _ in 0..ROUNDS {
            let before = model.m;
            let is_one: f64 = blocked.iter().map(|(at, count)| model.of(at) * count).sum();
            let m = shares(&blocked, |at| model.of(at));
            // Some random pairs are matches.
            let u = shares(&drawn, |at| 1.0 - model.of(at));
            model = Self {
                prior: (is_one / all as f64).clamp(1e-12, 0.5),
                m,
                u,
            };
            let changes = before.as_flattened().iter().zip(model.m.as_flattened());
            if changes.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < SETTLED {
                break;
            }
        }
        Some(model)
    }

    /// Probability that two records are the same person.
    pub fn probability(&self, a: &Profile, b: &Profile) -> f64 {
        self.of(&levels(a, b))
    }

    fn of(&self, levels: &Levels) -> f64 {
        let mut odds = (self.prior / (1.0 - self.prior)).ln();
        for (field, level) in levels.iter().enumerate() {
            if let Some(level) = level {
                let level = *level as usize;
                odds += (self.m[field][level] / self.u[field][level]).ln();
            }
        }
        1.0 / (1.0 + (-odds).exp())
    }
}

/// Counts of pairs by agreement pattern.
fn counted(pairs: impl Iterator<Item = (u32, u32)>, profiles: &[Profile]) -> Vec<(Levels, f64)> {
    let mut counts: HashMap<Levels, f64> = HashMap::new();
    for (a, b) in pairs {
        let levels = levels(&profiles[a as usize], &profiles[b as usize]);
        *counts.entry(levels).or_default() += 1.0;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    // Floating point sums depend on the order of their terms.
    counts.sort_unstable_by_key(|(levels, _)| *levels);
    counts
}

/// Random pairs, reproducible for the same count.
fn drawn(count: u64, all: u64) -> impl Iterator<Item = (u32, u32)> {
    let mut random = ChaCha8Rng::seed_from_u64(count);
    let is_all = all <= DRAWN;
    let (mut a, mut b) = (0_u64, 0_u64);
    let pairs = (0..all.min(DRAWN)).map(move |_| {
        if is_all {
            b += 1;
            if b == count {
                a += 1;
                b = a + 1;
            }
            return (a, b);
        }
        let one = random.random_range(0..count);
        let other = random.random_range(0..count - 1);
        let other = if other >= one { other + 1 } else { other };
        (one.min(other), one.max(other))
    });
    pairs.map(|(a, b)| (a as u32, b as u32))
}

/// Weighted frequency of each level among the pairs that have the field.
fn shares(counts: &[(Levels, f64)], weight: impl Fn(&Levels) -> f64) -> Shares {
    let mut shares = [[PRIOR; LEVELS]; FIELDS];
    for (levels, count) in counts {
        let weight = weight(levels) * count;
        for (field, level) in levels.iter().enumerate() {
            if let Some(level) = level {
                shares[field][*level as usize] += weight;
            }
        }
    }
    for field in &mut shares {
        let all: f64 = field.iter().sum();
        field.iter_mut().for_each(|share| *share /= all);
    }
    shares
}

/// Initial m: most fields of matches agree.
fn first_guess() -> Shares {
    [[0.06, 0.04, 0.1, 0.8]; FIELDS]
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::{Field, Profile, suggest};

    fn profile(given: &str, surname: &str, born: &str, line: &str) -> Profile {
        let mut profile = Profile::default();
        let values = [
            (Field::GivenName, given),
            (Field::Surname, surname),
            (Field::DateOfBirth, born),
            (Field::Line1, line),
        ];
        for (field, value) in values {
            profile.set(
                field,
                Some(value.to_owned()).filter(|value| !value.is_empty()),
            );
        }
        profile
    }

    /// Random different persons, and duplicates of some with one field mistyped or missing.
    fn people() -> Vec<Profile> {
        let given = [
            "ann", "bob", "carla", "dmitri", "elif", "farid", "grace", "hugo",
        ];
        let surnames = [
            "lee", "garcia", "novak", "okafor", "smith", "tanaka", "weber",
        ];
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let people: Vec<[String; 4]> = (0..300)
            .map(|_| {
                let mut below = |most: usize| random.random_range(0..most);
                let born = format!(
                    "19{:02}{:02}{:02}",
                    30 + below(60),
                    1 + below(12),
                    1 + below(28)
                );
                let line = format!(
                    "{} {} st",
                    below(200),
                    ["oak", "elm", "ash", "fir"][below(4)]
                );
                [
                    given[below(8)].to_owned(),
                    surnames[below(7)].to_owned(),
                    born,
                    line,
                ]
            })
            .collect();
        let again = people
            .iter()
            .take(60)
            .enumerate()
            .map(|(at, [given, surname, born, line])| match at % 3 {
                0 => profile(given, &format!("{surname}e"), born, line),
                1 => profile(given, surname, born, ""),
                _ => profile(given, surname, "", line),
            });
        let first = people
            .iter()
            .map(|[given, surname, born, line]| profile(given, surname, born, line));
        first.chain(again).collect()
    }

    #[test]
    fn duplicates_are_found_and_different_persons_are_not() {
        let all = people();
        let found = suggest(&all, None, 0.9);
        let right = found
            .iter()
            .filter(|one| one.b as usize == one.a as usize + 300);
        let right = right.count();
        assert!(right >= 55, "{right} of 60 found");
        assert!(found.len() - right <= 2, "{} wrong", found.len() - right);
    }

    #[test]
    fn empty_input_yields_no_pairs() {
        assert!(suggest(&[], None, 0.0).is_empty());
        assert!(suggest(&[Profile::default(), Profile::default()], None, 0.0).is_empty());
    }
}
