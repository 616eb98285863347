//! Random criteria over random facts, against a second evaluation that knows no SQL.
//!
//! Facts happen at whole hours, and windows are whole hours long, so that their ends are met.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use roaring::RoaringTreemap;
use rollbook_engine::{PeopleCache, Session, SessionOptions, TableSource};
use rollbook_model::config::Limits;
use rollbook_model::tables::table;
use rollbook_model::{SegmentKey, Timestamp};
use serde_json::{Value, json};

use crate::{Criteria, Definition, Draft, Evaluation};

const PERSONS: u64 = 60;
const HOURS: u64 = 24 * 90;
const HOUR: i64 = 3_600_000_000;
const KINDS: [&str; 4] = ["clicked", "viewed", "called", "order_placed"];
const CHANNELS: [Option<&str>; 3] = [Some("email"), Some("sms"), None];

/// A generator that gives the same numbers for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Something that happened; orders among them have an amount, and count as revenue or not.
struct Fact {
    person: u64,
    kind: &'static str,
    /// Hours before the moment that is looked from; below zero is after it.
    ago: i64,
    channel: Option<&'static str>,
    amount: i64,
    is_revenue: bool,
}

struct World {
    as_of: Timestamp,
    countries: Vec<Option<&'static str>>,
    facts: Vec<Fact>,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Ever,
    Within(i64),
    Between(i64, i64),
}

#[derive(Debug, Clone, Copy)]
enum Compared {
    Less,
    AtLeast,
    Equal,
}

#[derive(Debug)]
enum Clause {
    Did(&'static str, u64, Option<u64>, When, Option<&'static str>),
    Times(&'static str, Compared, u64, When),
    First(&'static str, Compared, i64),
    Last(&'static str, Compared, i64),
    Spent(Compared, i64, When),
    Sequence(&'static str, &'static str, Option<i64>),
    Country(&'static str),
    Segment(usize),
    Not(Box<Clause>),
    And(Vec<Clause>),
    Or(Vec<Clause>),
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let countries = (0..PERSONS).map(|_| dice.of(&[Some("DE"), Some("US"), None]));
        let countries = countries.collect();
        let facts = (0..PERSONS * 12).map(|_| Fact {
            // Person 0 is nobody.
            person: dice.below(PERSONS),
            kind: dice.of(&KINDS),
            ago: dice.below(HOURS).cast_signed() - 48,
            channel: dice.of(&CHANNELS),
            amount: dice.below(200).cast_signed(),
            is_revenue: dice.below(3) > 0,
        });
        Self {
            as_of: "2025-03-31T05:00:00Z".parse().unwrap(),
            countries,
            facts: facts.collect(),
        }
    }

    fn at(&self, ago: i64) -> Timestamp {
        Timestamp::from_micros(self.as_of.micros() - ago * HOUR)
    }

    async fn session(&self, as_of: Timestamp) -> Session {
        let ids = |person: u64, at: usize| {
            json!({ "person_id": person, "identity_id": person, "provider": "shop",
                "external_id": at.to_string() })
        };
        let with = |mut row: Value, more: Value| {
            let more = more.as_object().unwrap().clone();
            row.as_object_mut().unwrap().extend(more);
            row
        };
        let persons = (0..).zip(&self.countries).map(|(at, country)| {
            with(
                ids(at, usize::try_from(at).unwrap()),
                json!({ "country": country }),
            )
        });
        let (mut activities, mut orders) = (Vec::new(), Vec::new());
        for (at, fact) in self.facts.iter().enumerate() {
            let when = self.at(fact.ago).to_string();
            let row = ids(fact.person, at);
            if fact.kind == "order_placed" {
                let status = if fact.is_revenue { "paid" } else { "cancelled" };
                orders.push(with(
                    row,
                    json!({ "status": status, "currency": "EUR",
                    "total": fact.amount.to_string(), "placed_at": when }),
                ));
            } else {
                activities.push(with(
                    row,
                    json!({ "type": fact.kind, "occurred_at": when,
                    "channel": fact.channel }),
                ));
            }
        }
        let session = Session::new(SessionOptions {
            as_of,
            currency: Some("EUR".to_owned()),
            zone: chrono_tz::Tz::UTC,
            fx_days: 7,
            limits: Limits::default(),
            spill_dir: None,
            personal: true,
            rules: Vec::new(),
        })
        .unwrap();
        for (name, rows) in [
            ("persons", persons.collect()),
            ("activities", activities),
            ("orders", orders),
        ] {
            let def = table(name).unwrap();
            let stored = provider(def.stored_schema(), &rows);
            let vault = None;
            session
                .add_table(TableSource {
                    def,
                    stored,
                    vault,
                    authority: None,
                })
                .unwrap();
        }
        session.finish().await.unwrap();
        session
    }

    /// A person's facts of a kind by the moment, in a window.
    fn facts(&self, person: u64, kind: &str, when: When) -> impl Iterator<Item = &Fact> {
        self.facts.iter().filter(move |fact| {
            let is_in_window = match when {
                When::Ever => true,
                When::Within(hours) => fact.ago < hours,
                When::Between(from, until) => fact.ago <= from && fact.ago > until,
            };
            fact.person == person && fact.kind == kind && fact.ago >= 0 && is_in_window
        })
    }
}

impl Compared {
    fn sql(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtLeast => ">=",
            Self::Equal => "=",
        }
    }

    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtLeast => left >= right,
            Self::Equal => left == right,
        }
    }
}

