//! The lead score against the true probabilities of generated data.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rollbook_model::Timestamp;
use serde_json::Value;

use crate::support::own_lake::{OwnLake, text};

const DAY: i64 = 86_400_000_000;
const HORIZON: i64 = 30 * DAY;
/// The moment of the test; the program must not see anything later.
const CUT_OFF: &str = "2025-09-01T00:00:00Z";

type Row = HashMap<String, String>;

fn read(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().micros()
}

/// The share of pairs of a positive and a negative example in which the positive one has the higher score, by
/// sorting and counting.
fn roc_auc(mut scored: Vec<(f64, bool)>) -> f64 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut won, mut trues, mut at) = (0.0, 0.0, 0.0, 0);
    while at < scored.len() {
        let same = scored[at..]
            .iter()
            .take_while(|one| one.0 == scored[at].0)
            .count();
        let true_here = scored[at..at + same].iter().filter(|one| one.1).count() as f64;
        let false_here = same as f64 - true_here;
        won += true_here * (below + false_here / 2.0);
        below += false_here;
        trues += true_here;
        at += same;
    }
    won / (trues * below)
}

#[test]
fn lead_score_ranks_nearly_as_well_as_true_probabilities() {
    let lake = OwnLake::new("truth");
    let input = lake.path("input");
    let out = input.to_str().unwrap();
    lake.json(&[
        "generate",
        "--persons",
        "16000",
        "--seed",
        "3",
        "--truth",
        "--out",
        out,
    ]);
    let leads = read(&input.join("truth/leads.csv"));
    let cut_off = micros(CUT_OFF);
    let mut bought: HashMap<String, i64> = HashMap::new();
    for order in read(&input.join("orders.csv")) {
        if !order["paid_at"].is_empty() {
            let at = micros(&order["paid_at"]);
            let first = bought
                .entry(order["person_external_id"].clone())
                .or_insert(at);
            *first = (*first).min(at);
        }
    }
    // The files say what the truth says: those of a probability convert that often, in their time.
    for band in [(0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0)] {
        let (mut expected, mut variance, mut found) = (0.0, 0.0, 0.0);
        for lead in &leads {
            let p: f64 = lead["probability"].parse().unwrap();
            let until = micros(&lead["decides_until"]);
            if !(band.0..band.1).contains(&p) || until > micros("2025-12-31T00:00:00Z") {
                continue;
            }
            expected += p;
            variance += p * (1.0 - p);
            if let Some(at) = bought.get(&lead["person_external_id"]) {
                assert!(
                    (micros(&lead["decides_from"])..until).contains(at),
                    "{lead:?}"
                );
                found += 1.0;
            }
        }
        assert!(found > 0.0, "{band:?}");
        assert!(
            (expected - found).abs() < 4.0 * f64::sqrt(variance),
            "{band:?} {expected} {found}"
        );
    }

    let is_data = |name: &str| name.ends_with(".csv");
    let files = std::fs::read_dir(&input)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<String> = files
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|name| is_data(name))
        .collect();
    let ingest: Vec<&str> = ["ingest", "native"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    lake.json(&ingest);
    lake.json(&["score", "train", "lead", "--as-of", CUT_OFF]);
    lake.json(&["score", "run", "lead", "--as-of", CUT_OFF]);
    let query = "select persons.external_id, scores.probability from scores join persons on persons.person_id = scores.person_id where scores.kind = 'lead'";
    let rows = lake.json(&["sql", query, "--limit", "1000000"]);
    let scores: HashMap<&str, f64> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row: &Value| {
            (
                text(row, "external_id"),
                row["probability"].as_f64().unwrap(),
            )
        })
        .collect();

    let (mut by_truth, mut by_score, mut candidates) = (Vec::new(), Vec::new(), HashSet::new());
    for lead in &leads {
        let person = lead["person_external_id"].as_str();
        let first = bought.get(person).copied();
        if micros(&lead["created_at"]) > cut_off || first.is_some_and(|at| at <= cut_off) {
            continue;
        }
        let (from, until) = (
            micros(&lead["decides_from"]),
            micros(&lead["decides_until"]),
        );
        let p: f64 = lead["probability"].parse().unwrap();
        let part =
            |a: i64, b: i64| (b.min(until) - a.max(from)).max(0) as f64 / (until - from) as f64;
        let truth = p * part(cut_off, cut_off + HORIZON) / (1.0 - p * part(i64::MIN, cut_off));
        let came_true = first.is_some_and(|at| at <= cut_off + HORIZON);
        by_truth.push((truth, came_true));
        by_score.push((scores[person], came_true));
        candidates.insert(person);
    }
    // All whom the program scores are leads: customers buy as they join.
    let others = scores
        .keys()
        .filter(|person| !candidates.contains(**person))
        .count();
    assert!(others * 100 < scores.len(), "{others} of {}", scores.len());
    let both = by_truth
        .iter()
        .zip(&by_score)
        .filter(|(truth, _)| truth.0 > 0.0);
    let (open_truth, open_score): (Vec<_>, Vec<_>) =
        both.map(|(truth, score)| (*truth, *score)).unzip();
    // Most leads are long past their decision, which is easy to tell: so the others alone, too.
    for (whom, truth, score) in [
        ("all leads", by_truth, by_score),
        ("those who can still decide", open_truth, open_score),
    ] {
        let count = truth.len();
        let (truth, score) = (roc_auc(truth), roc_auc(score));
        println!("{whom} ({count}): ROC AUC of the truth {truth:.4}, of the score {score:.4}");
        assert!(score >= truth - 0.02, "{score} is too far from {truth}");
    }
}
