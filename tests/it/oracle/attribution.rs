//! Attribution against a second computation: each conversion is joined with the touches of its person, and
//! a loop over each journey splits the value. On public touch logs, through custom mappings, and on
//! generated data.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDateTime;
use serde_json::Value;

use crate::support::own_lake::OwnLake;
use crate::support::raw_files::{Row, in_parts, rows};

const DAY: i64 = 86_400_000_000;
const MODELS: [&str; 4] = ["first", "last", "linear", "time-decay"];

/// Credits in ten-thousandths by model and channel; a channel of `None` means without a touch.
type Credits = BTreeMap<(&'static str, Option<String>), f64>;

struct Conversion {
    key: String,
    person: Option<String>,
    /// Microseconds.
    at: i64,
    /// Ten-thousandths.
    value: i64,
}

struct Touch {
    id: String,
    person: String,
    /// Microseconds.
    at: i64,
    channel: String,
}

/// The credit of each channel by each model.
fn expected(
    conversions: &[Conversion],
    touches: &[Touch],
    lookback: i64,
    half_life: i64,
) -> Credits {
    let mut by_person: BTreeMap<&str, Vec<&Touch>> = BTreeMap::new();
    for touch in touches {
        by_person.entry(&touch.person).or_default().push(touch);
    }
    type Journey = Vec<(i64, String, String)>;
    let mut journeys: BTreeMap<&str, (f64, Journey)> = BTreeMap::new();
    for conversion in conversions {
        let journey = journeys
            .entry(&conversion.key)
            .or_insert((conversion.value as f64, Vec::new()));
        let person = conversion.person.as_deref();
        let touches = person.and_then(|person| by_person.get(person));
        for touch in touches.into_iter().flatten() {
            let age = conversion.at - touch.at;
            if (0..lookback).contains(&age) {
                journey
                    .1
                    .push((age, touch.id.clone(), touch.channel.clone()));
            }
        }
    }
    let mut credits = Credits::new();
    for (value, mut touches) in journeys.into_values() {
        // The oldest first; of one moment by id.
        touches.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        let mut give = |model, channel: Option<&String>, amount: f64| {
            *credits.entry((model, channel.cloned())).or_default() += amount;
        };
        let Some(last) = touches.last() else {
            MODELS
                .into_iter()
                .for_each(|model| give(model, None, value));
            continue;
        };
        give("first", Some(&touches[0].2), value);
        give("last", Some(&last.2), value);
        let weight = |age: i64| (-(age as f64) / half_life as f64).exp2();
        let all: f64 = touches.iter().map(|touch| weight(touch.0)).sum();
        // The sum so far is rounded, so that nothing is left over at the end.
        let (mut equal, mut decayed, mut so_far) = (0.0, 0.0, 0.0);
        for (place, (age, _, channel)) in (1..).zip(&touches) {
            so_far += weight(*age);
            let is_last = place == touches.len();
            let until = |share: f64| {
                if is_last {
                    value
                } else {
                    (value * share).round()
                }
            };
            let (next, next_decayed) = (
                until(place as f64 / touches.len() as f64),
                until(so_far / all),
            );
            give("linear", Some(channel), next - equal);
            give("time-decay", Some(channel), next_decayed - decayed);
            (equal, decayed) = (next, next_decayed);
        }
    }
    credits
}

/// An amount as printed by the program, in ten-thousandths.
fn units(value: &Value) -> i64 {
    let text = value.as_str().unwrap().replace('.', "");
    text.parse().unwrap()
}

/// Compares the rows of the program with the second computation, and with the booked revenue.
fn compare(report: &Value, expected: &Credits, booked: i64, conversions: u64) {
    assert_eq!(units(&report["booked"]), booked);
    assert_eq!(report["conversions"], conversions);
    let rows = report["rows"].as_array().unwrap();
    for model in MODELS {
        let own: Vec<_> = rows.iter().filter(|row| row["model"] == model).collect();
        assert_eq!(
            own.iter().map(|row| units(&row["value"])).sum::<i64>(),
            booked,
            "{model}"
        );
        let shared: i64 = own.iter().map(|row| units(&row["conversions"])).sum();
        assert_eq!(shared.unsigned_abs(), conversions * 10_000, "{model}");
        let channels = expected.keys().filter(|(of, _)| *of == model).count();
        let without = expected.contains_key(&(model, None));
        let names = || {
            own.iter()
                .map(|row| row["channel"].to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            own.len(),
            channels + usize::from(!without),
            "{model} {:?} {expected:?}",
            names()
        );
        for row in own {
            let name = row["channel"].as_str().unwrap().to_owned();
            let channel = (name != "unattributed").then_some(name);
            let second = expected
                .get(&(model, channel.clone()))
                .copied()
                .unwrap_or(0.0);
            let first = units(&row["value"]) as f64;
            // Whole touches are exact; of shared ones each is rounded down or up to a
            // ten-thousandth, so that a channel may differ by less than a cent.
            let most = if ["first", "last"].contains(&model) {
                0.5
            } else {
                100.0
            };
            assert!(
                (first - second).abs() < most,
                "{model} {channel:?}: {first} {second}"
            );
        }
    }
}

fn micros(text: &str, format: &str) -> i64 {
    let time = NaiveDateTime::parse_from_str(text, format).unwrap();
    time.and_utc().timestamp_micros()
}

fn in_units(amount: &str) -> i64 {
    in_parts(amount, 10_000.0)
}

/// The number that a mapping makes from a count, as the id of a record.
fn numbered(number: usize) -> String {
    (1_000_000 + number).to_string()
}

fn run(lake: &OwnLake, provider: &str, folder: &Path) -> Value {
    let (folder, mappings) = (folder.to_str().unwrap().to_owned(), lake.path("mappings"));
    lake.json(&[
        "ingest",
        provider,
        &folder,
        "--mappings",
        mappings.to_str().unwrap(),
    ]);
    lake.json(&["attribution", "run"])
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn credits_of_a_public_touch_log_equal_a_second_computation() {
    let data = rollbook_tests::test_data();
    let lake = OwnLake::new("attribution_touchpoints");
    let folder = data.join("touchpoints_62k");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = file
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "csv"))
        .unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let source = format!("-- source: t = {name}\n");
    lake.write("mappings/persons.sql", &format!("-- about: customers\n-- table: persons\n{source}select customer_id as external_id from t"));
    lake.write("mappings/touches.sql", &format!("-- about: touches\n-- table: activities\n{source}select cast(1000000 + _line as varchar) as external_id, customer_id as person_external_id, interaction as type, channel, time as occurred_at from t"));
    lake.write("mappings/buys.sql", &format!("-- about: conversions\n-- table: orders\n{source}-- only: conversion = '1'\nselect cast(1000000 + _line as varchar) as external_id, customer_id as person_external_id, 'paid' as status, 'EUR' as currency, conversion_value as total, time as placed_at, time as paid_at from t"));
    let report = run(&lake, "log", &file);
    let (mut conversions, mut touches) = (Vec::new(), Vec::new());
    // The header is the first line.
    for (line, row) in (2..).zip(rows(&file)) {
        let id = numbered(line);
        let at = micros(&row["time"], "%Y-%m-%dT%H:%M:%SZ");
        if row["conversion"] == "1" {
            conversions.push(Conversion {
                key: id.clone(),
                person: row.get("customer_id").cloned(),
                at,
                value: in_units(&row["conversion_value"]),
            });
        }
        touches.push(Touch {
            id,
            person: row["customer_id"].clone(),
            at,
            channel: row["channel"].clone(),
        });
    }
    let second = expected(&conversions, &touches, 30 * DAY, 7 * DAY);
    compare(&report, &second, 114_235_000, 1_838);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn public_tutorial_gives_its_published_credits() {
    let data = rollbook_tests::test_data();
    let lake = OwnLake::new("attribution_playbook");
    let folder = data.join("attribution_playbook");
    lake.write("mappings/persons.sql", "-- about: customers\n-- table: persons\n-- source: s = sessions.csv\n-- existing: keep\n-- short: blank\nselect customer_id as external_id from s");
    lake.write("mappings/touches.sql", "-- about: sessions\n-- table: activities\n-- short: blank\n-- source: s = sessions.csv\nselect cast(1000000 + cast(session_id as bigint) as varchar) as external_id, customer_id as person_external_id, 'session' as type, coalesce(utm_medium, 'direct') as channel, started_at as occurred_at from s");
    lake.write("mappings/buys.sql", "-- about: conversions\n-- table: orders\n-- source: c = customer_conversions.csv\nselect customer_id || '/' || converted_at as external_id, customer_id as person_external_id, 'paid' as status, 'EUR' as currency, revenue as total, converted_at as placed_at, converted_at as paid_at from c");
    let report = run(&lake, "playbook", &folder);
    let time = "%Y-%m-%d %H:%M:%S";
    let conversions: Vec<_> = rows(&folder.join("customer_conversions.csv"))
        .into_iter()
        .map(|row| Conversion {
            key: format!("{}/{}", row["customer_id"], row["converted_at"]),
            person: Some(row["customer_id"].clone()),
            at: micros(&row["converted_at"], time),
            value: in_units(&row["revenue"]),
        })
        .collect();
    let touches: Vec<_> = rows(&folder.join("sessions.csv"))
        .into_iter()
        .map(|row| Touch {
            id: numbered(row["session_id"].parse().unwrap()),
            person: row["customer_id"].clone(),
            at: micros(&row["started_at"], time),
            channel: row
                .get("utm_medium")
                .cloned()
                .unwrap_or_else(|| "direct".to_owned()),
        })
        .collect();
    let second = expected(&conversions, &touches, 30 * DAY, 7 * DAY);
    compare(&report, &second, 2_750_000, 21);
}

#[test]
fn attributed_value_of_generated_data_equals_order_totals() {
    let lake = OwnLake::new("attribution_generated");
    let input = lake.path("input");
    lake.json(&[
        "generate",
        "--persons",
        "3000",
        "--seed",
        "11",
        "--out",
        input.to_str().unwrap(),
    ]);
    lake.json(&["ingest", "native", input.to_str().unwrap()]);
    let report = lake.json(&[
        "attribution",
        "run",
        "--lookback",
        "45d",
        "--half-life",
        "36h",
    ]);
    let rates: BTreeMap<(String, String), f64> = rows(&input.join("fx_rates.csv"))
        .into_iter()
        .map(|row| {
            let rate = row["rate"].parse().unwrap();
            ((row["day"].clone(), row["currency"].clone()), rate)
        })
        .collect();
    let counted = [
        "paid",
        "partially_paid",
        "fulfilled",
        "completed",
        "partially_refunded",
        "refunded",
    ];
    let facts = |name: &str, statuses: &[&str], at: [&str; 2], value: &str| {
        let conversion = |row: Row| {
            let when = row.get(at[0]).unwrap_or_else(|| &row[at[1]]);
            let rate = row.get("currency").and_then(|currency| {
                let day = when[..10].to_owned();
                rates.get(&(day, currency.clone()))
            });
            let amount: f64 = row.get(value).map_or(0.0, |text| text.parse().unwrap());
            Conversion {
                key: format!("{name}{}", row["external_id"]),
                person: row.get("person_external_id").cloned(),
                at: micros(when, "%Y-%m-%dT%H:%M:%SZ"),
                value: (amount * rate.unwrap_or(&1.0) * 10_000.0 + 0.5) as i64,
            }
        };
        let mut rows = rows(&input.join(name));
        rows.retain(|row| statuses.contains(&row["status"].as_str()));
        rows.into_iter().map(conversion).collect::<Vec<_>>()
    };
    let mut conversions = facts("orders.csv", &counted, ["paid_at", "placed_at"], "total");
    conversions.extend(facts(
        "deals.csv",
        &["won"],
        ["closed_at", "created_at"],
        "value",
    ));
    let touches: Vec<_> = rows(&input.join("activities.csv"))
        .into_iter()
        .filter_map(|row| {
            Some(Touch {
                id: row["external_id"].clone(),
                person: row.get("person_external_id")?.clone(),
                at: micros(&row["occurred_at"], "%Y-%m-%dT%H:%M:%SZ"),
                channel: row.get("channel")?.clone(),
            })
        })
        .collect();
    let booked: i64 = conversions.iter().map(|conversion| conversion.value).sum();
    let count = conversions.len() as u64;
    let second = expected(&conversions, &touches, 45 * DAY, DAY * 3 / 2);
    compare(&report, &second, booked, count);
    // Booked value equals the traits of all persons plus the orders of nobody known.
    let traits =
        lake.sql("select sum(total_spent) as spent, sum(won_deal_value) as won from people");
    let of_people = units(&traits[0]["spent"]) + units(&traits[0]["won"]);
    let of_nobody = lake.sql("select count(*) as n from orders where person_id = 0");
    assert!(
        of_people + units(&report["refunded"]) <= booked,
        "{of_nobody:?}"
    );
}

#[test]
fn touches_of_old_journeys_share_the_whole_value() {
    let lake = OwnLake::new("attribution_old");
    lake.write(
        "in/persons.csv",
        "external_id,created_at\np1,2024-01-01\np2,2024-01-01\n",
    );
    lake.write(
        "in/activities.csv",
        "external_id,person_external_id,type,channel,occurred_at\n\
         a1,p1,page_viewed,email,2024-05-01T00:00:00Z\n\
         a2,p1,page_viewed,social,2024-05-01T00:30:00Z\n\
         a3,p1,page_viewed,search,2024-05-01T00:30:00Z\n",
    );
    lake.write(
        "in/orders.csv",
        "external_id,person_external_id,status,currency,total,placed_at,paid_at\n\
         o1,p1,paid,EUR,100.00,2024-05-25T00:00:00Z,2024-05-25T00:00:00Z\n\
         o2,p2,paid,EUR,7.00,2024-05-25T00:00:00Z,2024-05-25T00:00:00Z\n",
    );
    lake.json(&["ingest", "native", lake.path("in").to_str().unwrap()]);
    let shared = |half_life: &str, lookback: &str| -> Vec<(String, i64)> {
        let decay = ["--models", "time-decay", "--as-of", "2024-07-01"];
        let spans = ["--half-life", half_life, "--lookback", lookback];
        let report = lake.json(&[&["attribution", "run"][..], &decay, &spans].concat());
        assert_eq!(units(&report["booked"]), 1_070_000);
        let rows = report["rows"].as_array().unwrap().iter();
        let row = |row: &Value| {
            (
                row["channel"].as_str().unwrap().to_owned(),
                units(&row["value"]),
            )
        };
        rows.map(row).collect()
    };
    let named = |all: [(&str, i64); 4]| all.map(|(name, units)| (name.to_owned(), units)).to_vec();
    // Of weights 1, 2 and 2, 24 days ago: which is 2^-1152 of what a touch at the purchase weighs.
    let fifths = [
        ("search", 400_000),
        ("social", 400_000),
        ("email", 200_000),
        ("unattributed", 70_000),
    ];
    assert_eq!(shared("30m", "30d"), named(fifths));
    // A touch half an hour earlier weighs nothing beside two of one moment, which weigh the same.
    let halves = [
        ("search", 500_000),
        ("social", 500_000),
        ("email", 0),
        ("unattributed", 70_000),
    ];
    assert_eq!(shared("1s", "36500d"), named(halves));
    let thirds = [
        ("search", 333_333),
        ("email", 333_333),
        ("social", 333_334),
        ("unattributed", 70_000),
    ];
    let mut even = shared("36500d", "30d");
    even.sort_by_key(|(name, units)| (*units, name.clone()));
    let mut expected = named(thirds);
    expected.sort_by_key(|(name, units)| (*units, name.clone()));
    assert_eq!(even, expected);
    assert_eq!(
        shared("30m", "1d"),
        [("unattributed".to_owned(), 1_070_000)]
    );
}
