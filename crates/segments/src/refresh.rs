//! Refreshing memberships: for the affected persons where possible, else for all.
//!
//! A membership is valid for a snapshot of the data and a moment. To refresh it, the affected persons are
//! found: those whose rows were written, those with rows whose time has come, and those with rows that
//! crossed the end of a time window. The criteria are evaluated over a session with these persons alone,
//! and the bitmap is patched. What cannot be patched (a new definition, a `select`, a custom trait, a
//! condition that depends on the current time in an unpredictable way) is evaluated over all persons.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Session};
use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, Timestamp, TraitName};

use crate::affected::{AffectedPersons, Basis, affected_since, due_by_clock};
use crate::definition::{self, Definition};
use crate::ledger::Reason;
use crate::membership::{Refreshed, current, persons, persons_at};
use crate::outcome::{Done, Evaluated, How, RefreshRequest};
use crate::{Evaluation, SegmentError, Sessions, custom_traits};

mod persist;

use persist::{ChangesSince, ComputedMembership, compute_and_commit};

/// All persons are evaluated where more than one in so many is affected.
const PATCHED_AT_MOST: u64 = 3;

/// Computes segments and commits the memberships of those that succeed. A failing segment affects only
/// those that name it.
///
/// # Errors
/// [`SegmentError::Unknown`] for a key without a segment; [`SegmentError::Session`] where the data cannot
/// be opened; [`SegmentError::Lake`] where the lake cannot be read or written, or other writers were
/// faster 10 times. An error of one segment is in its own [`Evaluated::outcome`].
pub async fn refresh(
    lake: &Lake,
    sessions: &dyn Sessions,
    request: &RefreshRequest,
) -> Result<Vec<Evaluated>, SegmentError> {
    let compute = |state: Arc<State>| async move {
        let attempt = RefreshAttempt::new(lake, sessions, &state, request).await?;
        attempt.compute().await
    };
    compute_and_commit(lake, request, compute).await
}

/// Records that computing a segment exceeded `limit` bytes of memory, for a process that was killed and
/// could not record it itself.
///
/// # Errors
/// [`SegmentError::Unknown`] where there is no such segment; [`SegmentError::Lake`] where the lake cannot
/// be read or written, or other writers were faster 10 times.
pub async fn give_up(
    lake: &Lake,
    key: &SegmentKey,
    limit: u64,
    now: Timestamp,
) -> Result<(), SegmentError> {
    let request = RefreshRequest {
        keys: vec![key.clone()],
        as_of: now,
        now,
        is_full: false,
        without_personal: false,
    };
    let compute = |state: Arc<State>| async move {
        Ok(vec![ComputedMembership {
            definition: definition::show(lake, &state, key).await?,
            names: BTreeMap::new(),
            traits: BTreeMap::new(),
            members: Err(EngineError::MemoryExhausted { limit }.into()),
            decided: None,
            how: How::Full,
            before: current(&state, key)?,
            old: RoaringTreemap::new(),
            since: None,
            differs: OnceLock::new(),
        }])
    };
    compute_and_commit(lake, &request, compute).await.map(drop)
}

/// Stores a given list of persons as the members of a static segment. The ids may be those of persons who
/// were merged into others since.
///
/// # Errors
/// [`SegmentError::Lake`] where the lake cannot be read or written, or other writers were faster 10 times.
pub async fn freeze(
    lake: &Lake,
    definition: &Definition,
    members: &Arc<RoaringTreemap>,
    request: &RefreshRequest,
) -> Result<Done, SegmentError> {
    let compute = |state: Arc<State>| async move {
        let before = current(&state, &definition.key)?;
        let old = match &before {
            Some(before) => persons(lake, before).await?,
            None => RoaringTreemap::new(),
        };
        let redirects = lake.person_redirects(state.person_redirects_path()).await?;
        Ok(vec![ComputedMembership {
            definition: definition.clone(),
            names: BTreeMap::new(),
            traits: BTreeMap::new(),
            members: Ok(Arc::new(redirects.resolve(members))),
            decided: Some(Arc::clone(members)),
            how: How::Full,
            before,
            old,
            since: None,
            differs: OnceLock::new(),
        }])
    };
    let evaluated = compute_and_commit(lake, request, compute).await?;
    let one = evaluated.into_iter().next();
    one.expect("one segment has one outcome").outcome
}

