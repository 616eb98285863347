//! Newsletter variants have the effect that the ground truth states.

use std::collections::{HashMap, HashSet};

use super::{Folder, options, read};
use crate::{Options, generate};

#[test]
fn click_rates_of_newsletters_match_their_variant() {
    let folder = Folder::new("variants");
    generate(&Options {
        activities: Some(120_000),
        truth: true,
        ..options(&folder.0, 6_000, 41)
    })
    .unwrap();
    let truth = read(&folder.0, "truth/variants");
    let truth: HashMap<&str, f64> = truth
        .iter()
        .map(|row| (&*row["campaign_id"], row["click_rate"].parse().unwrap()))
        .collect();
    let campaigns = read(&folder.0, "campaigns");
    let mut names: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in &campaigns {
        let has_rate = truth.contains_key(&*row["external_id"]);
        assert_eq!(!row["variant"].is_empty(), has_rate, "{row:?}");
        if has_rate {
            names.entry(&row["name"]).or_default().push(&row["variant"]);
        }
    }
    assert_eq!(names.len(), 52);
    assert!(names.values().all(|variants| *variants == ["a", "b"]));

    let activities = read(&folder.0, "activities");
    let mut seen: HashMap<(&str, &str), f64> = HashMap::new();
    let mut sent: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
    for row in activities
        .iter()
        .filter(|row| truth.contains_key(&*row["campaign_id"]))
    {
        let campaign = &*row["campaign_id"];
        *seen.entry((campaign, &row["type"])).or_default() += 1.0;
        let newsletter = campaign.rsplit_once('-').unwrap().0;
        sent.entry((&row["person_external_id"], newsletter))
            .or_default()
            .insert(campaign);
    }
    assert!(
        sent.values().all(|arms| arms.len() == 1),
        "somebody got both variants"
    );
    let (mut squares, mut opened_in_all) = (0.0, 0.0);
    for (campaign, rate) in &truth {
        let of = |kind| seen.get(&(*campaign, kind)).copied().unwrap_or(0.0);
        let (opened, clicked) = (of("email_opened"), of("email_clicked"));
        assert!(opened <= of("email_sent"), "{campaign}");
        opened_in_all += opened;
        let variance = opened * rate * (1.0 - rate);
        if variance > 0.0 {
            let deviation = (clicked - opened * rate) / variance.sqrt();
            assert!(
                deviation.abs() < 4.5,
                "{campaign}: {clicked} of {opened}, not {rate}"
            );
            squares += deviation * deviation;
        }
    }
    // The squares of 104 such deviations sum to 104, give or take four times the root of 208.
    assert!(opened_in_all > 5_000.0, "{opened_in_all} opened");
    assert!((46.0..162.0).contains(&squares), "{squares}");
    let rate = |variant| truth[&*format!("news-{variant}")];
    let differ = (1..=52).filter(|n| {
        let (a, b) = (rate(format!("{n:02}-a")), rate(format!("{n:02}-b")));
        (b / a - 1.0).abs() > 0.2
    });
    assert!(differ.count() > 20, "hardly any test has an outcome");
}
