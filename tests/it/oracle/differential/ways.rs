//! All other queries equal the oracle: previews at several moments, from the lake and from the
//! cache, explanations, the calendar, near misses.

use rand::Rng;
use rand::seq::index::sample;
use roaring::RoaringTreemap;
use rollbook_app::segments;
use rollbook_model::Timestamp;
use rollbook_segments::explain::Explained;
use rollbook_tests::times;

use super::key;
use super::rows::DAY;
use super::world::World;

/// Segments that are queried in each way in each state.
const ASKED: u64 = 1;
/// Days of a calendar.
const DAYS: u32 = 2;
/// Days after which membership is compared again.
const LATER: [i64; 3] = [1, 8, 100];

/// Number of comparisons with the oracle, by way.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ways {
    pub(super) previews: u64,
    pub(super) other_moments: u64,
    pub(super) explained: u64,
    pub(super) turns: u64,
    pub(super) calendar_days: u64,
    pub(super) near_misses: u64,
}

pub(super) fn after(moment: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(moment.micros() + micros)
}

impl World {
    pub(super) async fn ask_otherwise(&mut self, expected: &[RoaringTreemap], what: &str) {
        let all = self.definitions.len();
        let some = usize::try_from(times("ROLLBOOK_TEST_ASKED", ASKED)).unwrap();
        for at in sample(&mut self.random, all, some.min(all)) {
            let text = self.definitions.text(at);
            let told = format!("{} {}: {text}:", self.told(what), key(at));
            self.preview_at(at, self.as_of, &expected[at], &told).await;
            let moment = after(self.as_of, self.random.random_range(-90 * DAY..90 * DAY));
            let then = self.definitions.members_of(&mut self.oracle, at, moment);
            let told_then = format!("{told} at {moment}");
            self.preview_at(at, moment, &then, &told_then).await;
            self.ways.other_moments += 1;
            self.near_misses(at, &told).await;
            self.calendar(at, &expected[at], &told).await;
            if let Some(person) = self.one_person(&expected[at]).await {
                self.explain(at, person, &told).await;
            }
        }
    }

    async fn preview_at(
        &mut self,
        at: usize,
        as_of: Timestamp,
        expected: &RoaringTreemap,
        told: &str,
    ) {
        let text = self.definitions.text(at);
        for (name, place) in [("the lake", &self.workspace), ("memory", &self.warm)] {
            let shown = segments::preview(place, &text, as_of).await;
            let shown = shown.unwrap_or_else(|error| panic!("{told} {error}"));
            let members = segments::matches(place, &text, as_of).await.unwrap();
            let [more, less] = [&members - expected, expected - &members];
            assert!(
                members == *expected,
                "{told} asked of {name}: too many {more:?}, missing {less:?}"
            );
            assert_eq!(shown.count, expected.len(), "{told} previewed from {name}");
            self.ways.previews += 1;
        }
    }

    /// Who meets each clause, who would be a member without it, and who fails only this one.
    async fn near_misses(&mut self, at: usize, told: &str) {
        if self.definitions.is_query(at) {
            return;
        }
        let (met, all) = self.definitions.clauses(&mut self.oracle, at, self.as_of);
        let missed = segments::near_miss(&self.workspace, &key(at), self.as_of).await;
        let missed = missed.unwrap_or_else(|error| panic!("{told} near misses: {error}"));
        if !self.definitions.is_of_clauses(at) {
            return;
        }
        assert_eq!(missed.clauses.len(), met.len(), "{told} clauses");
        for (clause, weight) in missed.clauses.iter().enumerate() {
            let others = met.iter().enumerate().filter(|(other, _)| *other != clause);
            let without = others.fold(all.clone(), |all, (_, one)| all & one);
            let failing = &without - &met[clause];
            assert_eq!(
                (weight.alone, weight.without, weight.only_this_fails),
                (met[clause].len(), without.len(), failing.len()),
                "{told} near misses of `{}`",
                weight.text
            );
        }
        self.ways.near_misses += 1;
    }

    async fn calendar(&mut self, at: usize, now: &RoaringTreemap, told: &str) {
        let calendar = segments::calendar(&self.workspace, &key(at), DAYS, self.as_of).await;
        let calendar = calendar.unwrap_or_else(|error| panic!("{told} calendar: {error}"));
        assert!(!calendar.days.is_empty(), "{told}");
        let mut before = now.clone();
        for day in calendar.days {
            let then = self.definitions.members_of(&mut self.oracle, at, day.at);
            let expected = ((&then - &before).len(), (&before - &then).len(), then.len());
            assert_eq!(
                (day.entered, day.left, day.count),
                expected,
                "{told} calendar at {}",
                day.at
            );
            before = then;
            self.ways.calendar_days += 1;
        }
    }

    /// A member, or any person.
    async fn one_person(&mut self, members: &RoaringTreemap) -> Option<u64> {
        if !members.is_empty() && self.random.random_range(0..2) == 0 {
            return members.select(self.random.random_range(0..members.len()));
        }
        let any = self.some_persons("true", 1).await;
        any.first().map(|person| person.unsigned_abs())
    }

    /// Explains a membership, and checks that it changes when the explanation says.
    pub(super) async fn explain(&mut self, at: usize, person: u64, told: &str) -> Explained {
        let told = format!("{told} person {person}");
        let explained = segments::explain(&self.workspace, &key(at), person, self.as_of).await;
        let explained = explained.unwrap_or_else(|error| panic!("{told} explain: {error}"));
        let explained = explained.explained;
        let belongs = |world: &mut Self, moment: Timestamp| {
            let members = world.definitions.members_of(&mut world.oracle, at, moment);
            members.contains(person)
        };
        let now = belongs(self, self.as_of);
        assert_eq!(explained.is_member, now, "{told} explained");
        // Nothing turns before it is said to, nor at all where nothing is.
        let until = match explained.turns_at {
            Some(at) => at,
            None if explained.turns == "time alone changes nothing" => after(self.as_of, 400 * DAY),
            None => self.as_of,
        };
        for later in LATER.map(|days| after(self.as_of, days * DAY)) {
            if later < until {
                let still = belongs(self, later);
                assert_eq!(still, now, "{told} at {later}, before it turns at {until}");
            }
        }
        if let Some(at) = explained.turns_at {
            let [before, then] = [after(at, -1), at].map(|moment| belongs(self, moment));
            assert_eq!((before, then), (now, !now), "{told} turns at {at}");
            self.ways.turns += 1;
        }
        self.ways.explained += 1;
        explained
    }
}
