//! Which records are one person: what a run brings, met with what the lake knows.
//!
//! Every record has a token for each exact rule, in the vault. A run replaces the tokens of the
//! records that it brings; whatever is connected with a token that changed is resolved anew, as if
//! nothing had been known, and what comes out differently is noted. So the outcome does not depend
//! on what came first, and costs what is connected rather than what there is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rollbook_identity::shared::Shared;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_lake::ids::{IdKind, reserve};
use rollbook_lake::{IdentityRemap, LINKED, Lake, MOVES, State};
use rollbook_model::{Shape, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::IngestError;
use crate::people::People;
use crate::stage::Stage;

mod component;
pub mod decide;
mod decisions;
pub mod erase;
pub mod erased;
mod gone;
mod log;
mod marks;
mod naming;
pub mod owners;
mod redact;
mod resolution;
mod review;
mod standing;
mod suggested;

use component::Component;
pub(crate) use decisions::Decisions;
pub(crate) use erased::Erased;
pub(crate) use gone::after_undo;
pub(crate) use log::{Entry, new_entry, write as write_log};
pub(crate) use marks::keep as keep_marks;
use marks::{Known, Marking, MatchKeys, staged};
pub(crate) use naming::theirs;
use resolution::Outcome;
use standing::{Standing, standing};

/// How records came to persons in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct LinkCounts {
    /// Records that are persons of their own.
    pub created: u64,
    /// New records of persons who were known, or who came with the same run.
    pub linked: u64,
    /// Records that several persons could have: they wait for somebody who decides.
    pub ambiguous: u64,
    /// Records that belong to another person than before.
    pub moved: u64,
}

impl LinkCounts {
    /// Whether every record, if any came, is a person of its own, as it was.
    pub fn is_nothing(&self) -> bool {
        self.linked + self.ambiguous + self.moved == 0
    }
}

/// What a run changes in who is whom.
#[derive(Default)]
pub(crate) struct Linked {
    pub(crate) counts: LinkCounts,
    /// Of records that the lake had, whose they are now.
    pub(crate) moved: BTreeMap<i64, i64>,
    /// The persons that they were of before.
    pub(crate) before: BTreeMap<i64, i64>,
    /// The persons who keep records that they had.
    stays: BTreeSet<i64>,
    /// New tokens.
    pub(crate) marks: HashMap<i64, MatchKeys>,
    pub(crate) log: Vec<Entry>,
}

impl Linked {
    /// Whether records left a person who stays.
    pub(crate) fn parts(&self) -> bool {
        let went: BTreeSet<i64> = self
            .before
            .values()
            .copied()
            .filter(|from| *from != 0)
            .collect();
        self.moved.values().any(|to| !self.stays.contains(to)) || !went.is_disjoint(&self.stays)
    }
}

/// Why a set of records is looked at.
pub(crate) struct Asked<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) base: &'a State,
    pub(crate) at: Timestamp,
    pub(crate) dry_run: bool,
    pub(crate) decisions: &'a Decisions,
    /// The entry that changes follow from, and who made it.
    pub(crate) cause: Option<(&'a str, &'a str)>,
}

/// Gives the records of a run their persons. `marked`: records to be looked at whether or not they
/// bring anything new.
pub(crate) async fn link(
    asked: &Asked<'_>,
    people: &mut People,
    stages: &[&Stage],
    tokens: &Tokens,
    marked: &HashSet<i64>,
) -> Result<Linked, IngestError> {
    if !stages.iter().any(|stage| stage.def.shape == Shape::Person) {
        return Ok(Linked::default());
    }
    let region = asked.base.settings()?.default_region;
    let marking = Marking {
        tokens,
        shared: Shared::shipped(),
        region: region.as_deref(),
    };
    let mut known = Known::load(asked.lake).await?;
    let mut marks = staged(people, stages, &marking, &known)?;
    // One that waits was given a person of its own, as if it were new: that is to be looked at.
    let waits = |identity: &i64| people.linked.contains_key(identity) || marked.contains(identity);
    marks.retain(|identity, marks| known.of(*identity) != Some(*marks) || waits(identity));
    if marks.is_empty() {
        return Ok(Linked::default());
    }
    let seen = marks.keys().copied();
    let seen: HashSet<i64> = seen
        .filter(|identity| known.of(*identity).is_some())
        .collect();
    let component = known.replace(&marks, asked.decisions);
    let run = Some((&*people, &seen));
    let mut linked = resolve(asked, &known, component, run).await?;
    people.assign(&linked.moved);
    linked.marks = marks;
    Ok(linked)
}

