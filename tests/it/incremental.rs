//! Patched memberships are those of a full refresh, bit for bit, after whatever changed, and the
//! ledger replayed gives the same.

use std::fs;
use std::path::PathBuf;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_app::Place;
use rollbook_app::compacting::{Extent, compact_lake};
use rollbook_app::identity::{Decider, Wanted, decide, erase};
use rollbook_app::segments::{self, Draft, How, Pull};
use rollbook_app::taking_in::{Ingest, ingest, undo};
use rollbook_ingest::Progress;
use rollbook_lake::Lake;
use rollbook_model::config::Limits;
use rollbook_model::{BatchId, SegmentKey, Timestamp};
use rollbook_segments::explain::Line;
use rollbook_segments::ledger;
use rollbook_tests::times;
use tokio::sync::Mutex;

use crate::own_lake::OwnLake;

/// Changes in a test run; `ROLLBOOK_TEST_CHANGES` asks for more.
const CHANGES: u64 = 8;
/// Pairs of a person and a segment that are explained; `ROLLBOOK_TEST_PAIRS` asks for more.
const PAIRS: u64 = 12;
const PERSONS: u32 = 400;
const SEGMENTS: usize = 60;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// A lake, the moment that it is looked at from, and what is changed in it.
struct World {
    lake: OwnLake,
    place: Place,
    random: ChaCha8Rng,
    as_of: Timestamp,
    now: Timestamp,
    written: u32,
    last_batch: Option<BatchId>,
    /// A merge that holds.
    decided: Option<String>,
}

impl World {
    async fn new(name: &str, seed: u64) -> Self {
        let lake = OwnLake::new(name);
        let data = lake.path("data");
        let persons = PERSONS.to_string();
        let seed_text = seed.to_string();
        lake.json(&[
            "generate",
            "--persons",
            &persons,
            "--seed",
            &seed_text,
            "--out",
            data.to_str().unwrap(),
        ]);
        let location = lake.path("lake").to_str().unwrap().to_owned();
        let place = Place::new(location, "default".parse().unwrap(), Limits::default());
        let mut world = Self {
            lake,
            place,
            random: ChaCha8Rng::seed_from_u64(seed),
            as_of: "2025-06-15T12:00:00Z".parse().unwrap(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            written: 0,
            last_batch: None,
            decided: None,
        };
        world.take_in(data).await;
        world
    }

    fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_micros(self.now.micros() + 1_000);
        self.now
    }

    async fn take_in(&mut self, path: PathBuf) {
        let at = self.tick();
        self.written += 1;
        let batch: BatchId = format!("batch-{}", self.written).parse().unwrap();
        let what = Ingest {
            provider: "native".parse().unwrap(),
            paths: vec![path],
            standard_input: None,
            mappings: None,
            dry_run: false,
            batch: batch.clone(),
            at,
        };
        let done = ingest(&self.place, what, &Progress::silent()).await;
        for table in done.unwrap().tables {
            assert_eq!(table.quarantined, 0, "{table:?}");
        }
        self.last_batch = Some(batch);
    }

    /// Takes in one small file of a table.
    async fn rows(&mut self, table: &str, header: &str, rows: &[String]) {
        let name = format!("change-{}/{table}.csv", self.written);
        let path = self
            .lake
            .write(&name, &format!("{header}\n{}\n", rows.join("\n")));
        self.take_in(path).await;
    }

    fn person(&mut self) -> String {
        format!("P{}", self.random.random_range(1..=PERSONS))
    }

    /// A moment between two, reckoned from that which is looked from.
    fn moment(&mut self, from: i64, to: i64) -> String {
        let at = self.as_of.micros() + self.random.random_range(from..to);
        Timestamp::from_micros(at / 1_000_000 * 1_000_000).to_string()
    }

