//! Deciding whose a record is, and taking that back: one commit each, and no fact is rewritten.

use std::collections::{BTreeMap, HashMap, HashSet};

use rollbook_identity::token::{MatchRule, Token};
use rollbook_lake::{Cause, Commit, Committed, IdentityChange, Lake, LakeError, State};
use rollbook_model::{SnapshotNumber, Timestamp, tables};
use serde::Serialize;
use serde_json::{Value, json};

pub use super::decisions::Blocked;
use super::decisions::{DECISIONS, Decided, Decisions, SPLIT, Verdict};
use super::marks::Known;
pub use super::review::{Candidate, Review};
use super::standing::{self, Standing, standing};
use super::suggested::suggested;
use super::{Asked, Entry, Linked, named, new_entry, relink, write_log};
use crate::people::People;
use crate::{IngestError, identities};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Two persons are one.
    Merge(i64, i64),
    /// A record is not of the person that it belongs to.
    Split(i64),
    /// A record that waits is this person's.
    Same(i64, i64),
    /// A record that waits is nobody's whom its values point to.
    Different(i64),
    /// A record that waits is looked at after the others.
    Later(i64),
    /// Two persons are not one, whatever is suggested.
    Apart(i64, i64),
    /// A value matches nobody from now on.
    Block(Blocked),
    /// A decision, by its entry, does not hold any longer.
    Undo(String),
}

/// Who decides, and when.
#[derive(Debug, Clone)]
pub struct Decider {
    /// A name.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Only say what would follow.
    pub dry_run: bool,
}

/// A record that has another person now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordMove {
    /// The record.
    pub identity_id: i64,
    /// Whose it was; 0 for nobody.
    pub from: i64,
    /// Whose it is; 0 for nobody.
    pub to: i64,
}

/// What followed from a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Its entry, by which it is taken back.
    pub entry: String,
    /// The snapshot of it.
    pub snapshot: SnapshotNumber,
    /// Records that have another person.
    pub moved: Vec<RecordMove>,
}