impl Clause {
    fn random(dice: &mut Dice, depth: u64, segments: usize) -> Self {
        let compared = [Compared::Less, Compared::AtLeast, Compared::Equal];
        let hours = |dice: &mut Dice| dice.below(HOURS).cast_signed();
        let when = |dice: &mut Dice| match dice.below(3) {
            0 => When::Ever,
            1 => When::Within(1 + hours(dice)),
            _ => {
                let (one, other) = (hours(dice), hours(dice));
                When::Between(one.max(other), one.min(other))
            }
        };
        let several = |dice: &mut Dice| {
            (0..2 + dice.below(2))
                .map(|_| Self::random(dice, depth - 1, segments))
                .collect()
        };
        match dice.below(if depth == 0 { 8 } else { 12 }) {
            0 | 1 => {
                let least = 1 + dice.below(3);
                let most = (dice.below(3) == 0).then(|| least + dice.below(3));
                let kind = dice.of(&KINDS[..3]);
                let channel = dice.of(&[None, Some("email"), Some("sms")]);
                Self::Did(kind, least, most, when(dice), channel)
            }
            2 => Self::Times(
                dice.of(&KINDS),
                dice.of(&compared),
                dice.below(5),
                when(dice),
            ),
            3 => Self::First(dice.of(&KINDS), dice.of(&compared[..2]), hours(dice)),
            4 => Self::Last(dice.of(&KINDS), dice.of(&compared[..2]), hours(dice)),
            5 => Self::Spent(
                dice.of(&compared),
                dice.below(400).cast_signed(),
                when(dice),
            ),
            6 => {
                let within = (dice.below(2) == 0).then(|| 1 + dice.below(400).cast_signed());
                Self::Sequence(dice.of(&KINDS), dice.of(&KINDS), within)
            }
            7 if segments > 0 && dice.below(2) == 0 => {
                Self::Segment(usize::try_from(dice.below(segments as u64)).unwrap())
            }
            7 => Self::Country(dice.of(&["DE", "US", "FR"])),
            8 => Self::Not(Box::new(Self::random(dice, depth - 1, segments))),
            9 | 10 => Self::And(several(dice)),
            _ => Self::Or(several(dice)),
        }
    }

