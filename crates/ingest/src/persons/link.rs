//! Linking records to persons: the records of a run together with those of the lake.
//!
//! Every record has a token for each exact match rule, in the vault. A run replaces the tokens of its
//! records; the component of records connected by a changed token is resolved from scratch, and the
//! differences are written. So the result does not depend on the order of arrival, and the cost depends
//! on the size of the component, not of the lake.

use std::collections::{BTreeMap, HashSet};

use rollbook_identity::shared::Shared;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_lake::snapshot::ids::{IdKind, reserve};
use rollbook_lake::{IDENTITY_REMAP, IdentityRemap, LINKED, Lake, State};
use rollbook_model::{Shape, Timestamp};
use serde_json::{Value, json};

use crate::IngestError;
use crate::persons::component::Component;
use crate::persons::decisions::Decisions;
use crate::persons::links::Linked;
use crate::persons::log::LogEntry;
use crate::persons::match_keys::{MatchKeyIndex, MatchKeyMaker, of_stages};
use crate::persons::records::{PersonRecord, of_component};
use crate::persons::resolution::Resolved;
use crate::rows::identities::Identities;
use crate::rows::stage::Stage;

/// The base and the cause of a resolution.
pub(crate) struct LinkContext<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) base: &'a State,
    pub(crate) at: Timestamp,
    pub(crate) dry_run: bool,
    pub(crate) decisions: &'a Decisions,
    /// The entry that changes follow from, and who made it.
    pub(crate) cause: Option<(&'a str, &'a str)>,
}

/// Links the records of a run to persons. Records in `to_resolve` are resolved even without new tokens.
pub(crate) async fn link(
    context: &LinkContext<'_>,
    identities: &mut Identities,
    stages: &[&Stage],
    tokens: &Tokens,
    to_resolve: &HashSet<i64>,
) -> Result<Linked, IngestError> {
    if !stages.iter().any(|stage| stage.def.shape == Shape::Person) {
        return Ok(Linked::default());
    }
    let region = context.base.settings()?.default_region;
    let maker = MatchKeyMaker {
        tokens,
        shared: Shared::shipped(),
        region: region.as_deref(),
    };
    let mut known = MatchKeyIndex::load(context.lake).await?;
    let mut keys = of_stages(identities, stages, &maker, &known)?;
    // An ambiguous record was given a person of its own, as if it were new: it is resolved again.
    let waits =
        |identity: &i64| identities.linked.contains_key(identity) || to_resolve.contains(identity);
    keys.retain(|identity, keys| known.of(*identity) != Some(*keys) || waits(identity));
    if keys.is_empty() {
        return Ok(Linked::default());
    }
    let seen = keys.keys().copied();
    let seen: HashSet<i64> = seen
        .filter(|identity| known.of(*identity).is_some())
        .collect();
    let component = known.replace(&keys, context.decisions);
    let run = Some((&*identities, &seen));
    let mut linked = resolve(context, &known, component, run).await?;
    identities.assign(&linked.moved);
    linked.keys = keys;
    Ok(linked)
}

/// Resolves the connected component of these records from scratch.
pub(crate) async fn relink(
    context: &LinkContext<'_>,
    seeds: &[i64],
) -> Result<Linked, IngestError> {
    let known = MatchKeyIndex::load(context.lake).await?;
    let component = known.around(seeds, context.decisions);
    resolve(context, &known, component, None).await
}

async fn resolve(
    context: &LinkContext<'_>,
    known: &MatchKeyIndex,
    component: Component,
    run: Option<(&Identities, &HashSet<i64>)>,
) -> Result<Linked, IngestError> {
    let mut linked = Linked::default();
    let identities = run.map(|(identities, _)| identities);
    let mut records = of_component(context.lake, context.base, &component, identities).await?;
    if let Some((_, seen)) = run {
        let known = records
            .iter_mut()
            .filter(|record| seen.contains(&record.identity));
        known.for_each(|record| record.is_new = false);
    }
    let outcome = component.resolve(known, &records, context.decisions);
    let wanted = outcome.unnamed(&records);
    let mut next = match (wanted, context.dry_run) {
        (0, _) => 0,
        (_, true) => i64::MAX / 4,
        (count, false) => reserve(context.lake, IdKind::Person, count, context.at).await?,
    };
    let persons = outcome.persons(&records, || {
        next += 1;
        next - 1
    });
    note(context, &records, &outcome, &persons, &mut linked);
    Ok(linked)
}

/// Records which person each record moved to, and why.
fn note(
    context: &LinkContext<'_>,
    records: &[PersonRecord],
    outcome: &Resolved,
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
        linked.log.push(LogEntry {
            id: None,
            action,
            identity: Some(record.identity),
            from: (!record.is_new).then_some(record.before),
            to: Some(to),
            rule: outcome.rule(at),
            cause: context
                .cause
                .map(|(entry, by)| (entry.to_owned(), by.to_owned())),
            evidence: evidence(candidates),
        });
    }
}

fn evidence(candidates: Option<&Vec<(MatchRule, i64)>>) -> Value {
    let candidates = candidates.into_iter().flatten();
    let named =
        candidates.map(|(match_rule, person)| json!({"rule": match_rule.name(), "person": person}));
    json!({"candidates": named.collect::<Vec<_>>()})
}

/// The entries that a commit writes to the snapshot: the map of moved records, the persons without records,
/// and whether any records are linked.
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
    let known = lake.identity_remap(base).await?;
    let mut moves: IdentityRemap = known.as_deref().cloned().unwrap_or_default();
    if !linked.before.is_empty() {
        for (identity, from) in &linked.before {
            moves.set(*identity, *from, linked.moved[identity]);
        }
        let path = lake.put_content("_identity/moves", &moves).await?;
        named.insert(IDENTITY_REMAP.to_owned(), Some(json!(path)));
    }
    named.extend(crate::persons::without_records::after(lake, base, linked, &moves).await?);
    Ok(named)
}
