//! The ground truth of leads agrees with their visible activities.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Folder, Rows, counts, options, read, seconds};
use crate::calendar::{DAY, END, HOUR};
use crate::{Options, generate};

/// A person without an order when they joined, as found in the files.
#[derive(Debug, Default)]
struct Told {
    /// In millionths.
    probability: u64,
    created_at: i64,
    channel: String,
    /// Counts of the first three days: pages, prices, forms, clicks.
    first_days: [u32; 4],
    /// Times of activities after those days and before any order.
    later: Vec<i64>,
    /// When each order was placed and paid.
    orders: Vec<(i64, Option<i64>)>,
}

/// More than 20,000 leads, generated once for all tests of this file.
fn leads() -> &'static [Told] {
    static LEADS: OnceLock<Vec<Told>> = OnceLock::new();
    LEADS.get_or_init(|| {
        let folder = Folder::new("leads");
        let asked = Options {
            orders: Some(45_000),
            activities: Some(200_000),
            truth: true,
            ..options(&folder.0, 45_000, 21)
        };
        generate(&asked).unwrap();
        told(
            &read(&folder.0, "truth/leads"),
            &read(&folder.0, "orders"),
            &read(&folder.0, "activities"),
            &read(&folder.0, "persons"),
        )
    })
}

fn told(truth: &Rows, orders: &Rows, activities: &Rows, persons: &Rows) -> Vec<Told> {
    let mut told: HashMap<&str, Told> = HashMap::new();
    for row in truth {
        let created_at = seconds(row, "created_at");
        assert_eq!(seconds(row, "decides_from"), created_at + 3 * DAY);
        assert_eq!(seconds(row, "decides_until"), created_at + 63 * DAY);
        let (whole, millionths) = row["probability"].split_once('.').unwrap();
        assert_eq!((whole, millionths.len()), ("0", 6), "{row:?}");
        let one = Told {
            created_at,
            probability: millionths.parse().unwrap(),
            ..Told::default()
        };
        assert!(told.insert(&row["person_external_id"], one).is_none());
    }
    for row in orders {
        if let Some(one) = told.get_mut(&*row["person_external_id"]) {
            let paid_at = counts(row).then(|| seconds(row, "paid_at"));
            one.orders.push((seconds(row, "placed_at"), paid_at));
        }
    }
    for one in told.values_mut() {
        one.orders.sort_unstable();
    }
    let mut first: HashMap<&str, i64> = HashMap::new();
    for row in activities {
        let person = &*row["person_external_id"];
        let Some(one) = told.get_mut(person) else {
            continue;
        };
        let at = seconds(row, "occurred_at");
        let earliest = first.entry(person).or_insert(at);
        *earliest = at.min(*earliest);
        if row["type"] == "signed_up" {
            assert_eq!(at, one.created_at, "{row:?}");
            assert!(one.channel.is_empty(), "signed up twice: {row:?}");
            one.channel.clone_from(&row["channel"]);
        }
        if at >= one.created_at + 3 * DAY {
            if one.orders.first().is_none_or(|order| at < order.0) {
                one.later.push(at);
            }
            continue;
        }
        let kinds = [
            "page_viewed",
            "pricing_viewed",
            "form_submitted",
            "email_clicked",
        ];
        if let Some(kind) = kinds.iter().position(|kind| row["type"] == *kind) {
            one.first_days[kind] += 1;
        }
    }
    for row in persons {
        if let Some(one) = told.get(&*row["external_id"]) {
            let id = &*row["external_id"];
            assert_eq!(seconds(row, "created_at"), one.created_at);
            assert_eq!(first[id], one.created_at, "{id} is seen before they came");
            let visitor = one.probability == 0;
            let is_lead = one.orders.is_empty() && !visitor;
            assert_eq!(row["is_lead"], is_lead.to_string(), "{row:?}");
        }
    }
    told.into_values().collect()
}

/// The probability by the documented formula, from visible activities only.
fn recomputed(lead: &Told) -> f64 {
    let channel = match lead.channel.as_str() {
        "organic" => 0.0,
        "direct" => 0.3,
        "paid_search" => 0.2,
        "paid_social" => -0.9,
        "referral" => 0.9,
        "email" => 0.6,
        "affiliate" => return 0.0,
        other => panic!("a channel `{other}`"),
    };
    let effects = [0.6, 1.1, 1.0, 0.8].into_iter().zip(lead.first_days);
    let effects: f64 = effects
        .map(|(effect, n)| effect * f64::from(n).ln_1p())
        .sum();
    1.0 / (1.0 + (3.1 - channel - effects).exp())
}

