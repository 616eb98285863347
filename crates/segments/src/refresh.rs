//! Computing who belongs: for those whom changes may concern, or for all.
//!
//! A membership is known for a snapshot of the data and a moment. To know it for later ones, the
//! persons are found for whom anything changed since: those whose rows were written, those whose
//! rows came to pass, and those whose rows passed an end of a window. The criteria are evaluated
//! over a session that holds these persons alone, and the bitmaps are patched. What cannot be
//! patched (a new definition, a `select`, a trait of the tenant's own, a condition that reads the
//! clock in a way of its own) is evaluated over all persons, together.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use roaring::RoaringTreemap;
use rollbook_engine::{EngineError, Session};
use rollbook_lake::{Lake, LakeError, State};
use rollbook_model::{SegmentKey, Timestamp, TraitName};

use crate::changed::{Basis, Changed, changed, due};
use crate::definition::{self, Definition};
use crate::ledger::Reason;
use crate::membership::{Refreshed, current, persons, persons_at};
use crate::outcome::{Done, Evaluated, How, Wanted};
use crate::persist::{Computed, Since, keep};
use crate::{Evaluation, SegmentError, custom_traits};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// One person in so many: where changes may concern more, all are evaluated.
const PATCHED_AT_MOST: u64 = 3;

/// Opens sessions over the data of a snapshot.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// A session over the data of `state`, seen from `as_of`: that of all persons, or of some.
    async fn open(
        &self,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, SegmentError>;
}

