//! Explanations say what memberships say, now and when they are told to turn.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rand::Rng;
use roaring::RoaringTreemap;
use rollbook_app::Place;
use rollbook_app::segments;
use rollbook_model::Timestamp;
use rollbook_segments::explain::Line;
use rollbook_tests::times;

use super::key;
use super::rows::DAY;
use super::world::World;

/// Pairs of a person and a segment that are explained; `ROLLBOOK_TEST_PAIRS` asks for more.
const PAIRS: u64 = 12;
const SEGMENTS: usize = 60;
/// Days after which it is looked whether somebody still belongs.
const LATER: [i64; 2] = [8, 100];

/// Who meets conditions at moments, each asked once.
struct Met<'a> {
    place: &'a Place,
    known: BTreeMap<(String, Timestamp), RoaringTreemap>,
}

impl Met<'_> {
    async fn by(&mut self, person: u64, text: &str, as_of: Timestamp) -> bool {
        let known = match self.known.entry((text.to_owned(), as_of)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let met = segments::matches(self.place, text, as_of).await;
                place.insert(met.unwrap_or_else(|error| panic!("{text}: {error}")))
            }
        };
        known.contains(person)
    }
}

/// Every line of an explanation, with what it says.
fn lines<'a>(line: &'a Line, all: &mut Vec<&'a Line>) {
    all.push(line);
    line.parts.iter().for_each(|part| lines(part, all));
}

fn after(moment: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(moment.micros() + micros)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_say_what_memberships_say() {
    let seed = times("ROLLBOOK_TEST_SEED", 11);
    let mut world = World::generated("explained", seed, 400).await;
    world.define(SEGMENTS, 2).await;
    let (place, as_of) = (world.place.clone(), world.as_of);
    let mut met = Met {
        place: &place,
        known: BTreeMap::new(),
    };
    let (mut turned, mut checked) = (0, 0);
    for pair in 0..times("ROLLBOOK_TEST_PAIRS", PAIRS) {
        let at = world.random.random_range(0..SEGMENTS);
        let person = world.random.random_range(1..=u64::from(world.persons));
        let explained = segments::explain(&place, &key(at), person, as_of).await;
        let explained = explained.unwrap().explained;
        let text = world.definitions.text(at);
        let what = world.told(&format!(
            "pair {pair}, person {person} in {}: {text}",
            key(at)
        ));
        let belongs = met.by(person, &text, as_of).await;
        assert_eq!(explained.is_member, belongs, "{what}");
        let mut all = Vec::new();
        lines(&explained.why, &mut all);
        for line in all {
            let is_met = met.by(person, &line.text, as_of).await;
            assert_eq!(line.is_met == Some(true), is_met, "{what} {}", line.text);
            checked += 1;
        }
        // Nothing turns before it is said to, nor at all where nothing is.
        let until = match explained.turns_at {
            Some(at) => at,
            None if explained.turns == "time alone changes nothing" => after(as_of, 400 * DAY),
            None => as_of,
        };
        for later in LATER.map(|days| after(as_of, days * DAY)) {
            if later < until {
                let still = met.by(person, &text, later).await;
                assert_eq!(still, belongs, "{what} at {later}, before {until}");
            }
        }
        if let Some(at) = explained.turns_at {
            turned += 1;
            let before = met.by(person, &text, after(at, -1)).await;
            let then = met.by(person, &text, at).await;
            assert_eq!((before, then), (belongs, !belongs), "{what} at {at}");
        }
    }
    println!("{checked} lines, {turned} that turn");
    assert!(turned > 0);
}
