//! Properties of the exact rules, and typical cases.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{AmbiguityPolicy, Decision, Order, Records, Resolution, resolve};

/// A record: its digest, and a small number per rule as its value; 0 is none.
type Row = (u8, [u8; 3]);

fn records(rows: &[Row]) -> Records {
    born(rows, |_| 0)
}

/// The records with dates of birth by digest; 0 is none.
fn born(rows: &[Row], birth: impl Fn(u8) -> u64) -> Records {
    let mut records = Records::new(3);
    for (digest, values) in rows {
        let order = Order {
            authority: 0,
            created: 0,
            provider: 0,
            digest: [*digest; 16],
        };
        let value = |(rule, value): (usize, &u8)| match *value {
            0 => 0,
            value => (rule as u128 + 1) << 64 | u128::from(value),
        };
        let values: Vec<u128> = values.iter().enumerate().map(value).collect();
        records.push(order, u64::from(*digest) + 1, birth(*digest), &values);
    }
    records
}

/// The partition by digests: the persons, and the waiting records.
fn partition(
    rows: &[Row],
    decisions: &[Decision],
    bridges: AmbiguityPolicy,
) -> (BTreeSet<BTreeSet<u8>>, BTreeSet<u8>) {
    grouped(rows, &resolve(&records(rows), decisions, bridges))
}

fn grouped(rows: &[Row], resolution: &Resolution) -> (BTreeSet<BTreeSet<u8>>, BTreeSet<u8>) {
    let digest = |at: &u32| rows[*at as usize].0;
    let persons = resolution.persons.iter().filter(|of| !of.is_empty());
    let waiting = resolution.ambiguous.iter().map(|one| digest(&one.record));
    (
        persons.map(|of| of.iter().map(digest).collect()).collect(),
        waiting.collect(),
    )
}

fn sets(persons: &[&[u8]]) -> BTreeSet<BTreeSet<u8>> {
    persons
        .iter()
        .map(|of| of.iter().copied().collect())
        .collect()
}

#[test]
fn shared_values_link_by_every_rule() {
    let rows = [
        (1, [1, 0, 0]),
        (2, [1, 5, 0]),
        (3, [0, 5, 0]),
        (4, [2, 0, 0]),
    ];
    let found = partition(&rows, &[], AmbiguityPolicy::Review);
    assert_eq!(found, (sets(&[&[1, 2, 3], &[4]]), BTreeSet::new()));
}

#[test]
fn ambiguous_record_waits_or_merges_by_policy() {
    let rows = [
        (1, [1, 0, 0]),
        (2, [0, 5, 0]),
        (3, [1, 5, 0]),
        (4, [0, 5, 0]),
    ];
    let found = partition(&rows, &[], AmbiguityPolicy::Review);
    assert_eq!(found, (sets(&[&[1], &[2, 4]]), BTreeSet::from([3])));
    let merged = partition(&rows, &[], AmbiguityPolicy::Merge);
    assert_eq!(merged, (sets(&[&[1, 2, 3, 4]]), BTreeSet::new()));
}