    fn sql(&self, world: &World) -> String {
        let more = |when: When| match when {
            When::Ever => String::new(),
            When::Within(hours) => format!(", within => interval '{hours} hours'"),
            When::Between(from, until) => {
                let (from, until) = (world.at(from), world.at(until));
                format!(", from => '{from}', until => '{until}'")
            }
        };
        let joined = |all: &[Self], word: &str| {
            let all: Vec<_> = all.iter().map(|one| one.sql(world)).collect();
            format!("({})", all.join(word))
        };
        match self {
            Self::Did(kind, least, most, when, channel) => {
                let mut call = format!("did('{kind}', at_least => {least}{}", more(*when));
                if let Some(most) = most {
                    write!(call, ", at_most => {most}").unwrap();
                }
                if let Some(channel) = channel {
                    write!(call, ", where => 'channel = ''{channel}'''").unwrap();
                }
                call + ")"
            }
            Self::Times(kind, compared, n, when) => {
                format!("times('{kind}'{}) {} {n}", more(*when), compared.sql())
            }
            Self::First(kind, compared, ago) => {
                let at = world.at(*ago);
                format!("first_time('{kind}') {} '{at}'", compared.sql())
            }
            Self::Last(kind, compared, ago) => {
                let at = world.at(*ago);
                format!("last_time('{kind}') {} '{at}'", compared.sql())
            }
            Self::Spent(compared, amount, when) => {
                let when = more(*when);
                let when = when.trim_start_matches(", ");
                format!("spent({when}) {} {amount}", compared.sql())
            }
            Self::Sequence(first, second, within) => {
                let within = within.map(|hours| format!(", within => interval '{hours} hours'"));
                format!(
                    "sequence('{first}', '{second}'{})",
                    within.unwrap_or_default()
                )
            }
            Self::Country(country) => format!("country = '{country}'"),
            Self::Segment(at) => format!("in_segment('{}')", key(*at)),
            Self::Not(one) => format!("not ({})", one.sql(world)),
            Self::And(all) => joined(all, " and "),
            Self::Or(all) => joined(all, " or "),
        }
    }

    /// Whether a person meets it; `None` where that is unknown.
    fn holds(&self, world: &World, person: u64, before: &[RoaringTreemap]) -> Option<bool> {
        match self {
            Self::Did(kind, least, most, when, channel) => {
                let facts = world.facts(person, kind, *when);
                let counted = facts.filter(|fact| channel.is_none() || fact.channel == *channel);
                let count = counted.count() as u64;
                Some(count >= *least && most.is_none_or(|most| count <= most))
            }
            Self::Times(kind, compared, n, when) => {
                Some(compared.holds(world.facts(person, kind, *when).count() as u64, *n))
            }
            Self::First(kind, compared, ago) => {
                let first = world
                    .facts(person, kind, When::Ever)
                    .map(|fact| -fact.ago)
                    .min();
                first.map(|first| compared.holds(first, -ago))
            }
            Self::Last(kind, compared, ago) => {
                let last = world
                    .facts(person, kind, When::Ever)
                    .map(|fact| -fact.ago)
                    .max();
                last.map(|last| compared.holds(last, -ago))
            }
            Self::Spent(compared, amount, when) => {
                let orders = world.facts(person, "order_placed", *when);
                let sum = orders
                    .filter(|fact| fact.is_revenue)
                    .map(|fact| fact.amount)
                    .sum();
                Some(compared.holds(sum, *amount))
            }
            Self::Sequence(first, second, within) => {
                let firsts: Vec<_> = world.facts(person, first, When::Ever).collect();
                let mut seconds = world.facts(person, second, When::Ever);
                Some(seconds.any(|second| {
                    let between = |first: &&Fact| first.ago - second.ago;
                    let mut firsts = firsts.iter();
                    firsts.any(|one| {
                        between(one) > 0 && within.is_none_or(|most| between(one) <= most)
                    })
                }))
            }
            Self::Country(country) => {
                world.countries[usize::try_from(person).unwrap()].map(|known| known == *country)
            }
            Self::Segment(at) => Some(before[*at].contains(person)),
            Self::Not(one) => one.holds(world, person, before).map(|known| !known),
            Self::And(all) => {
                let mut all = all.iter().map(|one| one.holds(world, person, before));
                all.try_fold(Some(true), |sum, one| match (sum, one) {
                    (_, Some(false)) => Err(Some(false)),
                    (Some(true), one) => Ok(one),
                    (sum, _) => Ok(sum),
                })
                .unwrap_or_else(|is_false| is_false)
            }
            Self::Or(all) => {
                let mut all = all.iter().map(|one| one.holds(world, person, before));
                all.try_fold(Some(false), |sum, one| match (sum, one) {
                    (_, Some(true)) => Err(Some(true)),
                    (Some(false), one) => Ok(one),
                    (sum, _) => Ok(sum),
                })
                .unwrap_or_else(|is_true| is_true)
            }
        }
    }
}