/// Computes segments and commits the memberships of those that succeed. One that fails holds up
/// none but those that name it.
///
/// # Errors
/// [`SegmentError::Unknown`] for a key that is none; those of the lake.
pub async fn refresh(
    lake: &Lake,
    sessions: &dyn Sessions,
    wanted: &Wanted,
) -> Result<Vec<Evaluated>, SegmentError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let computed = Round::new(lake, sessions, &state, wanted).await?.compute();
        if let Some(evaluated) = keep(lake, &state, computed.await?, wanted).await? {
            return Ok(evaluated);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// Records that a segment could not be computed within so many bytes of memory: whoever computed it
/// was ended for that, and recorded nothing.
///
/// # Errors
/// Those of the lake; [`SegmentError::Unknown`].
pub async fn give_up(
    lake: &Lake,
    key: &SegmentKey,
    limit: u64,
    now: Timestamp,
) -> Result<(), SegmentError> {
    let wanted = Wanted {
        keys: vec![key.clone()],
        as_of: now,
        now,
        is_full: false,
    };
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let one = Computed {
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
        };
        if keep(lake, &state, vec![one], &wanted).await?.is_some() {
            return Ok(());
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// Keeps a list of persons as the members of a segment: who was decided on, by ids that may be those
/// of persons who became others since.
///
/// # Errors
/// Those of the lake.
pub async fn freeze(
    lake: &Lake,
    definition: &Definition,
    members: &Arc<RoaringTreemap>,
    wanted: &Wanted,
) -> Result<Done, SegmentError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let before = current(&state, &definition.key)?;
        let old = match &before {
            Some(before) => persons(lake, before).await?,
            None => RoaringTreemap::new(),
        };
        let one = Computed {
            definition: definition.clone(),
            names: BTreeMap::new(),
            traits: BTreeMap::new(),
            members: Ok(Arc::new(lake.gone(state.gone()).await?.resolve(members))),
            decided: Some(Arc::clone(members)),
            how: How::Full,
            before,
            old,
            since: None,
            differs: OnceLock::new(),
        };
        if let Some(kept) = keep(lake, &state, vec![one], wanted).await? {
            let kept = kept.into_iter().next();
            return kept.expect("one segment has one outcome").outcome;
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// One attempt, on one state.
struct Round<'a> {
    lake: &'a Lake,
    sessions: &'a dyn Sessions,
    state: &'a State,
    wanted: &'a Wanted,
    /// All definitions.
    all: Vec<Definition>,
    /// The members of those that are lists.
    fixed: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
    /// Since when each trait of the tenant's own computes what it does.
    traits: BTreeMap<TraitName, Timestamp>,
    /// What changed since each basis that was looked at; `None` where that may be anything.
    changes: BTreeMap<Basis, Option<Arc<Changed>>>,
}

impl<'a> Round<'a> {
    async fn new(
        lake: &'a Lake,
        sessions: &'a dyn Sessions,
        state: &'a State,
        wanted: &'a Wanted,
    ) -> Result<Self, SegmentError> {
        let all = definition::list(lake, state).await?;
        let fixed = fixed(lake, state, &all).await?;
        Ok(Self {
            lake,
            sessions,
            state,
            wanted,
            all,
            fixed,
            traits: custom_traits::since(state)?,
            changes: BTreeMap::new(),
        })
    }

    async fn chosen(&self) -> Result<Vec<Definition>, SegmentError> {
        if self.wanted.keys.is_empty() {
            return Ok(self.all.clone());
        }
        let mut chosen = Vec::new();
        for key in &self.wanted.keys {
            chosen.push(definition::show(self.lake, self.state, key).await?);
        }
        Ok(chosen)
    }

    async fn compute(mut self) -> Result<Vec<Computed>, SegmentError> {
        let chosen = self.chosen().await?;
        let as_of = self.wanted.as_of;
        let session = self.sessions.open(self.state, as_of, None).await?;
        let (all, fixed) = (self.all.clone(), self.fixed.clone());
        let mut evaluation = Evaluation::new(&session, &all).with_fixed(&fixed);
        let mut computed: BTreeMap<SegmentKey, Computed> = BTreeMap::new();
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
            let old = before.as_ref().and_then(|_| sets.next());
            let before = before.zip(old);
            let one = self.evaluated(&session, definition, members, before, &evaluation);
            computed.insert(definition.key.clone(), one.await?);
        }
        // In the order in which they were asked for.
        let take = |definition: &Definition| computed.remove(&definition.key);
        Ok(chosen.iter().filter_map(take).collect())
    }

    /// A list: who was decided on, by the ids that they have now.
    async fn list(
        &self,
        definition: &Definition,
        before: Option<Refreshed>,
        members: &Arc<RoaringTreemap>,
    ) -> Result<Computed, SegmentError> {
        let known = before.as_ref().filter(|one| !one.has_same_ids(self.state));
        let known = known.map(|one| (one.set.clone(), one.snapshot));
        let mut one = Computed::standing(definition, before, members);
        if let Some((set, snapshot)) = known {
            one.old = self.lake.set(&set).await?;
            one.differs = OnceLock::new();
            // Rows that came for somebody make no difference to a list.
            let changes = self.lake.changes(snapshot, self.state).await?;
            let changed = changes.map(|changes| Changed {
                merged: changes.merged,
                unmerged: changes.unmerged,
                erased: changes.erased,
                ..Changed::default()
            });
            one.since = Some(Since {
                changed: changed.map(Arc::new),
                otherwise: Reason::Merge,
            });
        }
        Ok(one)
    }

    /// What was computed over all persons, and how it came to differ from what stood before.
    async fn evaluated(
        &mut self,
        session: &Session,
        definition: &Definition,
        members: crate::Members,
        before: Option<(Refreshed, RoaringTreemap)>,
        evaluation: &Evaluation<'_>,
    ) -> Result<Computed, SegmentError> {
        let (before, old) = before.unzip();
        let names = evaluation.names(&definition.key);
        let mut traits = self.traits.clone();
        let named = evaluation.traits(&definition.key);
        traits.retain(|name, _| named.contains(name.as_str()));
        let mut one = Computed {
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
        let goes_on = basis.as_of <= self.wanted.as_of && basis.snapshot <= self.state.data;
        let changed = match goes_on {
            true => self.changed_since(session, basis).await?,
            false => None,
        };
        // Where each person is looked at alone, only time moves those whose rows are as they were.
        let is_by_data = basis.snapshot != self.state.data;
        let is_alone = evaluation.revisions(&definition.key).is_some() && changed.is_some();
        let otherwise = match is_by_data && !is_alone {
            true => Reason::NewData,
            false => Reason::Clock,
        };
        one.since = Some(Since { changed, otherwise });
        Ok(one)
    }

    /// What changed since a basis, looked for once.
    async fn changed_since(
        &mut self,
        session: &Session,
        basis: Basis,
    ) -> Result<Option<Arc<Changed>>, SegmentError> {
        if let Some(known) = self.changes.get(&basis) {
            return Ok(known.clone());
        }
        let found = changed(self.lake, session, self.state, basis).await?;
        let found = found.map(Arc::new);
        self.changes.insert(basis, found.clone());
        Ok(found)
    }

    /// Whether what changed since is all that can make a difference.
    fn can_be_patched(
        &self,
        definition: &Definition,
        before: &Refreshed,
        evaluation: &Evaluation<'_>,
    ) -> Result<bool, SegmentError> {
        let goes_on = !self.wanted.is_full
            && before.revision >= definition.criteria_revision
            && before.as_of <= self.wanted.as_of
            && before.snapshot <= self.state.data
            && evaluation.revisions(&definition.key).as_ref() == Some(&before.names);
        if !goes_on {
            return Ok(false);
        }
        // A list that was put down later was computed from its criteria then.
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

    /// Evaluates segments that were computed from the same for whom anything changed since.
    async fn patch(
        &mut self,
        session: &Session,
        evaluation: &Evaluation<'_>,
        basis: Basis,
        group: Vec<(&Definition, Refreshed)>,
        computed: &mut BTreeMap<SegmentKey, Computed>,
    ) -> Result<(), SegmentError> {
        let Some(changed) = self.changed_since(session, basis).await? else {
            return Ok(());
        };
        let conditions = group.iter().map(|(definition, _)| {
            let texts = evaluation.texts(&definition.key);
            (definition.key.clone(), texts)
        });
        let conditions = conditions.collect();
        let due = due(self.lake, self.state, session, conditions, basis);
        let (keys, due) = due.await?;
        let persons_now = self.state.table("persons").rows();
        let dirty = changed.with(&due);
        if dirty.len().saturating_mul(PATCHED_AT_MOST) > persons_now {
            return Ok(());
        }
        let patches = match dirty.is_empty() {
            true => keys.iter().map(|_| Ok(Arc::default())).collect(),
            false => {
                let (as_of, among) = (self.wanted.as_of, Some(Arc::new(dirty.clone())));
                let some = self.sessions.open(self.state, as_of, among).await?;
                let mut over = Evaluation::new(&some, &self.all).with_fixed(&self.fixed);
                over.segments(&keys).await
            }
        };
        let patches: BTreeMap<_, _> = keys.into_iter().zip(patches).collect();
        let sets: Vec<_> = group.iter().map(|(_, before)| &before.set).collect();
        let sets = self.lake.sets(&sets).await?;
        for ((definition, before), old) in group.into_iter().zip(sets) {
            // One that fails is told of where it is evaluated over all.
            let Some(Ok(patch)) = patches.get(&definition.key) else {
                continue;
            };
            let differs = (&old & &dirty) != **patch;
            let members = match differs {
                true => (&old - &dirty) | patch.as_ref(),
                false => old.clone(),
            };
            let one = Computed {
                definition: definition.clone(),
                names: before.names.clone(),
                traits: BTreeMap::new(),
                members: Ok(Arc::new(members)),
                decided: None,
                how: How::Patched(dirty.len()),
                old,
                since: Some(Since {
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

/// The members of the segments that are lists, by the ids that persons have at a snapshot.
///
/// # Errors
/// [`SegmentError::Lake`].
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
    let sets = persons_at(lake, state.gone(), &lists.iter().collect::<Vec<_>>()).await?;
    let keys = lists.into_iter().map(|one| one.segment);
    Ok(keys.zip(sets.into_iter().map(Arc::new)).collect())
}
