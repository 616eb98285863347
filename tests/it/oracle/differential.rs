//! Segments have the members that another engine and three-valued logic give, after every change.
//!
//! Each atom is evaluated twice: as criteria, and by DuckDB as a query on the Delta tables for the persons
//! for whom it is true or unknown. Nested conditions are computed on sets of persons, so that this side
//! uses no code that parses, plans or evaluates criteria. After each of many random changes the memberships
//! are patched, compared, computed again for all persons, and compared again: in turns from the lake, and
//! from the cache of a server. In each state, previews, explanations, calendars and near misses of some
//! segments are compared.

use rollbook_app::segments::How;
use rollbook_model::SegmentKey;
use rollbook_tests::{test_data, times};

mod agree;
mod atoms;
mod bounds;
mod changes;
mod definitions;
mod duckdb;
mod explained;
mod facts;
mod held_back;
mod nodes;
mod rows;
mod values;
mod ways;
mod when;
mod world;

use world::World;

/// Names of behaviour functions; each must occur.
const FUNCTIONS: [&str; 12] = [
    "did",
    "times",
    "first_time",
    "last_time",
    "spent",
    "ordered",
    "bought",
    "sequence",
    "in_segment",
    "has_deal",
    "has_ticket",
    "has_object",
];

fn key(at: usize) -> SegmentKey {
    format!("c{at}").parse().unwrap()
}

/// Number of criteria and changes; `ROLLBOOK_TEST_CRITERIA` and `ROLLBOOK_TEST_CHANGES` set more.
async fn hold(mut world: World, criteria: u64, changes: u64) {
    let criteria = times("ROLLBOOK_TEST_CRITERIA", criteria);
    world.define(usize::try_from(criteria).unwrap(), 3).await;
    let texts = (0..world.definitions.len()).map(|at| world.definitions.text(at));
    let texts = texts.collect::<Vec<_>>().join("\n");
    for function in FUNCTIONS {
        assert!(texts.contains(&format!("{function}(")), "no {function}");
    }
    let (mut patched, mut moved, mut some) = (0, 0, 0);
    for round in 0..=times("ROLLBOOK_TEST_CHANGES", changes) {
        let what = match usize::try_from(round).unwrap().checked_sub(1) {
            None => "at first".to_owned(),
            Some(before) => {
                let change = world.next_change(before);
                world.change(change).await;
                format!("change {round}, {change:?}")
            }
        };
        let expected = world.definitions.members(&mut world.oracle, world.as_of);
        let is_warm = round % 2 == 1;
        let done = world.refresh(is_warm, false).await;
        let members = world.members().await;
        world.compare(&members, &expected, &format!("{what}, refreshed"));
        world.agree(&members, &done, &what).await;
        world.ask_otherwise(&expected, &what).await;
        patched += done.iter().filter(|one| one.how != How::Full).count();
        let of_all = world.refresh(!is_warm, true).await;
        world.compare(
            &world.members().await,
            &expected,
            &format!("{what}, in full"),
        );
        assert_eq!(of_all.len(), world.definitions.len(), "{what}");
        for (at, full) in of_all.iter().enumerate() {
            let differs = (full.entered, full.left);
            let told = world.told(&what);
            assert_eq!(differs, (0, 0), "{told} {}: full is not patched", key(at));
        }
        moved += done.iter().map(|one| one.entered + one.left).sum::<u64>();
        some = members.iter().filter(|one| !one.is_empty()).count();
        println!(
            "{what}: at {}, {patched} patched, {moved} moved",
            world.as_of
        );
    }
    assert!(patched > 0, "nothing was patched");
    let kept = world.warm.cache_stats().await;
    assert!(kept.answers > 0 && kept.refreshes > 0, "{kept:?}");
    let all = world.definitions.len();
    assert!(some * 2 > all, "only {some} of {all} segments have members");
    println!(
        "seed {}: {all} criteria, {} queries to the oracle, no difference; beside refreshes: {:?}",
        world.seed, world.oracle.asked, world.ways
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn segments_over_generated_data_equal_the_oracle() {
    let seed = times("ROLLBOOK_TEST_SEED", 11);
    hold(World::generated("generated", seed, 400).await, 60, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_data, has_python)),
    ignore = "ROLLBOOK_TEST_DATA or ROLLBOOK_TEST_PYTHON is not set"
)]
async fn segments_over_olist_equal_the_oracle() {
    let folder = test_data();
    let (seed, folder) = (times("ROLLBOOK_TEST_SEED", 5), folder.join("olist"));
    let world = World::olist("olist-differential", seed, folder).await;
    hold(world, 40, 3).await;
}
