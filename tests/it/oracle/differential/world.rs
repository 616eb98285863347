//! A lake with segments, the moment of evaluation, and the expected members.

use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;
use rollbook_app::ingest::{Ingest, ingest};
use rollbook_app::segments::{self, Done, Draft, Outcome};
use rollbook_app::{Workspace, data};
use rollbook_ingest::Progress;
use rollbook_lake::Lake;
use rollbook_model::config::Limits;
use rollbook_model::{BatchId, Timestamp};
use rollbook_segments::definition;
use rollbook_segments::membership::{current, persons};

use super::bounds::Bounds;
use super::definitions::Definitions;
use super::duckdb::Oracle;
use super::held_back::HeldBack;
use super::key;
use super::rows::{DAY, Rows};
use super::values::{GENERATED, OLIST, Values};
use super::ways::Ways;
use crate::support::own_lake::OwnLake;

/// Maximum number of differing persons that a failure lists.
const NAMED: usize = 20;

pub(super) struct World {
    pub(super) name: &'static str,
    pub(super) seed: u64,
    pub(super) lake: OwnLake,
    pub(super) workspace: Workspace,
    /// The same workspace with a cache.
    pub(super) warm: Workspace,
    pub(super) oracle: Oracle,
    pub(super) values: &'static Values,
    pub(super) random: ChaCha8Rng,
    /// Values that existed when the segments were drawn.
    pub(super) bounds: Bounds,
    pub(super) definitions: Definitions,
    pub(super) ways: Ways,
    /// The moment of evaluation.
    pub(super) as_of: Timestamp,
    /// The current time.
    pub(super) now: Timestamp,
    /// Persons `P1` and so on have native rows.
    pub(super) persons: u32,
    /// Number of written batches.
    pub(super) written: u32,
    /// Number of ids given to rows.
    pub(super) ids: u32,
    /// Orders that rows refer to and that have not arrived yet.
    pub(super) lost: Vec<String>,
    pub(super) last_batch: Option<BatchId>,
    /// A merge in force.
    pub(super) decided: Option<String>,
    pub(super) held_back: Option<HeldBack>,
}

impl World {
    fn new(name: &'static str, seed: u64, values: &'static Values, as_of: &str) -> Self {
        let lake = OwnLake::new(name);
        let oracle = Oracle::start(&lake.path("lake/default"), values.zone);
        let location = lake.path("lake").to_str().unwrap().to_owned();
        let limits = Limits {
            rows: 10_000_000,
            ..Limits::default()
        };
        let workspace = Workspace::new(location, "default".parse().unwrap(), limits);
        Self {
            name,
            seed,
            oracle,
            warm: workspace.clone().with_cache(),
            workspace,
            lake,
            values,
            bounds: Bounds::default(),
            definitions: Definitions::none(),
            ways: Ways::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            as_of: as_of.parse().unwrap(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            persons: 0,
            written: 0,
            ids: 0,
            lost: Vec::new(),
            last_batch: None,
            decided: None,
            held_back: None,
        }
    }

    /// Two years of data from `rollbook generate`, as of their middle.
    pub(super) async fn generated(name: &'static str, seed: u64, persons: u32) -> Self {
        let mut world = Self::new(name, seed, &GENERATED, "2025-06-15T12:00:00Z");
        world.persons = persons;
        let data = world.lake.path("data");
        let (count, seed) = (persons.to_string(), seed.to_string());
        let mut arguments = vec!["generate", "--persons", &count, "--seed", &seed];
        arguments.extend(["--out", data.to_str().unwrap()]);
        world.lake.json(&arguments);
        world.take_in("native", data).await;
        world.begin(60).await;
        world
    }

    /// Olist up to a moment, and persons with native rows.
    pub(super) async fn olist(name: &'static str, seed: u64, folder: PathBuf) -> Self {
        let mut world = Self::new(name, seed, &OLIST, "2018-03-01T12:00:00Z");
        world.held_back = Some(HeldBack::new(folder));
        world.next_slice().await;
        world.persons = 150;
        let mut rows = Rows::default();
        for person in 1..=world.persons {
            world.says(&mut rows, &format!("P{person}"));
        }
        world.write(rows).await;
        world.begin(150).await;
        world
    }

    /// Gives the tenant settings, and persons rows of all kinds.
    async fn begin(&mut self, rows: u32) {
        let (zone, at) = (self.values.zone, self.tick());
        let settings = data::set(&self.workspace, "timezone", zone, at)
            .await
            .unwrap();
        assert_eq!(settings.currency.as_deref(), Some(self.values.currency));
        let mut rows = self.facts(rows, -400 * DAY, 20 * DAY);
        for _ in 0..self.persons / 10 {
            let person = self.person();
            self.says(&mut rows, &person);
        }
        self.rate(&mut rows);
        self.write(rows).await;
    }

    pub(super) fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_micros(self.now.micros() + 1_000);
        self.now
    }

