//! Verifying all chains: that no record was changed, removed, added or cut off.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollbook_lake::LakeRoot;
use serde::Serialize;

use crate::AppError;
use crate::audit::chain::hash_before_first;
use crate::audit::read::{ChainObject, chains, for_each_object};
use crate::audit::record::decode;
use crate::audit::seals::{self, ReadSeal, Seal};

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object, or the chain.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// What was verified.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Number of chains.
    pub chains: u64,
    /// Number of records.
    pub records: u64,
    /// Records that a seal protects.
    pub sealed: u64,
    /// Number of seals.
    pub seals: u64,
    /// The number and the digest of the last seal: whoever keeps them elsewhere can tell that no later seal was cut off.
    pub last_seal: Option<String>,
    /// What is wrong; nothing if all is well.
    pub findings: Vec<Finding>,
}

/// Verifies all chains of a lake against their seals.
///
/// # Errors
/// The lake or the master key cannot be read.
pub async fn verify(root: &LakeRoot) -> Result<Verified, AppError> {
    let mut verified = Verified {
        chains: 0,
        records: 0,
        sealed: 0,
        seals: 0,
        last_seal: None,
        findings: Vec::new(),
    };
    // Seals first: what they name was stored before them.
    let sealed = read_seals(root, &mut verified).await?;
    let mut stored = chains(root.store()).await?;
    for chain in sealed.keys() {
        stored.entry(chain.clone()).or_default();
    }
    for (chain, objects) in stored {
        verified.chains += 1;
        let seals = sealed.get(&chain).map(Vec::as_slice).unwrap_or_default();
        verify_chain(root, &chain, objects, seals, &mut verified).await?;
    }
    Ok(verified)
}

impl Verified {
    fn add(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        let (place, problem) = (place.into(), problem.into());
        self.findings.push(Finding { place, problem });
    }
}

/// Verifies the seals, and returns those of each chain in order.
async fn read_seals(
    root: &LakeRoot,
    verified: &mut Verified,
) -> Result<BTreeMap<String, Vec<Seal>>, AppError> {
    let store = root.store();
    let mut of_chains: BTreeMap<String, Vec<Seal>> = BTreeMap::new();
    let (mut expected, mut previous) = (1, Some(String::new()));
    let mut last: Option<ReadSeal> = None;
    for number in seals::numbers(store).await? {
        let place = seals::path(number);
        if number > expected {
            let missing = number - expected;
            verified.add(&place, format!("{missing} seals before it are missing"));
            previous = None;
        }
        expected = number + 1;
        let Some(Ok(read)) = seals::read(store, number).await? else {
            verified.add(&place, "it is not a seal");
            previous = None;
            continue;
        };
        if previous
            .as_ref()
            .is_some_and(|previous| *previous != read.seal.previous)
        {
            verified.add(&place, "the seal before it was changed");
        }
        match read.has_right_code(root).await? {
            Some(true) => {}
            Some(false) => {
                verified.add(&place, "its authentication code is wrong: it was changed");
                previous = Some(read.digest());
                continue;
            }
            // Whoever follows it with a seal need not have had its key either.
            None => {
                let key = &read.seal.key;
                verified.add(
                    &place,
                    format!(
                        "the master key {key} of this seal is not at hand: it cannot be verified"
                    ),
                );
                previous = Some(read.digest());
                continue;
            }
        }
        previous = Some(read.digest());
        let seals = of_chains.entry(read.seal.chain.clone()).or_default();
        seals.push(read.seal.clone());
        verified.seals += 1;
        last = Some(read);
    }
    if let Some(last) = last {
        verified.last_seal = Some(format!("{} {}", last.seal.number, last.digest()));
    }
    Ok(of_chains)
}

async fn verify_chain(
    root: &LakeRoot,
    chain: &str,
    objects: Vec<ChainObject>,
    seals: &[Seal],
    verified: &mut Verified,
) -> Result<(), AppError> {
    let mut state = ChainState {
        next: 0,
        last: Some(hash_before_first(chain)),
        unseen: seals,
        findings: Vec::new(),
    };
    state.pass_seals();
    for_each_object(root.store(), chain, objects, |object, bytes| {
        state.read(object, bytes);
    })
    .await?;
    for (place, problem) in std::mem::take(&mut state.findings) {
        verified.add(place, problem);
    }
    if let Some(seal) = state.unseen.last() {
        let (next, records) = (state.next, seal.records);
        let problem = format!(
            "it ends after {next} records, and {records} were sealed: its tail was cut off"
        );
        verified.add(chain, problem);
    }
    if seals.is_empty() {
        verified.add(chain, "no seal names it: no server wrote it");
    }
    verified.records += state.next;
    let sealed = seals.last().map_or(0, |seal| seal.records);
    verified.sealed += sealed.min(state.next);
    Ok(())
}

/// How far a chain was verified.
struct ChainState<'a> {
    /// The number of the next record.
    next: u64,
    /// The hash of the record before; `None` behind a finding.
    last: Option<String>,
    /// Seals that were not compared yet.
    unseen: &'a [Seal],
    findings: Vec<(String, String)>,
}

impl ChainState<'_> {
    fn read(&mut self, object: &ChainObject, bytes: &Bytes) {
        let place = |number: u64| format!("{} record {number}", object.path);
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.findings
                .push((object.path.clone(), "it is not UTF-8 text".to_owned()));
            self.skip_to(object.first + object.records);
            return;
        };
        for (line, number) in text.lines().zip(object.first..) {
            if number < self.next {
                // It was read from the object before, and must at least claim to be the same one.
                if decode(line).is_none_or(|read| read.record.number != number) {
                    let problem = "it is not the record that the object before has there";
                    self.findings.push((place(number), problem.to_owned()));
                }
                continue;
            }
            let Some(read) = decode(line) else {
                self.findings
                    .push((place(number), "it was changed".to_owned()));
                self.skip_to(number + 1);
                continue;
            };
            if !object
                .summary
                .is_none_or(|summary| summary.covers(&read.record.act))
            {
                let problem = "the name of its object hides it: it was renamed";
                self.findings.push((place(number), problem.to_owned()));
            }
            if read.record.number != self.next {
                let problem = format!(
                    "record {} was expected, and it is {}",
                    self.next, read.record.number
                );
                self.findings.push((place(number), problem));
            } else if self
                .last
                .as_ref()
                .is_some_and(|last| *last != read.record.previous)
            {
                let problem = "it does not follow the record before it, which was changed";
                self.findings.push((place(number), problem.to_owned()));
            }
            self.next = read.record.number.max(self.next) + 1;
            self.last = Some(read.hash);
            self.pass_seals();
        }
        let end = object.first + object.records;
        if self.next < end {
            let problem = format!("it ends after {} records instead of {end}", self.next);
            self.findings.push((object.path.clone(), problem));
        }
    }

    fn skip_to(&mut self, next: u64) {
        self.next = next;
        self.last = None;
        self.pass_seals();
    }

    /// Compares the seals of as many records as were read.
    fn pass_seals(&mut self) {
        while let Some((seal, rest)) = self.unseen.split_first()
            && seal.records <= self.next
        {
            let is_here = seal.records == self.next;
            if is_here && self.last.as_ref().is_some_and(|last| *last != seal.head) {
                let problem = "its records are not those that were sealed";
                self.findings
                    .push((seals::path(seal.number), problem.to_owned()));
            }
            self.unseen = rest;
        }
    }
}
