//! Explanations equal the oracle, line by line and in their predicted transition times.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rand::Rng;
use roaring::RoaringTreemap;
use rollbook_app::segments;
use rollbook_segments::explain::Line;
use rollbook_tests::times;

use super::key;
use super::world::World;

/// Number of explained pairs of person and segment; `ROLLBOOK_TEST_PAIRS` sets more.
const PAIRS: u64 = 12;
const SEGMENTS: usize = 60;

/// Compares every line of an explanation.
fn lines<'a>(line: &'a Line, all: &mut Vec<&'a Line>) {
    all.push(line);
    line.parts.iter().for_each(|part| lines(part, all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn explanations_equal_the_oracle() {
    let seed = times("ROLLBOOK_TEST_SEED", 14);
    let mut world = World::generated("explained", seed, 400).await;
    world.define(SEGMENTS, 2).await;
    let mut known = BTreeMap::<String, RoaringTreemap>::new();
    let mut checked = 0;
    let pairs = times("ROLLBOOK_TEST_PAIRS", PAIRS);
    for pair in 0..pairs {
        let at = world.random.random_range(0..SEGMENTS);
        let person = world.random.random_range(1..=u64::from(world.persons));
        let text = world.definitions.text(at);
        let what = world.told(&format!("pair {pair}, {}: {text}", key(at)));
        let explained = world.explain(at, person, &what).await;
        // A line says of a person what its text says of all.
        let mut all = Vec::new();
        lines(&explained.why, &mut all);
        for line in all {
            let met = match known.entry(line.text.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let met = segments::matches(&world.workspace, &line.text, world.as_of).await;
                    vacant.insert(met.unwrap_or_else(|error| panic!("{what} {error}")))
                }
            };
            let is_met = line.is_met == Some(true);
            assert_eq!(is_met, met.contains(person), "{what} {}", line.text);
            checked += 1;
        }
    }
    let turned = world.ways.turns;
    println!("{checked} lines, {turned} that turn");
    assert!(checked > pairs);
    assert!(turned > 0);
}