    pub(super) async fn open(&self) -> Lake {
        Lake::open(&self.workspace.location, self.workspace.tenant.clone())
            .await
            .unwrap()
    }

    pub(super) async fn take_in(&mut self, provider: &str, path: PathBuf) {
        let at = self.tick();
        self.written += 1;
        let batch: BatchId = format!("batch-{}", self.written).parse().unwrap();
        let what = Ingest {
            provider: provider.parse().unwrap(),
            paths: vec![path],
            standard_input: None,
            mappings: None,
            dry_run: false,
            batch: batch.clone(),
            at,
        };
        let done = ingest(&self.workspace, what, &Progress::silent()).await;
        let done = done.unwrap();
        assert!(!done.tables.is_empty());
        for table in done.tables {
            assert_eq!(table.quarantined, 0, "{table:?}");
        }
        self.last_batch = Some(batch);
    }

    /// Ingests the next rows of those held back; returns `false` if there are none.
    pub(super) async fn next_slice(&mut self) -> bool {
        let out = self.lake.path(&format!("slice-{}", self.written));
        let held_back = self.held_back.as_mut();
        let count = held_back.map_or(0, |held_back| held_back.slice(self.as_of, &out));
        if count > 0 {
            self.take_in("olist", out).await;
        }
        count > 0
    }

    /// Draws this many segments, and saves them; they are evaluated when they are refreshed.
    pub(super) async fn define(&mut self, count: usize, depth: u32) {
        self.bounds = Bounds::of(&mut self.oracle, self.values, self.as_of);
        let size = (count, depth);
        self.definitions = Definitions::random(&mut self.random, self.values, &self.bounds, size);
        let lake = self.open().await;
        for at in 0..count {
            let draft = Draft::new(key(at), self.definitions.text(at));
            let now = self.tick();
            definition::put(&lake, &draft, now).await.unwrap();
        }
    }

    pub(super) async fn put(&mut self, at: usize) {
        let (text, now) = (self.definitions.text(at), self.tick());
        let saved = segments::put(&self.workspace, &Draft::new(key(at), text.clone()), now).await;
        saved.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    pub(super) async fn refresh(&mut self, is_warm: bool, is_full: bool) -> Vec<Done> {
        let at = self.tick();
        let workspace = if is_warm { &self.warm } else { &self.workspace };
        let all = segments::refresh(workspace, &[], self.as_of, at, is_full).await;
        let mut done: Vec<Option<Done>> = vec![None; self.definitions.len()];
        for Outcome {
            segment, result, ..
        } in all.unwrap()
        {
            let result = result.unwrap_or_else(|error| panic!("{segment}: {error}"));
            let at: usize = segment.as_str()[1..].parse().unwrap();
            done[at] = Some(result);
        }
        done.into_iter().map(Option::unwrap).collect()
    }

    /// The members of all segments.
    pub(super) async fn members(&self) -> Vec<RoaringTreemap> {
        let lake = self.open().await;
        let state = lake.head().await.unwrap();
        let mut all = Vec::new();
        for at in 0..self.definitions.len() {
            let refreshed = current(&state, &key(at)).unwrap().unwrap();
            all.push(persons(&lake, &refreshed).await.unwrap());
        }
        all
    }

    /// Compares the members of all segments with the expected ones.
    pub(super) fn compare(
        &self,
        members: &[RoaringTreemap],
        expected: &[RoaringTreemap],
        what: &str,
    ) {
        let few = |persons: RoaringTreemap| persons.iter().take(NAMED).collect::<Vec<_>>();
        let mut wrong = String::new();
        for (at, (members, expected)) in members.iter().zip(expected).enumerate() {
            if members != expected {
                let [more, less] = [members - expected, expected - members];
                wrong += &format!(
                    "\n{}: {} too many {:?}, {} missing {:?}: {}",
                    key(at),
                    more.len(),
                    few(more.clone()),
                    less.len(),
                    few(less.clone()),
                    self.definitions.text(at)
                );
            }
        }
        assert!(wrong.is_empty(), "{}{wrong}", self.told(what));
    }

    /// The position of a failure.
    pub(super) fn told(&self, what: &str) -> String {
        let (name, seed, as_of) = (self.name, self.seed, self.as_of);
        format!("{name} with seed {seed}, {what}, at {as_of}:")
    }
}