fn key(at: usize) -> SegmentKey {
    format!("segment-{at}").parse().unwrap()
}

fn provider(schema: SchemaRef, rows: &[Value]) -> Arc<dyn TableProvider> {
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema))
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    let batches = decoder.flush().unwrap().into_iter().collect();
    Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())
}

#[tokio::test]
async fn random_criteria_give_what_a_second_evaluation_gives() {
    let count = std::env::var("ROLLBOOK_TEST_CRITERIA");
    let count: usize = count.map_or(500, |count| count.parse().unwrap());
    let mut dice = Dice(20_250_331);
    let world = World::new(&mut dice);
    let session = world.session(world.as_of).await;
    let (mut definitions, mut expected) = (Vec::new(), Vec::<RoaringTreemap>::new());
    for at in 0..count {
        let clause = Clause::random(&mut dice, 3, at.min(40));
        let meets = |person: &u64| clause.holds(&world, *person, &expected) == Some(true);
        let members = (1..PERSONS).filter(meets).collect();
        let draft = Draft::new(key(at), clause.sql(&world));
        definitions.push(Definition::first(&draft, world.as_of));
        expected.push(members);
    }
    let keys: Vec<_> = definitions.iter().map(|one| one.key.clone()).collect();
    let found = Evaluation::new(&session, &definitions)
        .segments(&keys)
        .await;
    let mut some = 0;
    for ((definition, found), expected) in definitions.iter().zip(found).zip(&expected) {
        let criteria = &definition.criteria;
        let found = found.unwrap_or_else(|error| panic!("{criteria}: {error}"));
        assert_eq!(*found, *expected, "{criteria}");
        some += usize::from(!expected.is_empty() && expected.len() + 1 < PERSONS);
    }
    assert!(
        some * 2 > count,
        "only {some} of {count} tell persons apart"
    );

    // From memory they give the same as from tables, once what they need is there.
    let late = "2200-01-01".parse().unwrap();
    let answers = Arc::new(AtomicU64::new(0));
    let all = world.session(late).await;
    let resident = Arc::new(PeopleCache::new(
        &all,
        1 << 30,
        Arc::clone(&answers),
        Duration::ZERO,
    ));
    let warm = world.session(world.as_of).await;
    let warm = warm.with_cache(Some(Arc::clone(&resident)));
    for _ in 0..2 {
        let found = Evaluation::new(&warm, &definitions).segments(&keys).await;
        for ((definition, found), expected) in definitions.iter().zip(found).zip(&expected) {
            assert_eq!(*found.unwrap(), *expected, "{}", definition.criteria);
        }
        resident.load_requested().await;
    }
    assert!(
        answers.load(Ordering::Relaxed) > 0,
        "nothing was answered from memory"
    );

    // Alone they give the same as together.
    for at in (0..count).step_by(count.div_ceil(50)) {
        let text = Criteria::parse(&definitions[at].criteria, session.limits()).unwrap();
        let alone = Evaluation::new(&session, &definitions).of(&text).await;
        assert_eq!(alone.unwrap(), expected[at], "{}", text.text());
    }
}
