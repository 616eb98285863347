//! Random rows, rules and legal holds: what is left is what an independent computation says, figures after
//! the lines are the same, and patched members are those of a full evaluation.

use std::collections::{BTreeMap, BTreeSet};

use rollbook_app::retention::hold;
use serde_json::{Value, json};

use super::shop::{ACTIVITIES, ORDERS, PERSONS, REFUNDS, Shop, decider};

/// Runs of the test; ROLLBOOK_TEST_RETENTIONS sets more.
const ROUNDS: u64 = 3;

/// A generator of random numbers (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// A day of 2023 to 2025.
    fn day(&mut self) -> String {
        let (year, month, day) = (2023 + self.below(3), 1 + self.below(12), 1 + self.below(28));
        format!("{year}-{month:02}-{day:02}")
    }
}

/// A row: its table, its id, its person, and its day.
type Row = (&'static str, String, String, String);

struct Rows {
    all: Vec<Row>,
    next: u64,
}

impl Rows {
    /// More random rows, as texts by table.
    fn more(&mut self, dice: &mut Dice) -> BTreeMap<&'static str, Vec<String>> {
        let mut texts: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for _ in 0..60 {
            self.next += 1;
            let (id, day) = (self.next, dice.day());
            let person = format!("p{}", dice.below(12));
            let table = ["activities", "orders", "activities"][dice.below(3) as usize];
            let text = match table {
                "orders" => format!("o{id},{person},paid,EUR,{},{day}", 1 + dice.below(50)),
                _ => format!("x{id},{person},page_viewed,{day},"),
            };
            texts.entry(table).or_default().push(text);
            let prefix = if table == "orders" { "o" } else { "x" };
            self.all
                .push((table, format!("{prefix}{id}"), person.clone(), day));
            // Its refund names no person.
            if table == "orders" && dice.below(3) == 0 {
                let refunded = dice.day();
                let text = format!("r{id},,o{id},1,EUR,{refunded}");
                texts.entry("refunds").or_default().push(text);
                self.all
                    .push(("refunds", format!("r{id}"), person, refunded));
            }
        }
        texts
    }
}

/// Figures of the days from a line on, by table.
fn figures(shop: &Shop, line: &str) -> Vec<Value> {
    shop.lake.sql(&format!(
        "select 'orders' as of_table, person_id, count(*) as n, sum(total) as amount from orders \
         where placed_at >= timestamp '{line}' group by person_id \
         union all select 'activities', person_id, count(*), null from activities \
         where occurred_at >= timestamp '{line}' group by person_id \
         union all select 'refunds', person_id, count(*), sum(amount) from refunds \
         where refunded_at >= timestamp '{line}' group by person_id \
         order by of_table, person_id"
    ))
}

/// The ids of all rows.
fn ids(shop: &Shop) -> BTreeSet<String> {
    let rows = shop.lake.sql(
        "select external_id from orders union all select external_id from activities \
         union all select external_id from refunds",
    );
    let ids = rows
        .iter()
        .map(|row| row["external_id"].as_str().unwrap().to_owned());
    ids.collect()
}

async fn take(shop: &mut Shop, at: &str, texts: &BTreeMap<&'static str, Vec<String>>) {
    for (table, columns) in [
        ("orders", ORDERS),
        ("activities", ACTIVITIES),
        ("refunds", REFUNDS),
    ] {
        let rows = texts.get(table).map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        if !rows.is_empty() {
            shop.take(at, &[(table, columns, &rows)]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_what_the_rules_say() {
    let rounds = std::env::var("ROLLBOOK_TEST_RETENTIONS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        one_round(round).await;
    }
}

async fn one_round(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(7_919) + 1);
    let mut shop = Shop::new("retention-random");
    let persons: Vec<String> = (0..12)
        .map(|n| format!("p{n},p{n}@example.com,P,Number{n},,2023-01-01,2025-12-31"))
        .collect();
    let persons: Vec<&str> = persons.iter().map(String::as_str).collect();
    shop.take("2026-01-01", &[("persons", PERSONS, &persons)])
        .await;
    let mut rows = Rows {
        all: Vec::new(),
        next: 0,
    };
    let texts = rows.more(&mut dice);
    take(&mut shop, "2026-01-02", &texts).await;
    for (key, criteria) in [
        ("spent", "total_spent >= 60"),
        ("viewed", "did('page_viewed', at_least => 3)"),
        ("refunded", "did('order_refunded')"),
        ("recent", "spent(within => interval '500 days') >= 30"),
    ] {
        shop.put(key, criteria, "2026-01-03").await;
    }
    shop.refresh("2026-01-04", false).await;
    let texts = rows.more(&mut dice);
    take(&mut shop, "2026-01-05", &texts).await;

    let held: BTreeSet<String> = (0..dice.below(4))
        .map(|_| format!("p{}", dice.below(12)))
        .collect();
    for id in &held {
        let person = shop.person(id);
        hold(&shop.workspace, person, None, &decider("2026-01-06", false))
            .await
            .unwrap();
    }
    let mut left: BTreeSet<String> = rows.all.iter().map(|row| row.1.clone()).collect();
    assert_eq!(ids(&shop), left, "round {seed}");
    // Twice, with other lines; in between some members are patched.
    for step in 0..2_u32 {
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for table in ["orders", "activities", "refunds"] {
            let days = u32::try_from(300 + dice.below(700)).unwrap() / (step + 1);
            shop.set(table, days).await;
            let query =
                format!("select cast(date '2026-02-01' - interval '{days} days' as date) as d");
            lines.insert(table, shop.value(&query).as_str().unwrap()[..10].to_owned());
        }
        let last = lines.values().max().unwrap().clone();
        let before = figures(&shop, &last);
        let report = shop.run("2026-02-01T15:00:00Z").await;
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for (table, id, person, day) in &rows.all {
            if *day < lines[table] && !held.contains(person) && left.remove(id) {
                *expected.entry((*table).to_owned()).or_default() += 1;
            }
        }
        assert_eq!(
            json!(report.rows),
            json!(expected),
            "round {seed}, step {step}"
        );
        assert_eq!(ids(&shop), left, "round {seed}, step {step}");
        assert_eq!(figures(&shop, &last), before, "round {seed}, step {step}");
        shop.refresh("2026-02-02", false).await;
        assert_eq!(
            shop.refresh("2026-02-02", true).await,
            0,
            "round {seed}, step {step}"
        );
        shop.check();
        // Rows that arrive later are compared with what is left.
        let texts = rows.more(&mut dice);
        take(&mut shop, "2026-02-03", &texts).await;
        left = ids(&shop);
        shop.refresh("2026-02-04", false).await;
        assert_eq!(
            shop.refresh("2026-02-04", true).await,
            0,
            "round {seed}, step {step}"
        );
    }
}