/// One attempt of a refresh, on one state.
struct RefreshAttempt<'a> {
    lake: &'a Lake,
    sessions: &'a dyn Sessions,
    state: &'a State,
    request: &'a RefreshRequest,
    /// All definitions.
    all: Vec<Definition>,
    /// The members of those that are lists.
    fixed: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// When each custom trait got its definition.
    traits: BTreeMap<TraitName, Timestamp>,
    /// Affected persons by basis; `None` where it may be anybody.
    changes: BTreeMap<Basis, Option<Arc<AffectedPersons>>>,
}

impl<'a> RefreshAttempt<'a> {
    async fn new(
        lake: &'a Lake,
        sessions: &'a dyn Sessions,
        state: &'a State,
        request: &'a RefreshRequest,
    ) -> Result<Self, SegmentError> {
        let all = definition::list(lake, state).await?;
        let fixed = fixed(lake, state, &all).await?;
        Ok(Self {
            lake,
            sessions,
            state,
            request,
            all,
            fixed,
            traits: custom_traits::since(state)?,
            changes: BTreeMap::new(),
        })
    }

    async fn chosen(&self) -> Result<Vec<Definition>, SegmentError> {
        let mut chosen = Vec::new();
        for key in &self.request.keys {
            chosen.push(definition::show(self.lake, self.state, key).await?);
        }
        if self.request.keys.is_empty() {
            chosen.clone_from(&self.all);
        }
        chosen.retain(|one| one.without_personal == self.request.without_personal);
        Ok(chosen)
    }

    async fn compute(mut self) -> Result<Vec<ComputedMembership>, SegmentError> {
        let chosen = self.chosen().await?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let as_of = self.request.as_of;
        let session = self.sessions.open(self.state, as_of, None).await?;
        let (all, fixed) = (self.all.clone(), self.fixed.clone());
        let mut evaluation = Evaluation::new(&session, &all).with_fixed(&fixed);
        let mut computed: BTreeMap<SegmentKey, ComputedMembership> = BTreeMap::new();
        let mut by_basis: BTreeMap<Basis, Vec<(&Definition, Refreshed)>> = BTreeMap::new();
        for definition in &chosen {
            let before = current(self.state, &definition.key)?;
            if let Some(members) = self.fixed.get(&definition.key) {
                let one = self.list(definition, before, members).await?;
                computed.insert(definition.key.clone(), one);
            } else if let Some(before) = before
                && self.can_be_patched(definition, &before, &evaluation)?
            {
                let group = by_basis.entry(Basis::of(&before)).or_default();
                group.push((definition, before));
            }
        }
        for (basis, group) in by_basis {
            self.patch(&session, &evaluation, basis, group, &mut computed)
                .await?;
        }
        for one in computed.values() {
            if let Ok(members) = &one.members {
                evaluation.know(&one.definition.key, members);
            }
        }
        let rest: Vec<&Definition> = chosen
            .iter()
            .filter(|definition| !computed.contains_key(&definition.key))
            .collect();
        let keys: Vec<SegmentKey> = rest.iter().map(|one| one.key.clone()).collect();
        let evaluated = evaluation.segments(&keys).await;
        let befores = keys.iter().map(|key| current(self.state, key));
        let befores = befores.collect::<Result<Vec<_>, _>>()?;
        let sets: Vec<_> = befores.iter().flatten().map(|before| &before.set).collect();
        let mut sets = self.lake.sets(&sets).await?.into_iter();
        for ((definition, members), before) in rest.into_iter().zip(evaluated).zip(befores) {
            if let Err(SegmentError::Criteria(EngineError::MemoryInUse)) = &members {
                // No fault of the segment: nothing is recorded, and it is refreshed later.
                return Err(EngineError::MemoryInUse.into());
            }
            let old = before.as_ref().and_then(|_| sets.next());
            let before = before.zip(old);
            let one = self.evaluated(&session, definition, members, before, &evaluation);
            computed.insert(definition.key.clone(), one.await?);
        }
        // In the order in which they were asked for.
        let take = |definition: &Definition| computed.remove(&definition.key);
        Ok(chosen.iter().filter_map(take).collect())
    }