#[test]
fn probability_depends_on_visible_activities_only() {
    assert!(leads().iter().filter(|lead| lead.probability > 0).count() > 20_000);
    // The last three days of some lie behind the end of the data.
    let seen = leads()
        .iter()
        .filter(|lead| lead.created_at + 3 * DAY <= END);
    for lead in seen {
        let given = lead.probability as f64 / 1e6;
        assert!((recomputed(lead) - given).abs() < 2e-3, "{given} {lead:?}");
    }
    let visitors = leads().iter().filter(|lead| lead.probability == 0).count();
    assert!((2_500..4_000).contains(&visitors), "{visitors} visitors");
}

#[test]
fn purchase_rate_of_leads_equals_their_probability() {
    let decided = |lead: &&Told| lead.created_at + 63 * DAY <= END;
    let mut leads: Vec<(u64, bool)> = leads()
        .iter()
        .filter(decided)
        .map(|lead| (lead.probability, !lead.orders.is_empty()))
        .collect();
    leads.sort_unstable();
    for bin in leads.chunks(leads.len().div_ceil(12)) {
        let chances = bin.iter().map(|lead| lead.0 as f64 / 1e6);
        let expected: f64 = chances.clone().sum();
        let deviation = chances.map(|p| p * (1.0 - p)).sum::<f64>().sqrt();
        let buyers = bin.iter().filter(|lead| lead.1).count() as f64;
        assert!(
            (buyers - expected).abs() <= 4.0 * deviation,
            "of {} leads with chances up to {}, {buyers} bought and not {expected}",
            bin.len(),
            bin[bin.len() - 1].0
        );
    }
}

#[test]
fn first_order_is_paid_at_once_within_its_window() {
    let mut places = Vec::new();
    for lead in leads().iter().filter(|lead| !lead.orders.is_empty()) {
        let (placed_at, paid_at) = lead.orders[0];
        assert_eq!(Some(placed_at), paid_at, "{lead:?}");
        let place = placed_at - lead.created_at - 3 * DAY;
        assert!((0..60 * DAY).contains(&place), "{lead:?}");
        if lead.created_at + 63 * DAY <= END {
            places.push(place);
        }
    }
    // Kolmogorov and Smirnov: the largest distance from the uniform distribution.
    places.sort_unstable();
    let count = places.len() as f64;
    let distance = (1..).zip(&places).map(|(rank, place)| {
        let uniform = *place as f64 / (60 * DAY) as f64;
        (f64::from(rank) / count - uniform).abs()
    });
    let distance = distance.fold(0.0, f64::max);
    assert!(
        count > 2_000.0 && distance < 1.95 / count.sqrt(),
        "{count} {distance}"
    );
}

/// If those who will buy were more or less active, the weeks before would reveal them.
#[test]
fn later_events_do_not_reveal_who_buys() {
    for days in [10, 20, 40] {
        let until = (3 + days) * DAY;
        let mut means = Vec::new();
        for buys in [false, true] {
            let watched = leads().iter().filter(|lead| {
                let first = lead.orders.first().map(|order| order.0);
                lead.probability > 0
                    && lead.created_at + 63 * DAY <= END
                    && first.is_some() == buys
                    && first.is_none_or(|at| at >= lead.created_at + until)
            });
            // Leads who click in e-mails accept mailings, and so have more activities, whether or not they buy.
            let watched = watched.filter(|lead| lead.first_days[3] > 0);
            let seen: Vec<f64> = watched
                .map(|lead| {
                    let is_within = |at: &&i64| **at < lead.created_at + until;
                    lead.later.iter().filter(is_within).count() as f64
                })
                .collect();
            let count = seen.len() as f64;
            let mean = seen.iter().sum::<f64>() / count;
            let spread = seen.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / count;
            means.push((mean, spread / count));
        }
        let (difference, variance) = (means[0].0 - means[1].0, means[0].1 + means[1].1);
        assert!(
            means[0].0 > 0.01,
            "{days} days: nothing is heard of them: {means:?}"
        );
        assert!(
            difference.abs() < 4.0 * variance.sqrt(),
            "{days} days: {means:?}"
        );
    }
    let any_hour_before = leads().iter().filter(|lead| {
        let first = lead.orders.first().map(|order| order.0);
        first.is_some_and(|first| lead.later.iter().any(|at| first - at < HOUR))
    });
    assert!(
        any_hour_before.count() < 20,
        "visits lead up to first orders"
    );
}