    async fn change(&mut self, kind: u32) -> &'static str {
        let id = format!("N{}", self.written);
        let kinds = [
            "page_viewed",
            "email_clicked",
            "email_opened",
            "form_submitted",
        ];
        let activities = "external_id,person_external_id,type,occurred_at";
        match kind {
            0 | 1 => {
                let (from, to) = if kind == 0 {
                    (-HOUR, 2 * HOUR)
                } else {
                    (-300 * DAY, 0)
                };
                let mut rows = Vec::new();
                for at in 0..5 {
                    let (person, when) = (self.person(), self.moment(from, to));
                    let kind = kinds.choose(&mut self.random).unwrap();
                    rows.push(format!("{id}-{at},{person},{kind},{when}"));
                }
                self.rows("activities", activities, &rows).await;
                ["new activities", "late activities"][kind as usize]
            }
            2 => {
                self.order().await;
                "an order"
            }
            3 => {
                let order = self.lake.sql(
                    "select external_id from orders where person_id <> 0 and status = 'fulfilled' \
                     order by external_id",
                );
                let order = order.choose(&mut self.random).unwrap()["external_id"].clone();
                let (order, when) = (order.as_str().unwrap().to_owned(), self.moment(-DAY, HOUR));
                let row = format!("{id},,{order},400.00,EUR,{when}");
                let header = "external_id,person_external_id,order_id,amount,currency,refunded_at";
                self.rows("refunds", header, &[row]).await;
                "a refund that names no person"
            }
            4 => {
                let mut rows = Vec::new();
                for _ in 0..4 {
                    let (person, when) = (self.person(), self.moment(-DAY, DAY));
                    let country = ["DE", "FR", ""].choose(&mut self.random).unwrap();
                    rows.push(format!("{person},{country},true,{when},{when}"));
                }
                rows.push(format!("{id},DE,true,{0},{0}", self.moment(-DAY, 0)));
                let header = "external_id,country,is_lead,created_at,updated_at";
                self.rows("persons", header, &rows).await;
                "persons"
            }
            5..=7 => {
                let step = match kind {
                    5 => self.random.random_range(1..3 * HOUR),
                    6 => self.random.random_range(DAY..9 * DAY),
                    _ => 31 * DAY,
                };
                self.as_of = Timestamp::from_micros(self.as_of.micros() + step);
                ["hours pass", "days pass", "a month passes"][kind as usize - 5]
            }
            8 => {
                let (key, criteria) = (self.key(), self.criteria());
                let at = self.tick();
                segments::put(&self.place, &Draft::new(key, criteria), at)
                    .await
                    .unwrap();
                "a definition is edited"
            }
            9 => {
                let at = self.tick();
                match self.last_batch.take() {
                    Some(batch) => drop(undo(&self.place, &batch, at).await.unwrap()),
                    None => return "nothing is left to undo",
                }
                "a batch is undone"
            }
            10 => {
                let (person, opened) = (self.person(), self.moment(-5 * DAY, 0));
                let closed = self.moment(HOUR, 5 * DAY);
                let row = format!("{id},{person},solved,high,invoice,{opened},{closed}");
                let header =
                    "external_id,person_external_id,status,priority,category,opened_at,closed_at";
                self.rows("tickets", header, &[row]).await;
                "a ticket that is closed later"
            }
            11 => {
                // What the others are computed from is older than what these are.
                self.order().await;
                let some: Vec<_> = (0..SEGMENTS / 2).map(key).collect();
                let at = self.tick();
                segments::refresh(&self.place, &some, self.as_of, at, false)
                    .await
                    .unwrap();
                self.order().await;
                "an order, half a refresh and another order"
            }
            12 | 13 => {
                let at = self.tick();
                let done = self.decide(at).await;
                match done {
                    Some(entry) if self.decided.is_none() => self.decided = Some(entry),
                    _ => self.decided = None,
                }
                "persons are merged, or that is taken back"
            }
            16 => {
                let persons = self
                    .lake
                    .sql("select person_id from people order by person_id");
                let person = persons.choose(&mut self.random).unwrap()["person_id"].as_i64();
                let decider = Decider {
                    by: "kim".to_owned(),
                    at: self.tick(),
                    dry_run: false,
                };
                erase(&self.place, person.unwrap(), &decider).await.unwrap();
                // A merge that named one of their records cannot be taken back any more.
                self.decided = None;
                "a person is erased"
            }
            14 => {
                let key = key(self.random.random_range(6..SEGMENTS));
                let definition = segments::show(&self.place, &key).await.unwrap().definition;
                let at = self.tick();
                segments::delete(&self.place, &key, at).await.unwrap();
                let at = self.tick();
                segments::put(&self.place, &Draft::new(key, definition.criteria), at)
                    .await
                    .unwrap();
                "a segment is deleted and written again"
            }
            _ => {
                let at = self.tick();
                let lake = self.open().await;
                let turn = Mutex::new(());
                let limits = Limits::default();
                compact_lake(&lake, limits, Extent::All, at, &turn)
                    .await
                    .unwrap();
                "compaction"
            }
        }
    }

    async fn open(&self) -> Lake {
        Lake::open(&self.place.location, self.place.tenant.clone())
            .await
            .unwrap()
    }

    /// Takes the merge back that holds, or makes two persons one.
    async fn decide(&mut self, at: Timestamp) -> Option<String> {
        let wanted = match &self.decided {
            Some(entry) => Wanted::Undo(entry.clone()),
            None => {
                let persons = self
                    .lake
                    .sql("select person_id from people where order_count > 0 order by person_id");
                let mut two = persons.choose_multiple(&mut self.random, 2);
                let mut next = || two.next().unwrap()["person_id"].as_i64().unwrap();
                Wanted::Merge(next(), next())
            }
        };
        let decider = Decider {
            by: "kim".to_owned(),
            at,
            dry_run: false,
        };
        let followed = decide(&self.place, &wanted, &decider).await.unwrap();
        assert!(!followed.moved.is_empty(), "{wanted:?}");
        Some(followed.entry)
    }

    async fn order(&mut self) {
        let (person, when) = (self.person(), self.moment(-DAY, DAY));
        let status = ["paid", "pending"].choose(&mut self.random).unwrap();
        let id = self.written;
        let row = format!("N{id},{person},{status},EUR,250.00,{when},{when}");
        let header = "external_id,person_external_id,status,currency,total,placed_at,paid_at";
        self.rows("orders", header, &[row]).await;
    }

    fn key(&mut self) -> SegmentKey {
        key(self.random.random_range(0..SEGMENTS))
    }

    fn interval(&mut self) -> String {
        let days = [1, 7, 30, 90, 365].choose(&mut self.random).unwrap();
        format!("interval '{days} days'")
    }

    fn atom(&mut self) -> String {
        let kind = [
            "page_viewed",
            "email_clicked",
            "email_opened",
            "order_placed",
            "order_paid",
        ];
        let kind = *kind.choose(&mut self.random).unwrap();
        let within = self.interval();
        let number = self.random.random_range(1..4);
        match self.random.random_range(0..22) {
            0 => format!("did('{kind}', within => {within})"),
            1 => format!("did('{kind}', at_least => {number}, within => {within})"),
            2 => format!("times('{kind}', within => {within}) < {number}"),
            3 => format!("spent(within => {within}) >= {number}00"),
            4 => format!("total_spent > {number}50"),
            5 => format!("last_order_at < now() - {within}"),
            6 => format!("last_time('{kind}') between now() - {within} and now()"),
            7 => "country = 'DE'".to_owned(),
            8 => "not country in ('FR', 'US')".to_owned(),
            9 => format!("ordered(within => {within})"),
            10 => "did('page_viewed', within => last_month())".to_owned(),
            11 => "spent(within => this_quarter()) > 0".to_owned(),
            12 => format!("sequence('email_opened', '{kind}', within => {within})"),
            13 => format!("did('order_refunded', within => {within})"),
            14 => "has_ticket(status => 'solved') or open_ticket_count > 0".to_owned(),
            15 => "has_deal(status => 'open')".to_owned(),
            16 => format!("bought('clothing', within => {within})"),
            17 => "did('page_viewed', from => '2025-01-01', until => '2025-06-16')".to_owned(),
            18 => {
                let other = self.random.random_range(0..6);
                format!("in_segment('{}')", key(other))
            }
            19 => format!("did('{kind}', within => {within}, where => 'person_id % 2 = 0')"),
            20 => "date_part('month', now()) = 6 or is_lead".to_owned(),
            _ => "person_id in (select person_id from orders group by 1 having count(*) > 2)"
                .to_owned(),
        }
    }

    fn criteria(&mut self) -> String {
        let mut criteria = self.atom();
        for _ in 0..self.random.random_range(0..3) {
            let joined = ["and", "or", "and not"].choose(&mut self.random).unwrap();
            criteria = format!("({criteria}) {joined} ({})", self.atom());
        }
        criteria
    }

    async fn define(&mut self) {
        for at in 0..SEGMENTS {
            let mut criteria = self.criteria();
            // What nobody asks about otherwise, so that nothing else finds whom it concerns.
            if at == SEGMENTS - 1 {
                "did('form_submitted', within => interval '1 day')".clone_into(&mut criteria);
            }
            // The first ones are named by others, and name none themselves.
            while at < 6 && criteria.contains("in_segment") {
                criteria = self.criteria();
            }
            let now = self.tick();
            segments::put(&self.place, &Draft::new(key(at), criteria), now)
                .await
                .unwrap();
        }
    }

    async fn refresh(&mut self, is_full: bool) -> Vec<(SegmentKey, segments::Done)> {
        let at = self.tick();
        let all = segments::refresh(&self.place, &[], self.as_of, at, is_full).await;
        let done = |one: segments::Outcome| {
            let done = one.result;
            let done = done.unwrap_or_else(|error| panic!("{}: {error}", one.segment));
            (one.segment, done)
        };
        all.unwrap().into_iter().map(done).collect()
    }

    /// That preview, list, pages and ledger say the same as the refresh.
    async fn agree(&mut self, what: &str, done: &[(SegmentKey, segments::Done)]) {
        let lake = self.open().await;
        let state = lake.head().await.unwrap();
        for (key, done) in done {
            let (_, members) = segments::members(&self.place, key, None).await.unwrap();
            assert_eq!(
                members.len() as u64,
                done.refreshed.count,
                "{key} after {what}"
            );
            let changes = ledger::changes(&lake, &state, Some(key)).await.unwrap();
            let replayed = ledger::replayed(&lake, &changes).await.unwrap();
            assert!(
                replayed.iter().eq(members.iter().copied()),
                "{key}: ledger after {what}"
            );
        }
        for _ in 0..2 {
            let key = self.key();
            let listed = segments::show(&self.place, &key).await.unwrap();
            let criteria = &listed.definition.criteria;
            let shown = segments::preview(&self.place, criteria, self.as_of)
                .await
                .unwrap();
            assert_eq!(
                Some(shown.count),
                listed.count,
                "{key}: preview after {what}"
            );
            let (mut pages, mut token) = (Vec::new(), None);
            let pull = Pull::of_all(17);
            loop {
                let page =
                    segments::members_page(&self.place, &key, token.as_deref(), &pull, self.now);
                let page = page.await.unwrap();
                pages.extend(page.members);
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(pages.len() as u64, shown.count, "{key}: pages after {what}");
            assert_eq!(
                segments::members(&self.place, &key, None).await.unwrap().1,
                pages
            );
        }
    }
}