    /// A static segment: its given persons, by their ids now.
    async fn list(
        &self,
        definition: &Definition,
        before: Option<Refreshed>,
        members: &Arc<RoaringTreemap>,
    ) -> Result<ComputedMembership, SegmentError> {
        let known = before.as_ref().filter(|one| !one.has_same_ids(self.state));
        let known = known.map(|one| (one.set.clone(), one.snapshot));
        let mut one = ComputedMembership::unchanged(definition, before, members);
        if let Some((set, snapshot)) = known {
            one.old = self.lake.set(&set).await?;
            one.differs = OnceLock::new();
            // New rows of a person change nothing in a list.
            let changes = self.lake.changes(snapshot, self.state).await?;
            let changed = changes.map(|changes| AffectedPersons {
                merged: changes.merged,
                unmerged: changes.unmerged,
                erased: changes.erased,
                ..AffectedPersons::default()
            });
            one.since = Some(ChangesSince {
                changed: changed.map(Arc::new),
                otherwise: Reason::Merge,
            });
        }
        Ok(one)
    }

    /// A membership computed over all persons, with the reasons for its changes.
    async fn evaluated(
        &mut self,
        session: &Session,
        definition: &Definition,
        members: crate::Members,
        before: Option<(Refreshed, RoaringTreemap)>,
        evaluation: &Evaluation<'_>,
    ) -> Result<ComputedMembership, SegmentError> {
        let (before, old) = before.unzip();
        let names = evaluation.names(&definition.key);
        let mut traits = self.traits.clone();
        let named = evaluation.traits(&definition.key);
        traits.retain(|name, _| named.contains(name.as_str()));
        let mut one = ComputedMembership {
            definition: definition.clone(),
            names,
            traits,
            members,
            decided: None,
            how: How::Full,
            old: old.unwrap_or_default(),
            since: None,
            before: before.clone(),
            differs: OnceLock::new(),
        };
        let Some(before) = before else {
            return Ok(one);
        };
        let is_same_text = before.revision >= definition.criteria_revision
            && one.names == before.names
            && one.traits == before.traits;
        if !is_same_text || !one.differs() {
            return Ok(one);
        }
        let basis = Basis::of(&before);
        let moves_forward = basis.as_of <= self.request.as_of && basis.snapshot <= self.state.data;
        let changed = match moves_forward {
            true => self.changed_since(session, basis).await?,
            false => None,
        };
        // Where criteria read one person at a time, persons without changed rows move by time alone.
        let is_by_data = basis.snapshot != self.state.data;
        let is_alone = evaluation.revisions(&definition.key).is_some() && changed.is_some();
        let otherwise = match is_by_data && !is_alone {
            true => Reason::NewData,
            false => Reason::Clock,
        };
        one.since = Some(ChangesSince { changed, otherwise });
        Ok(one)
    }

    /// The persons affected since a basis, computed once.
    async fn changed_since(
        &mut self,
        session: &Session,
        basis: Basis,
    ) -> Result<Option<Arc<AffectedPersons>>, SegmentError> {
        if let Some(known) = self.changes.get(&basis) {
            return Ok(known.clone());
        }
        let found = affected_since(self.lake, session, self.state, basis).await?;
        let found = found.map(Arc::new);
        self.changes.insert(basis, found.clone());
        Ok(found)
    }