/// Decides, and resolves anew whatever that concerns.
pub async fn decide(
    lake: &Lake,
    wanted: &Wanted,
    decider: &Decider,
) -> Result<Followed, IngestError> {
    for _ in 0..ATTEMPTS {
        let base = lake.head().await?;
        let mut decisions = Decisions::at(lake, &base).await?;
        let (entry, seeds, done) = change(lake, &base, &mut decisions, wanted, decider).await?;
        let asked = Asked {
            lake,
            base: &base,
            at: decider.at,
            dry_run: decider.dry_run,
            decisions: &decisions,
            cause: Some((&entry, &decider.by)),
        };
        let linked = relink(&asked, &seeds).await?;
        let moved = linked.before.iter().map(|(identity, from)| RecordMove {
            identity_id: *identity,
            from: *from,
            to: linked.moved[identity],
        });
        let mut followed = Followed {
            snapshot: base.number,
            moved: moved.collect(),
            entry,
        };
        if decider.dry_run {
            return Ok(followed);
        }
        let commit = commit_of(
            lake,
            &base,
            &decisions,
            linked,
            (&followed.entry, matches!(wanted, Wanted::Undo(_))),
            done,
            decider,
        );
        if let Committed::Done(state) = lake.commit(&base, commit.await?).await? {
            followed.snapshot = state.number;
            return Ok(followed);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

async fn commit_of(
    lake: &Lake,
    base: &State,
    decisions: &Decisions,
    linked: Linked,
    (entry, is_undone): (&str, bool),
    done: String,
    decider: &Decider,
) -> Result<Commit, IngestError> {
    let mut named = named(lake, base, &linked).await?;
    let path = lake.put_content("_identity/decisions", decisions).await?;
    named.insert(DECISIONS.to_owned(), Some(json!(path)));
    let change = match linked.parts() {
        true => IdentityChange::Unmerge,
        false => IdentityChange::Merge,
    };
    let mut log = linked.log;
    log.push(Entry {
        id: Some(entry.to_owned()),
        action: match is_undone {
            true => "undone",
            false => "decided",
        },
        identity: None,
        from: None,
        to: None,
        rule: None,
        cause: Some((entry.to_owned(), decider.by.clone())),
        evidence: json!({ "done": done }),
    });
    let touched = linked.before.iter();
    let touched = touched.flat_map(|(identity, from)| [*from, linked.moved[identity]]);
    let touched = touched
        .filter(|person| *person > 0)
        .map(i64::unsigned_abs)
        .collect();
    let people = People::moving(linked.moved);
    let identities = identities::change(lake, base, &people, &HashMap::new()).await?;
    let mut tables = BTreeMap::from([
        (tables::IDENTITIES.name, identities),
        (
            tables::IDENTITY_LOG.name,
            write_log(lake, &log, decider.at).await?,
        ),
    ]);
    tables.retain(|_, change| !change.is_empty());
    Ok(Commit {
        cause: Cause::Identity { done, change },
        at: decider.at,
        tables,
        touched,
        named,
        idempotency_keys: Vec::new(),
    })
}

/// Changes the decisions; the entry of it, the records it concerns, and what was done in words.
async fn change(
    lake: &Lake,
    base: &State,
    decisions: &mut Decisions,
    wanted: &Wanted,
    decider: &Decider,
) -> Result<(String, Vec<i64>, String), IngestError> {
    let first = |records: &[Standing], person: i64| {
        let of = records.iter().filter(|record| record.before == person);
        let first = of.min_by_key(|record| (record.order, record.provider.clone()));
        let first = first.map(|record| record.identity);
        first.ok_or(IngestError::NoPerson { person })
    };
    let entry = new_entry();
    let (verdict, pairs, how, done) = match wanted {
        Wanted::Undo(undone) => {
            let at = decisions
                .all
                .iter()
                .position(|decided| decided.entry == *undone);
            let at = at.ok_or_else(|| IngestError::NoDecision {
                entry: undone.clone(),
            })?;
            let gone = decisions.all.remove(at);
            let mut seeds = gone.pairs.concat();
            if let Some((tier, token)) = gone.blocked.as_ref().and_then(Blocked::token) {
                seeds.extend(Known::load(lake).await?.with(tier, token));
            }
            return Ok((entry, seeds, format!("{} {undone} taken back", gone.how)));
        }
        Wanted::Block(value) => {
            if decisions
                .all
                .iter()
                .any(|one| one.blocked.as_ref() == Some(value))
            {
                return Err(IngestError::IsBlocked {
                    value: value.value.clone(),
                });
            }
            let known = Known::load(lake).await?;
            let seeds = value.token().map(|(tier, token)| known.with(tier, token));
            decisions.all.push(Decided {
                entry: entry.clone(),
                verdict: Verdict::Blocked,
                pairs: Vec::new(),
                blocked: Some(value.clone()),
                at: decider.at,
                by: decider.by.clone(),
                how: "blocked".to_owned(),
            });
            let done = format!("a value of the rule {} blocked", value.rule);
            return Ok((entry, seeds.unwrap_or_default(), done));
        }
        Wanted::Merge(a, b) | Wanted::Apart(a, b) => {
            if a == b {
                return Err(IngestError::SamePerson { person: *a });
            }
            let records = standing::of_persons(lake, base, &[*a, *b]).await?;
            let firsts = [first(&records, *a)?, first(&records, *b)?];
            let mut pairs = vec![firsts];
            match wanted {
                Wanted::Merge(..) => {
                    // Whichever record is split off later, the others stay one.
                    let others = records.iter();
                    let others = others.filter(|one| !firsts.contains(&one.identity));
                    pairs.extend(others.map(|one| match one.before == *a {
                        true => [one.identity, firsts[1]],
                        false => [firsts[0], one.identity],
                    }));
                    let done = format!("persons {a} and {b} merged");
                    (Verdict::Same, pairs, "merge", done)
                }
                _ => {
                    let done = format!("persons {a} and {b} are not one");
                    (Verdict::Different, pairs, "review", done)
                }
            }
        }
        Wanted::Later(identity) => {
            waiting(lake, base, *identity).await?;
            let done = format!("record {identity} put off");
            (Verdict::Later, vec![[*identity; 2]], "review", done)
        }
        Wanted::Split(identity) => {
            let records = standing::around(lake, base, *identity).await?;
            let others = records.iter().map(|record| record.identity);
            let others = others.filter(|other| other != identity);
            let pairs: Vec<[i64; 2]> = others.map(|other| [*identity, other]).collect();
            if pairs.is_empty() {
                return Err(IngestError::OnlyRecord {
                    identity: *identity,
                });
            }
            (
                Verdict::Different,
                pairs,
                SPLIT,
                format!("record {identity} split off"),
            )
        }
        Wanted::Same(identity, person) => {
            let review = waiting(lake, base, *identity).await?;
            let records = standing::of_persons(lake, base, &[*person]).await?;
            let pair = [*identity, first(&records, *person)?];
            let verdict = match review.person_id {
                0 => Verdict::Belongs,
                // It has a person already: these two are one.
                _ => Verdict::Same,
            };
            (
                verdict,
                vec![pair],
                "review",
                format!("record {identity} is of {person}"),
            )
        }
        Wanted::Different(identity) => {
            let review = waiting(lake, base, *identity).await?;
            let persons: Vec<i64> = review.candidates.iter().map(|one| one.person_id).collect();
            let records = standing::of_persons(lake, base, &persons).await?;
            let pair = |person: &i64| Ok([*identity, first(&records, *person)?]);
            let pairs = persons
                .iter()
                .map(pair)
                .collect::<Result<_, IngestError>>()?;
            (
                Verdict::Different,
                pairs,
                "review",
                format!("record {identity} is of nobody else"),
            )
        }
    };
    let seeds = pairs.concat();
    // What is decided now waits no longer, or waits from now on.
    let is_over = |one: &Decided| {
        one.verdict == Verdict::Later && one.pairs.concat().iter().any(|of| seeds.contains(of))
    };
    decisions.all.retain(|one| !is_over(one));
    decisions.all.push(Decided {
        entry: entry.clone(),
        verdict,
        pairs,
        blocked: None,
        at: decider.at,
        by: decider.by.clone(),
        how: how.to_owned(),
    });
    Ok((entry, seeds, done))
}

/// One of the records that wait, or of the suggestions.
pub async fn waiting(lake: &Lake, base: &State, identity: i64) -> Result<Review, IngestError> {
    let mut reviews = reviews(lake, base).await?.into_iter();
    let found = reviews.find(|review| review.identity_id == identity);
    found.ok_or(IngestError::NotWaiting { identity })
}

/// The records that wait for somebody who decides and the pairs that may be one person, in order of
/// their ids, those that were put off last.
pub async fn reviews(lake: &Lake, state: &State) -> Result<Vec<Review>, IngestError> {
    let known = Known::load(lake).await?;
    let decisions = Decisions::at(lake, state).await?;
    let mut reviews = ambiguous(lake, state, &known, &decisions).await?;
    reviews.extend(suggested(lake, state, &known, &decisions).await?);
    reviews.sort_unstable_by_key(|review| (review.later, review.identity_id));
    Ok(reviews)
}

/// The records that several persons could have.
async fn ambiguous(
    lake: &Lake,
    state: &State,
    known: &Known,
    decisions: &Decisions,
) -> Result<Vec<Review>, IngestError> {
    let waiting = standing::of_persons(lake, state, &[0]).await?;
    let waiting = waiting
        .into_iter()
        .filter(|record| known.of(record.identity).is_some());
    let waiting: Vec<i64> = waiting.map(|record| record.identity).collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let component = known.around(&waiting, decisions);
    let records = standing(lake, state, &component, None).await?;
    let outcome = component.resolve(known, &records, decisions);
    let persons = outcome.persons(&records, || 0);
    let mut reviews = Vec::new();
    for (at, candidates) in outcome.candidates(&persons) {
        let named = |(tier, person_id): (MatchRule, i64)| Candidate {
            rule: tier.name(),
            person_id,
        };
        reviews.push(Review {
            identity_id: records[at].identity,
            provider: records[at].provider.to_string(),
            external_id: records[at].external_id.to_string(),
            person_id: 0,
            candidates: candidates.into_iter().map(named).collect(),
            later: decisions.is_later(records[at].identity),
        });
    }
    Ok(reviews)
}

/// The persons who have a record with this token.
pub async fn records_with(
    lake: &Lake,
    state: &State,
    tier: MatchRule,
    token: Token,
) -> Result<Vec<i64>, IngestError> {
    let records = Known::load(lake).await?.with(tier, token);
    let mut persons: Vec<i64> = standing::of_records(lake, state, &records)
        .await?
        .iter()
        .map(|record| record.before)
        .filter(|person| *person != 0)
        .collect();
    persons.sort_unstable();
    persons.dedup();
    Ok(persons)
}

/// The values that match nobody, oldest first, each with the entry that takes it back.
pub async fn blocked(lake: &Lake, state: &State) -> Result<Vec<(String, Blocked)>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    let blocked = decisions.all.into_iter();
    Ok(blocked
        .filter_map(|one| Some((one.entry, one.blocked?)))
        .collect())
}

/// Pairs of records of which somebody said that they are not one person.
pub async fn apart(lake: &Lake, state: &State) -> Result<HashSet<[i64; 2]>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    let different = decisions.all.iter();
    let different = different.filter(|one| one.verdict == Verdict::Different);
    Ok(different.flat_map(|one| one.pairs.clone()).collect())
}

/// The decisions that hold, oldest first.
pub async fn decided(lake: &Lake, state: &State) -> Result<Vec<Value>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    Ok(decisions.all.iter().map(|decided| json!(decided)).collect())
}