#[test]
fn record_matching_three_persons_waits() {
    let rows = [
        (1, [1, 0, 0]),
        (2, [0, 2, 0]),
        (3, [0, 0, 3]),
        (4, [1, 2, 3]),
    ];
    let found = resolve(&records(&rows), &[], AmbiguityPolicy::Review);
    assert_eq!(found.ambiguous.len(), 1);
    assert_eq!(found.ambiguous[0].candidates, [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn swapped_values_wait_for_review() {
    // Two persons whose addresses were swapped in a second source: each points to both.
    let rows = [
        (1, [1, 1, 0]),
        (2, [2, 2, 0]),
        (3, [2, 1, 0]),
        (4, [1, 2, 0]),
    ];
    let found = partition(&rows, &[], AmbiguityPolicy::Review);
    assert_eq!(found, (sets(&[&[1], &[2]]), BTreeSet::from([3, 4])));
}

#[test]
fn decisions_override_matches() {
    let rows = [
        (1, [1, 0, 0]),
        (2, [0, 5, 0]),
        (3, [1, 5, 0]),
        (4, [9, 0, 0]),
    ];
    let review = |decisions: &[Decision]| partition(&rows, decisions, AmbiguityPolicy::Review);
    // The bridge is the second's.
    let (persons, waiting) = review(&[Decision::Belongs(2, 1)]);
    assert_eq!((persons, waiting.len()), (sets(&[&[1], &[2, 3], &[4]]), 0));
    // It is neither.
    let neither = [Decision::Different(2, 0), Decision::Different(2, 1)];
    assert_eq!(review(&neither).0, sets(&[&[1], &[2], &[3], &[4]]));
    // Both are one, and so is the bridge.
    assert_eq!(review(&[Decision::Same(0, 1)]).0, sets(&[&[1, 2, 3], &[4]]));
    // Somebody without anything in common.
    assert_eq!(review(&[Decision::Same(3, 0)]).0, sets(&[&[1, 4], &[2]]));
    // One that would have been linked is kept apart.
    let rows = [(1, [1, 0, 0]), (2, [1, 0, 0])];
    let apart = partition(&rows, &[Decision::Different(0, 1)], AmbiguityPolicy::Review);
    assert_eq!(apart.0, sets(&[&[1], &[2]]));
}

#[test]
fn different_birthdays_are_different_persons() {
    // A father, his son with the same address, the son again, and a record that does not say.
    let rows = [
        (1, [1, 0, 0]),
        (2, [1, 0, 0]),
        (3, [1, 0, 0]),
        (4, [1, 0, 0]),
        (5, [0, 7, 0]),
    ];
    let of = |births: [u64; 5], decisions: &[Decision]| {
        let records = born(&rows, |digest| births[usize::from(digest) - 1]);
        grouped(
            &rows,
            &resolve(&records, decisions, AmbiguityPolicy::Review),
        )
    };
    let son = of([50, 80, 80, 0, 0], &[]);
    assert_eq!(son, (sets(&[&[1], &[2, 3], &[5]]), BTreeSet::from([4])));
    // Who does not say it and comes first is whose it was.
    let first = of([0, 80, 50, 50, 0], &[]);
    assert_eq!(first, (sets(&[&[1, 2], &[3, 4], &[5]]), BTreeSet::new()));
    assert_eq!(of([80, 80, 80, 0, 0], &[]).0, sets(&[&[1, 2, 3, 4], &[5]]));
    // Somebody knows better; what comes with either date is theirs then.
    let decided = of([50, 80, 80, 50, 0], &[Decision::Same(0, 1)]);
    assert_eq!(decided, (sets(&[&[1, 2, 3, 4], &[5]]), BTreeSet::new()));
    let decided = of([50, 50, 80, 80, 0], &[Decision::Same(2, 0)]);
    assert_eq!(decided, (sets(&[&[1, 2, 3, 4], &[5]]), BTreeSet::new()));
}

#[test]
fn values_shared_by_many_names_match_nobody() {
    let rows: Vec<Row> = (1..=25).map(|digest| (digest, [7, 0, 0])).collect();
    let shared = records(&rows).without_shared(20);
    let found = resolve(&shared, &[], AmbiguityPolicy::Review);
    assert_eq!(found.persons.len(), 25);
    let few = records(&rows[..20]).without_shared(20);
    assert_eq!(resolve(&few, &[], AmbiguityPolicy::Review).persons.len(), 1);
}

/// Components of records that share a value, by merging sets until nothing changes.
fn components(rows: &[Row]) -> BTreeSet<BTreeSet<u8>> {
    type Values = BTreeSet<(usize, u8)>;
    let mut sets: Vec<(BTreeSet<u8>, Values)> = Vec::new();
    for (digest, values) in rows {
        let values = values
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, value)| *value != 0)
            .collect();
        let mut all = (BTreeSet::from([*digest]), values);
        let (touching, others): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|(_, values)| !values.is_disjoint(&all.1));
        for (digests, values) in touching {
            all.0.extend(digests);
            all.1.extend(values);
        }
        sets = others;
        sets.push(all);
    }
    sets.into_iter().map(|(digests, _)| digests).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let values = || prop::collection::vec(prop::array::uniform3(0..6_u8), 1..40);
    values().prop_map(|all| (1..).zip(all).collect())
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(rows in rows(), seed in any::<u64>()) {
        let mut other = rows.clone();
        // A shuffle by a generator of its own.
        let mut state = seed | 1;
        for at in (1..other.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            other.swap(at, (state >> 33) as usize % (at + 1));
        }
        for bridges in [AmbiguityPolicy::Review, AmbiguityPolicy::Merge] {
            prop_assert_eq!(partition(&rows, &[], bridges), partition(&other, &[], bridges));
        }
    }

    #[test]
    fn no_person_has_two_birthdays_in_any_order(rows in rows(), seed in any::<u64>()) {
        let birth = |digest: u8| u64::from(digest) % 3;
        let mut other = rows.clone();
        other.rotate_left((seed % rows.len() as u64) as usize);
        let of = |rows: &[Row]| grouped(rows, &resolve(&born(rows, birth), &[], AmbiguityPolicy::Review));
        let (persons, waiting) = of(&rows);
        for person in &persons {
            let births: BTreeSet<u64> = person.iter().map(|one| birth(*one)).filter(|one| *one != 0).collect();
            prop_assert!(births.len() < 2, "{person:?}");
        }
        prop_assert_eq!((persons, waiting), of(&other));
    }

    #[test]
    fn merge_policy_gives_connected_components(rows in rows()) {
        let (persons, waiting) = partition(&rows, &[], AmbiguityPolicy::Merge);
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(persons, components(&rows));
    }

    #[test]
    fn review_policy_links_connected_records_only(rows in rows()) {
        let (persons, waiting) = partition(&rows, &[], AmbiguityPolicy::Review);
        let components = components(&rows);
        prop_assert!(persons.iter().all(|one| components.iter().any(|all| one.is_subset(all))));
        let placed: usize = persons.iter().map(BTreeSet::len).sum();
        prop_assert_eq!(placed + waiting.len(), rows.len());
    }
}