fn key(at: usize) -> SegmentKey {
    format!("s{at}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patched_is_full_after_whatever_changed() {
    let mut world = World::new("patched", 7).await;
    world.define().await;
    let first = world.refresh(false).await;
    assert!(first.iter().all(|(_, done)| done.how == How::Full));
    world.agree("the first refresh", &first).await;
    let (mut patched, mut moved) = (0, 0);
    for round in 0..times("ROLLBOOK_TEST_CHANGES", CHANGES) {
        let kind = match round {
            // Each kind once before chance decides; rows that are yet to happen come first, and
            // then the hours in which they do.
            0..17 => {
                let order = [12, 5, 11, 3, 13, 14, 16, 6, 4, 15, 1, 9, 2, 10, 7, 8, 0];
                order[usize::try_from(round).unwrap()]
            }
            _ => world.random.random_range(0..17),
        };
        let what = world.change(kind).await;
        let done = world.refresh(false).await;
        world.agree(what, &done).await;
        patched += done.iter().filter(|(_, one)| one.how != How::Full).count();
        moved += done
            .iter()
            .map(|(_, one)| one.entered + one.left)
            .sum::<u64>();
        for (key, full) in world.refresh(true).await {
            let differs = (full.entered, full.left);
            let criteria = segments::show(&world.place, &key).await.unwrap();
            let criteria = criteria.definition.criteria;
            assert_eq!(
                differs,
                (0, 0),
                "{key} after {what} in round {round}: {criteria}"
            );
        }
    }
    assert!(patched > 0 && moved > 0, "{patched} patched, {moved} moved");
    fs::remove_dir_all(world.lake.path("lake")).unwrap();
}

/// Every line of an explanation, with what it says.
fn lines<'a>(line: &'a Line, all: &mut Vec<&'a Line>) {
    all.push(line);
    line.parts.iter().for_each(|part| lines(part, all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_say_what_memberships_say() {
    let mut world = World::new("explained", 11).await;
    world.define().await;
    let as_of = world.as_of;
    let mut turned = 0;
    for pair in 0..times("ROLLBOOK_TEST_PAIRS", PAIRS) {
        let key = world.key();
        let person = world.random.random_range(1..=u64::from(PERSONS));
        let explained = segments::explain(&world.place, &key, person, as_of).await;
        let explained = explained.unwrap().explained;
        let definition = segments::show(&world.place, &key).await.unwrap().definition;
        let is_member = |criteria: String, as_of| {
            let place = &world.place;
            async move {
                let impact = segments::matches(place, &criteria, as_of).await;
                impact.unwrap().contains(person)
            }
        };
        let what = format!("{person} in {key}: {}", definition.criteria);
        let belongs = is_member(definition.criteria.clone(), as_of).await;
        assert_eq!(explained.is_member, belongs, "{what}");
        let mut all = Vec::new();
        lines(&explained.why, &mut all);
        // Every line of the first ones, and of later ones one each.
        let chosen = match pair {
            0..6 => all,
            _ => all.choose(&mut world.random).copied().into_iter().collect(),
        };
        for line in chosen {
            let is_met = is_member(line.text.clone(), as_of).await;
            assert_eq!(line.is_met == Some(true), is_met, "{what}: {}", line.text);
        }
        if let Some(at) = explained.turns_at {
            turned += 1;
            let before = Timestamp::from_micros(at.micros() - 1);
            let (before, after) = (
                is_member(definition.criteria.clone(), before).await,
                is_member(definition.criteria.clone(), at).await,
            );
            assert_eq!((before, after), (belongs, !belongs), "{what}: at {at}");
        }
    }
    assert!(turned > 0);
}
