//! Decisions about records: merge, split, review, block, and undoing them. One commit each; no fact is
//! rewritten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rollbook_identity::token::{MatchRule, Token};
use rollbook_lake::{Cause, Commit, IdentityChange, Lake, State, Update};
use rollbook_model::{SnapshotNumber, tables};
use serde::Serialize;
use serde_json::{Value, json};

use crate::IngestError;
use crate::persons::decisions::{DECISIONS, Decisions, SPLIT, StoredDecision, Verdict};
use crate::persons::identities;
use crate::persons::link::{LinkContext, named, relink};
use crate::persons::links::Linked;
use crate::persons::log::{self, LogEntry, new_entry};
use crate::persons::match_keys::MatchKeyIndex;
use crate::persons::records::{self, PersonRecord, of_component};
use crate::persons::suggestions::suggested;
use crate::rows::identities::Identities;

pub use crate::persons::decisions::{Blocked, Decider};
pub use crate::persons::review::{Candidate, Review};

/// A decision to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionRequest {
    /// Two persons are one.
    Merge(i64, i64),
    /// A record does not belong to its person.
    Split(i64),
    /// An ambiguous or suggested record belongs to this person.
    Same(i64, i64),
    /// An ambiguous or suggested record belongs to none of its candidates.
    Different(i64),
    /// A review is postponed after all others.
    Later(i64),
    /// Two persons are not one, and are not suggested again.
    Apart(i64, i64),
    /// A value never links records from now on.
    Block(Blocked),
    /// A decision, by its log entry, is undone.
    Undo(String),
}

/// A record that moved to another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordMove {
    /// The record.
    pub identity_id: i64,
    /// Its person before; 0 for none.
    pub from: i64,
    /// Its person now; 0 for none.
    pub to: i64,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Its log entry, by which it is undone.
    pub entry: String,
    /// The snapshot of it.
    pub snapshot: SnapshotNumber,
    /// Records that moved.
    pub moved: Vec<RecordMove>,
}

