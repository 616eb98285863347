//! Benchmark of resolving records to persons from given tokens. `make FILE RECORDS SEED` generates the
//! records, `run FILE` resolves them. `resolve.py` runs both, and DuckDB on the same tokens.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_identity::normalise::address::{Address, household};
use rollbook_identity::normalise::{email, phone};
use rollbook_identity::resolve::{AmbiguityPolicy, Order, Records, resolve};
use rollbook_identity::shared::MOST_NAMES;
use rollbook_identity::token::{MatchRule, Tokens};
use serde_json::json;

/// Records of which one in this many is a further one of somebody who is there already.
const OVERLAP_PERCENT: usize = 30;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| one != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["make", file, records, seed] => {
            let number = |text: &str| text.parse::<usize>().map_err(io::Error::other);
            make(file, number(records)?, number(seed)? as u64)
        }
        ["run", file] => run(file),
        _ => {
            println!("resolve make FILE RECORDS SEED, or resolve run FILE: see benches/README.md");
            Ok(())
        }
    }
}

/// What one record brings; 0 where it has nothing.
#[derive(Clone, Copy)]
struct Made {
    name: u64,
    values: [u64; 3],
}

/// Writes `id,name,email,phone,address`: ids in canonical order, tokens as numbers, blank for none.
fn make(file: &str, count: usize, seed: u64) -> io::Result<()> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let humans = count - count * OVERLAP_PERCENT / 100;
    let mut records: Vec<Made> = Vec::with_capacity(count);
    let token = |dice: &mut ChaCha8Rng, percent: u32| match dice.random_range(0..100) < percent {
        true => dice.random_range(1..=i64::MAX as u64),
        false => 0,
    };
    for _ in 0..humans {
        let name = token(&mut dice, 100);
        let values = [
            token(&mut dice, 90),
            token(&mut dice, 60),
            token(&mut dice, 70),
        ];
        records.push(Made { name, values });
    }
    for _ in humans..count {
        let of = records[dice.random_range(0..humans)];
        let mut values = [0; 3];
        let kept = dice.random_range(0..3);
        for (at, value) in values.iter_mut().enumerate() {
            *value = match at == kept || dice.random_range(0..100) < 40 {
                true => of.values[at],
                false => token(&mut dice, 40),
            };
        }
        // One in a hundred joins two humans.
        if dice.random_range(0..100) == 0 {
            values[(kept + 1) % 3] = records[dice.random_range(0..humans)].values[(kept + 1) % 3];
        }
        records.push(Made {
            name: of.name,
            values,
        });
    }
    records.shuffle(&mut dice);
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "id,name,email,phone,address")?;
    for (id, made) in records.iter().enumerate() {
        let shown = |value: u64| match value {
            0 => String::new(),
            value => value.to_string(),
        };
        let [email, phone, address] = made.values.map(shown);
        writeln!(out, "{id},{},{email},{phone},{address}", made.name)?;
    }
    out.flush()
}

fn run(file: &str) -> io::Result<()> {
    let before = resident()?;
    let mut records = Records::new(3);
    for line in BufReader::new(File::open(file)?).lines().skip(1) {
        let line = line?;
        let mut cells = line.split(',').map(|cell| cell.parse::<u64>().unwrap_or(0));
        let mut next = || cells.next().unwrap_or(0);
        let (id, name) = (next(), next());
        // Values of different rules differ, as tokens do.
        let values = [1_u128, 2, 3].map(|rule| match next() {
            0 => 0,
            value => u128::from(value) << 64 | rule,
        });
        let order = Order {
            authority: 0,
            created: i64::try_from(id).unwrap_or(0),
            provider: 0,
            digest: [0; 16],
        };
        records.push(order, name, 0, &values);
    }
    let (count, loaded) = (records.len(), resident()?);
    let begun = Instant::now();
    let records = records.without_shared(MOST_NAMES);
    let merged = resolve(&records, &[], AmbiguityPolicy::Merge);
    let merging = begun.elapsed().as_secs_f64();
    let partition = smallest(&merged.person);
    drop(merged);
    let begun = Instant::now();
    let reviewed = resolve(&records, &[], AmbiguityPolicy::Review);
    let reviewing = begun.elapsed().as_secs_f64();
    let after = resident()?;
    let answer = json!({
        "records": count,
        "persons": reviewed.persons.len(),
        "waiting": reviewed.ambiguous.len(),
        "merged_seconds": merging,
        "review_seconds": reviewing,
        "partition": partition,
        "bytes_per_record_loaded": loaded.saturating_sub(before) / count as u64,
        "bytes_per_record_resolved": after.saturating_sub(before) / count as u64,
        "tokens_per_second": tokens(),
    });
    println!("{answer}");
    Ok(())
}

/// What tells a partition: for each record the first one of its person, summed over all with the
/// record's own place as weight.
fn smallest(person: &[Option<u32>]) -> u64 {
    let mut first = vec![u64::MAX; person.len()];
    let mut sum = 0_u64;
    for (record, person) in (0_u64..).zip(person) {
        let first = &mut first[person.unwrap_or(0) as usize];
        *first = (*first).min(record);
        sum = (sum + (record % 1009 + 1) * *first) % 1_000_000_007;
    }
    sum
}

/// E-mails, phones and addresses a second that become tokens, on one core.
fn tokens() -> u64 {
    const RECORDS: u64 = 50_000;
    let key: Arc<[u8]> = Arc::from([7; 32]);
    let tokens = Tokens::new(&key);
    let (begun, mut seen) = (Instant::now(), 0_u128);
    for at in 0..RECORDS {
        let exact = email::email(&format!("Ann.Lee{at}@Example.com")).unwrap_or_default();
        seen ^= tokens.of(MatchRule::Email, &exact).0;
        let number = phone::phone(&format!("(415) 555-{:04}", at % 10_000), Some("US"));
        seen ^= number.map_or(0, |number| tokens.of(MatchRule::Phone, &number.exact()).0);
        let line1 = format!("{at} North Main Street");
        let workspace = household(&Address {
            surname: Some("lee"),
            line1: &line1,
            line2: "Apt 4B",
            city: "Boston",
            region: "MA",
            postal_code: "2134",
            country: "US",
        });
        seen ^= workspace.map_or(0, |workspace| tokens.of(MatchRule::Address, &workspace).0);
    }
    assert_ne!(seen, 0, "tokens are never nothing");
    (3.0 * RECORDS as f64 / begun.elapsed().as_secs_f64()) as u64
}

/// Bytes of this process that are in memory; 0 where the system does not tell.
fn resident() -> io::Result<u64> {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return Ok(0);
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}