/// Resolves some records anew, and whatever is connected with them.
pub(crate) async fn relink(asked: &Asked<'_>, seeds: &[i64]) -> Result<Linked, IngestError> {
    let known = Known::load(asked.lake).await?;
    let component = known.around(seeds, asked.decisions);
    resolve(asked, &known, component, None).await
}

async fn resolve(
    asked: &Asked<'_>,
    known: &Known,
    component: Component,
    run: Option<(&People, &HashSet<i64>)>,
) -> Result<Linked, IngestError> {
    let mut linked = Linked::default();
    let people = run.map(|(people, _)| people);
    let mut records = standing(asked.lake, asked.base, &component, people).await?;
    if let Some((_, seen)) = run {
        let known = records
            .iter_mut()
            .filter(|record| seen.contains(&record.identity));
        known.for_each(|record| record.is_new = false);
    }
    let outcome = component.resolve(known, &records, asked.decisions);
    let wanted = outcome.unnamed(&records);
    let mut next = match (wanted, asked.dry_run) {
        (0, _) => 0,
        (_, true) => i64::MAX / 4,
        (count, false) => reserve(asked.lake, IdKind::Person, count, asked.at).await?,
    };
    let persons = outcome.persons(&records, || {
        next += 1;
        next - 1
    });
    note(asked, &records, &outcome, &persons, &mut linked);
    Ok(linked)
}

/// Notes who is another's now, and why.
fn note(
    asked: &Asked<'_>,
    records: &[Standing],
    outcome: &Outcome,
    persons: &[i64],
    linked: &mut Linked,
) {
    let waiting = outcome.candidates(persons);
    for (at, record) in records.iter().enumerate() {
        let to = persons[at];
        let candidates: Option<&Vec<(MatchRule, i64)>> = waiting.get(&at);
        if to == record.person {
            linked.stays.insert(to);
            linked.counts.created += u64::from(record.is_new);
            continue;
        }
        linked.moved.insert(record.identity, to);
        if !record.is_new && to == record.before {
            continue;
        }
        if !record.is_new {
            linked.before.insert(record.identity, record.before);
        }
        let action = match (to, record.is_new) {
            (0, _) => {
                linked.counts.ambiguous += 1;
                "ambiguous"
            }
            (_, true) => {
                linked.counts.linked += 1;
                "linked"
            }
            (_, false) => {
                linked.counts.moved += 1;
                "moved"
            }
        };
        linked.log.push(Entry {
            id: None,
            action,
            identity: Some(record.identity),
            from: (!record.is_new).then_some(record.before),
            to: Some(to),
            rule: outcome.rule(at),
            cause: asked
                .cause
                .map(|(entry, by)| (entry.to_owned(), by.to_owned())),
            evidence: evidence(candidates),
        });
    }
}

fn evidence(candidates: Option<&Vec<(MatchRule, i64)>>) -> Value {
    let candidates = candidates.into_iter().flatten();
    let named = candidates.map(|(tier, person)| json!({"rule": tier.name(), "person": person}));
    json!({"candidates": named.collect::<Vec<_>>()})
}

/// What a commit says of who is whom: the map of moved records, and that there are linked ones.
pub(crate) async fn named(
    lake: &Lake,
    base: &State,
    linked: &Linked,
) -> Result<BTreeMap<String, Option<Value>>, IngestError> {
    let mut named = BTreeMap::new();
    let joins = linked.counts.linked + linked.counts.moved > 0;
    if joins && !base.named.contains_key(LINKED) {
        named.insert(LINKED.to_owned(), Some(json!(true)));
    }
    if linked.moved.is_empty() {
        return Ok(named);
    }
    let known = lake.moves(base).await?;
    let mut moves: IdentityRemap = known.as_deref().cloned().unwrap_or_default();
    if !linked.before.is_empty() {
        for (identity, from) in &linked.before {
            moves.set(*identity, *from, linked.moved[identity]);
        }
        let path = lake.put_content("_identity/moves", &moves).await?;
        named.insert(MOVES.to_owned(), Some(json!(path)));
    }
    named.extend(gone::after(lake, base, linked, &moves).await?);
    Ok(named)
}