/// Records a decision and resolves all affected records again, in one commit. With `decider.dry_run` nothing
/// is written.
///
/// # Errors
/// [`IngestError::NoPerson`], [`IngestError::NoRecord`] where a person or record does not exist;
/// [`IngestError::SamePerson`] for a person merged with itself; [`IngestError::OnlyRecord`] for a split of
/// a person's only record; [`IngestError::NotWaiting`] for a record without an open review;
/// [`IngestError::IsBlocked`] for a value that is blocked already; [`IngestError::NoDecision`] for an undo
/// of an entry that is not in force; [`IngestError::Lake`] where the lake cannot be read or written, or
/// other writers were faster 10 times.
pub async fn decide(
    lake: &Lake,
    wanted: &DecisionRequest,
    decider: &Decider,
) -> Result<Followed, IngestError> {
    let update = |base: Arc<State>| async move {
        let mut decisions = Decisions::at(lake, &base).await?;
        let (entry, seeds, done) = change(lake, &base, &mut decisions, wanted, decider).await?;
        let context = LinkContext {
            lake,
            base: &base,
            at: decider.at,
            dry_run: decider.dry_run,
            decisions: &decisions,
            cause: Some((&entry, &decider.by)),
        };
        let linked = relink(&context, &seeds).await?;
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
            return Ok(Update::Keep(followed));
        }
        let commit = commit_of(
            lake,
            &base,
            &decisions,
            linked,
            (&followed.entry, matches!(wanted, DecisionRequest::Undo(_))),
            done,
            decider,
        );
        let commit = commit.await?;
        followed.snapshot = base.number.next();
        Ok::<_, IngestError>(Update::commit(commit, followed))
    };
    lake.update(update).await
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
    log.push(LogEntry {
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
    let identities = Identities::moving(linked.moved);
    let identities = identities::change(lake, base, &identities, &HashMap::new()).await?;
    let mut tables = BTreeMap::from([
        (tables::IDENTITIES.name, identities),
        (
            tables::IDENTITY_LOG.name,
            log::write(lake, &log, decider.at).await?,
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

/// Adds or removes a decision; returns its log entry, the records to resolve, and a description.
async fn change(
    lake: &Lake,
    base: &State,
    decisions: &mut Decisions,
    wanted: &DecisionRequest,
    decider: &Decider,
) -> Result<(String, Vec<i64>, String), IngestError> {
    let first = |records: &[PersonRecord], person: i64| {
        let of = records.iter().filter(|record| record.before == person);
        let first = of.min_by_key(|record| (record.order, record.provider.clone()));
        let first = first.map(|record| record.identity);
        first.ok_or(IngestError::NoPerson { person })
    };
    let entry = new_entry();
    let (verdict, pairs, how, done) = match wanted {
        DecisionRequest::Undo(undone) => {
            let at = decisions
                .all
                .iter()
                .position(|decided| decided.entry == *undone);
            let at = at.ok_or_else(|| IngestError::NoDecision {
                entry: undone.clone(),
            })?;
            let gone = decisions.all.remove(at);
            let mut seeds = gone.pairs.concat();
            if let Some((match_rule, token)) = gone.blocked.as_ref().and_then(Blocked::token) {
                seeds.extend(MatchKeyIndex::load(lake).await?.with(match_rule, token));
            }
            return Ok((entry, seeds, format!("{} {undone} taken back", gone.how)));
        }
        DecisionRequest::Block(value) => {
            if decisions
                .all
                .iter()
                .any(|one| one.blocked.as_ref() == Some(value))
            {
                return Err(IngestError::IsBlocked {
                    value: value.value.clone(),
                });
            }
            let known = MatchKeyIndex::load(lake).await?;
            let seeds = value
                .token()
                .map(|(match_rule, token)| known.with(match_rule, token));
            decisions.all.push(StoredDecision {
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
        DecisionRequest::Merge(a, b) | DecisionRequest::Apart(a, b) => {
            if a == b {
                return Err(IngestError::SamePerson { person: *a });
            }
            let records = records::of_persons(lake, base, &[*a, *b]).await?;
            let firsts = [first(&records, *a)?, first(&records, *b)?];
            let mut pairs = vec![firsts];
            match wanted {
                DecisionRequest::Merge(..) => {
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
        DecisionRequest::Later(identity) => {
            waiting(lake, base, *identity).await?;
            let done = format!("record {identity} put off");
            (Verdict::Later, vec![[*identity; 2]], "review", done)
        }
        DecisionRequest::Split(identity) => {
            let records = records::around(lake, base, *identity).await?;
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
        DecisionRequest::Same(identity, person) => {
            let review = waiting(lake, base, *identity).await?;
            let records = records::of_persons(lake, base, &[*person]).await?;
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
        DecisionRequest::Different(identity) => {
            let review = waiting(lake, base, *identity).await?;
            let persons: Vec<i64> = review.candidates.iter().map(|one| one.person_id).collect();
            let records = records::of_persons(lake, base, &persons).await?;
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
    // A new decision about a record ends its postponement.
    let is_over = |one: &StoredDecision| {
        one.verdict == Verdict::Later && one.pairs.concat().iter().any(|of| seeds.contains(of))
    };
    decisions.all.retain(|one| !is_over(one));
    decisions.all.push(StoredDecision {
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

/// The open review of one record.
///
/// # Errors
/// [`IngestError::NotWaiting`] where the record has none; [`IngestError::Lake`] where the lake cannot be
/// read.
pub async fn waiting(lake: &Lake, base: &State, identity: i64) -> Result<Review, IngestError> {
    let mut reviews = reviews(lake, base).await?.into_iter();
    let found = reviews.find(|review| review.identity_id == identity);
    found.ok_or(IngestError::NotWaiting { identity })
}

/// The open reviews: ambiguous records, which match several persons, and pairs of persons who may be the
/// same. In order of record id, postponed ones last.
///
/// # Errors
/// [`IngestError::Lake`] where the lake or its vault cannot be read.
pub async fn reviews(lake: &Lake, state: &State) -> Result<Vec<Review>, IngestError> {
    let known = MatchKeyIndex::load(lake).await?;
    let decisions = Decisions::at(lake, state).await?;
    let mut reviews = ambiguous(lake, state, &known, &decisions).await?;
    reviews.extend(suggested(lake, state, &known, &decisions).await?);
    reviews.sort_unstable_by_key(|review| (review.later, review.identity_id));
    Ok(reviews)
}

/// Reviews of ambiguous records.
async fn ambiguous(
    lake: &Lake,
    state: &State,
    known: &MatchKeyIndex,
    decisions: &Decisions,
) -> Result<Vec<Review>, IngestError> {
    let waiting = records::of_persons(lake, state, &[0]).await?;
    let waiting = waiting
        .into_iter()
        .filter(|record| known.of(record.identity).is_some());
    let waiting: Vec<i64> = waiting.map(|record| record.identity).collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let component = known.around(&waiting, decisions);
    let records = of_component(lake, state, &component, None).await?;
    let outcome = component.resolve(known, &records, decisions);
    let persons = outcome.persons(&records, || 0);
    let mut reviews = Vec::new();
    for (at, candidates) in outcome.candidates(&persons) {
        let named = |(match_rule, person_id): (MatchRule, i64)| Candidate {
            rule: match_rule.name(),
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

/// The ids of the persons who have a record with this token, in order.
///
/// # Errors
/// [`IngestError::Lake`] where the lake or its vault cannot be read.
pub async fn records_with(
    lake: &Lake,
    state: &State,
    match_rule: MatchRule,
    token: Token,
) -> Result<Vec<i64>, IngestError> {
    let records = MatchKeyIndex::load(lake).await?.with(match_rule, token);
    let mut persons: Vec<i64> = records::of_records(lake, state, &records)
        .await?
        .iter()
        .map(|record| record.before)
        .filter(|person| *person != 0)
        .collect();
    persons.sort_unstable();
    persons.dedup();
    Ok(persons)
}

/// The blocked values, oldest first, each with the log entry that an undo names.
///
/// # Errors
/// [`IngestError::Lake`] where the lake cannot be read.
pub async fn blocked(lake: &Lake, state: &State) -> Result<Vec<(String, Blocked)>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    let blocked = decisions.all.into_iter();
    Ok(blocked
        .filter_map(|one| Some((one.entry, one.blocked?)))
        .collect())
}

/// Pairs of records that were decided to be different persons.
///
/// # Errors
/// [`IngestError::Lake`] where the lake cannot be read.
pub async fn apart(lake: &Lake, state: &State) -> Result<HashSet<[i64; 2]>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    let different = decisions.all.iter();
    let different = different.filter(|one| one.verdict == Verdict::Different);
    Ok(different.flat_map(|one| one.pairs.clone()).collect())
}

/// The decisions in force, oldest first, as JSON objects.
///
/// # Errors
/// [`IngestError::Lake`] where the lake cannot be read.
pub async fn decided(lake: &Lake, state: &State) -> Result<Vec<Value>, IngestError> {
    let decisions = Decisions::at(lake, state).await?;
    Ok(decisions.all.iter().map(|decided| json!(decided)).collect())
}