    /// Whether only affected persons can have changed.
    fn can_be_patched(
        &self,
        definition: &Definition,
        before: &Refreshed,
        evaluation: &Evaluation<'_>,
    ) -> Result<bool, SegmentError> {
        let moves_forward = !self.request.is_full
            && before.revision >= definition.criteria_revision
            && before.as_of <= self.request.as_of
            && before.snapshot <= self.state.data
            && evaluation.revisions(&definition.key).as_ref() == Some(&before.names);
        if !moves_forward {
            return Ok(false);
        }
        // A list that was stored later was computed from its criteria then.
        for list in before
            .names
            .keys()
            .filter(|key| self.fixed.contains_key(*key))
        {
            if before.is_before(self.state, list)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Patches segments with the same basis for the affected persons.
    async fn patch(
        &mut self,
        session: &Session,
        evaluation: &Evaluation<'_>,
        basis: Basis,
        group: Vec<(&Definition, Refreshed)>,
        computed: &mut BTreeMap<SegmentKey, ComputedMembership>,
    ) -> Result<(), SegmentError> {
        let Some(changed) = self.changed_since(session, basis).await? else {
            return Ok(());
        };
        let conditions = group.iter().map(|(definition, _)| {
            let conditions = evaluation.conditions(&definition.key);
            (definition.key.clone(), conditions)
        });
        let conditions = conditions.collect();
        let due = due_by_clock(self.lake, self.state, session, conditions, basis);
        let (keys, due) = due.await?;
        let persons_now = self.state.table("persons").rows();
        let dirty = changed.with(&due);
        if dirty.len().saturating_mul(PATCHED_AT_MOST) > persons_now {
            return Ok(());
        }
        let patches = match dirty.is_empty() {
            true => keys.iter().map(|_| Ok(Arc::default())).collect(),
            false => {
                let (as_of, among) = (self.request.as_of, Some(Arc::new(dirty.clone())));
                let some = self.sessions.open(self.state, as_of, among).await?;
                evaluation.over(&some).segments(&keys).await
            }
        };
        let patches: BTreeMap<_, _> = keys.into_iter().zip(patches).collect();
        let sets: Vec<_> = group.iter().map(|(_, before)| &before.set).collect();
        let sets = self.lake.sets(&sets).await?;
        for ((definition, before), old) in group.into_iter().zip(sets) {
            // A failing one is evaluated over all persons, which reports the error.
            let Some(Ok(patch)) = patches.get(&definition.key) else {
                continue;
            };
            let differs = (&old & &dirty) != **patch;
            let members = match differs {
                true => (&old - &dirty) | patch.as_ref(),
                false => old.clone(),
            };
            let one = ComputedMembership {
                definition: definition.clone(),
                names: before.names.clone(),
                traits: BTreeMap::new(),
                members: Ok(Arc::new(members)),
                decided: None,
                how: How::Patched(dirty.len()),
                old,
                since: Some(ChangesSince {
                    changed: Some(Arc::clone(&changed)),
                    otherwise: Reason::Clock,
                }),
                before: Some(before),
                differs: OnceLock::from(differs),
            };
            computed.insert(definition.key.clone(), one);
        }
        Ok(())
    }
}

/// The members of static segments, by the ids that persons have at a snapshot.
///
/// # Errors
/// [`SegmentError::Lake`] where a membership or its bitmap cannot be read.
pub async fn fixed(
    lake: &Lake,
    state: &State,
    definitions: &[Definition],
) -> Result<BTreeMap<SegmentKey, Arc<RoaringTreemap>>, SegmentError> {
    let mut lists = Vec::new();
    for definition in definitions.iter().filter(|one| one.is_static()) {
        let refreshed = current(state, &definition.key)?;
        lists.extend(refreshed.filter(|one| one.revision >= definition.criteria_revision));
    }
    let sets = persons_at(
        lake,
        state.person_redirects_path(),
        &lists.iter().collect::<Vec<_>>(),
    )
    .await?;
    let keys = lists.into_iter().map(|one| one.segment);
    Ok(keys.zip(sets.into_iter().map(Arc::new)).collect())
}
