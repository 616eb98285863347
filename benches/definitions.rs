//! What is done with the texts of 100 definitions before anything is planned: parsing them, the
//! names and the segments in them, what they cost, their clauses, and how they depend on the clock.
//! `--rounds N` changes how often; texts are new in every round, and then met once more.

use std::io;
use std::time::{Duration, Instant};

use rollbook_engine::{
    Atom, Clause, Condition, CostClass, CustomTrait, Session, SessionOptions, cost_class,
};
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;
use serde_json::{Value, json};

/// The run whose definitions are taken: `criteria.py` with seed 1.
const RUN: &str = include_str!("runs/2026-11-22-amd-epyc-2-cores/segments.json");
const STEPS: [&str; 6] = ["parse", "names", "cost", "needs", "clauses", "clock"];
const DAY: i64 = 86_400_000_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds = arguments.windows(2).find(|pair| pair[0] == "--rounds");
    let rounds = rounds.map_or(Ok(20), |pair| pair[1].parse());
    let rounds: u32 = rounds.map_err(io::Error::other)?;
    let run: Value = serde_json::from_str(RUN)?;
    let criteria = run["parameters"]["criteria"].as_array();
    let criteria = criteria.into_iter().flatten().filter_map(Value::as_str);
    let criteria: Vec<&str> = criteria.collect();
    let session = session()?;
    let (mut new, mut known) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Comments make texts of them that were never met before.
        let texts = criteria.iter().map(|text| format!("{text} -- {round}"));
        let texts: Vec<String> = texts.collect();
        new.push(pass(&session, &texts).map_err(io::Error::other)?);
        known.push(pass(&session, &texts).map_err(io::Error::other)?);
    }
    let record = json!({
        "definitions": criteria.len(),
        "rounds": rounds,
        "milliseconds": { "new_texts": medians(&new), "known_texts": medians(&known) },
    });
    println!("{record:#}");
    Ok(())
}

fn session() -> io::Result<Session> {
    let session = Session::new(SessionOptions {
        as_of: "2026-01-01T00:00:00Z".parse().map_err(io::Error::other)?,
        currency: None,
        zone: chrono_tz::Tz::UTC,
        fx_days: 7,
        limits: Limits::default(),
        spill_dir: None,
        personal: false,
        rules: Vec::new(),
    });
    let own = CustomTrait {
        name: "vip_score".to_owned(),
        sql: "select person_id, count(*) as n from orders group by person_id".to_owned(),
        default: None,
    };
    Ok(session.map_err(io::Error::other)?.with_traits(vec![own]))
}

/// The time of each step for all texts.
fn pass(
    session: &Session,
    texts: &[String],
) -> Result<[Duration; STEPS.len()], Box<dyn std::error::Error + Send + Sync>> {
    let mut times = [Duration::ZERO; STEPS.len()];
    let since = Timestamp::from_micros(session.as_of().micros() - DAY);
    for text in texts {
        let mut step = 0;
        let mut begun = Instant::now();
        let mut lap = || {
            times[step] += begun.elapsed();
            step += 1;
            begun = Instant::now();
        };
        let condition = Condition::parse(text, session.limits())?;
        lap();
        let own = condition.names_among(session.own_trait_names());
        lap();
        let class = CostClass::condition_in(text);
        let class = class.map_or_else(
            |class| class,
            |condition| cost_class(&condition, &|_| false),
        );
        lap();
        let needs = session.needs(&condition)?;
        lap();
        let clauses = Clause::of(&condition);
        for clause in clauses.conjuncts() {
            let condition = clause.condition();
            session.needs(&condition)?;
            atoms(&Clause::of(&condition), &mut |atom| {
                atom.compared_text();
                atom.activity_type().map(drop)
            })?;
        }
        lap();
        let clock = session.time_dependency(&condition, since)?;
        lap();
        std::hint::black_box((own, class, needs, clock));
    }
    Ok(times)
}

fn atoms<E>(clause: &Clause, look: &mut impl FnMut(&Atom) -> Result<(), E>) -> Result<(), E> {
    match clause {
        Clause::All(parts) | Clause::Any(parts) => {
            parts.iter().try_for_each(|part| atoms(part, look))
        }
        Clause::Not(part) => atoms(part, look),
        Clause::Atom(atom) => look(atom),
    }
}

/// The median of each step and of all together, in milliseconds.
fn medians(rounds: &[[Duration; STEPS.len()]]) -> Value {
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        (times[times.len() / 2].as_secs_f64() * 1e6).round() / 1e3
    };
    let step = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let mut medians: serde_json::Map<String, Value> = STEPS
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), json!(step(at))))
        .collect();
    let all = rounds.iter().map(|round| round.iter().sum()).collect();
    medians.insert("all".to_owned(), json!(median(all)));
    Value::Object(medians)
}
