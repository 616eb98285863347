//! Writing down what a refresh computed: bitmaps, the ledger and failures, in one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use roaring::RoaringTreemap;
use rollbook_lake::{BitmapRef, Cause, Commit, Lake, LakeError, State, Update};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp, TraitName};
use serde_json::{Value, json};

use crate::SegmentError;
use crate::affected::AffectedPersons;
use crate::definition::Definition;
use crate::ledger::{self, Change, Direction, LEDGER, Moved, Reason};
use crate::membership::{Refreshed, settings_of_criteria};
use crate::names::{members_name, name_of, status_name};
use crate::outcome::{Done, Evaluated, How, RefreshRequest};
use crate::status::{Failure, failed};

/// Attempts to compute before giving up because other writers were faster.
const ATTEMPTS: u32 = 10;

/// Computed members of a segment, with the membership before.
pub(crate) struct ComputedMembership {
    pub(crate) definition: Definition,
    pub(crate) names: BTreeMap<SegmentKey, u64>,
    /// The custom traits that it is computed from.
    pub(crate) traits: BTreeMap<TraitName, Timestamp>,
    pub(crate) members: Result<Arc<RoaringTreemap>, SegmentError>,
    /// Of a given list, its ids as they were given.
    pub(crate) decided: Option<Arc<RoaringTreemap>>,
    pub(crate) how: How,
    pub(crate) before: Option<Refreshed>,
    pub(crate) old: RoaringTreemap,
    /// The changes since; `None` where the definition changed.
    pub(crate) since: Option<ChangesSince>,
    /// Whether the members differ from before, once that is known.
    pub(crate) differs: OnceLock<bool>,
}

/// The changes since the membership before.
pub(crate) struct ChangesSince {
    /// The affected persons; `None` where it may be anybody.
    pub(crate) changed: Option<Arc<AffectedPersons>>,
    /// The reason for all other moves.
    pub(crate) otherwise: Reason,
}

impl ComputedMembership {
    /// An unchanged list.
    pub(crate) fn unchanged(
        definition: &Definition,
        before: Option<Refreshed>,
        members: &Arc<RoaringTreemap>,
    ) -> Self {
        Self {
            definition: definition.clone(),
            names: BTreeMap::new(),
            traits: BTreeMap::new(),
            members: Ok(Arc::clone(members)),
            decided: None,
            how: How::Unchanged,
            before,
            old: members.as_ref().clone(),
            since: None,
            differs: OnceLock::from(false),
        }
    }

    /// Whether the members differ from before.
    pub(crate) fn differs(&self) -> bool {
        *self.differs.get_or_init(|| {
            let members = self.members.as_ref();
            members.is_ok_and(|members| **members != self.old)
        })
    }

    /// Who entered and who left, by reason.
    fn moved(&self, members: &RoaringTreemap) -> BTreeMap<(Direction, Reason), RoaringTreemap> {
        let mut moved = BTreeMap::new();
        for (direction, persons) in [
            (Direction::Entered, members - &self.old),
            (Direction::Left, &self.old - members),
        ] {
            for (reason, persons) in self.by_reason(persons) {
                if !persons.is_empty() {
                    moved.insert((direction, reason), persons);
                }
            }
        }
        moved
    }

    fn by_reason(&self, persons: RoaringTreemap) -> Vec<(Reason, RoaringTreemap)> {
        let Some(since) = &self.since else {
            return vec![(Reason::Definition, persons)];
        };
        let Some(changed) = &since.changed else {
            return vec![(since.otherwise, persons)];
        };
        let erased = &persons & &changed.erased;
        let persons = &persons - &erased;
        let merged = &persons & &changed.merged;
        let unmerged = &(&persons & &changed.unmerged) - &merged;
        let persons = &(&persons - &merged) - &unmerged;
        let touched = &persons & &changed.touched;
        let others = &persons - &touched;
        let late = &touched - &changed.arrived;
        let new = &touched & &changed.arrived;
        let mut moved = BTreeMap::from([
            (Reason::NewData, new),
            (Reason::LateData, late),
            (Reason::Merge, merged),
            (Reason::Unmerge, unmerged),
            (Reason::Erasure, erased),
        ]);
        *moved.entry(since.otherwise).or_default() |= others;
        moved.into_iter().collect()
    }

    fn is_outdated(&self, state: &State, request: &RefreshRequest) -> bool {
        if self.how == How::Unchanged && !self.differs() {
            let is_same = |before: &Refreshed| before.has_same_ids(state);
            return !self.before.as_ref().is_some_and(is_same);
        }
        self.decided.is_some()
            || self.before.as_ref().is_none_or(|before| {
                self.differs()
                    || before.snapshot != state.data
                    || before.as_of != request.as_of
                    || before.revision != self.definition.revision
                    || before.names != self.names
                    || before.traits != self.traits
                    || before.settings != settings_of_criteria(state)
            })
    }
}

/// Computes memberships on the newest state and commits them; computes them again where another process
/// computed or defined the same segments meanwhile. Commits of anything else do not disturb it.
pub(crate) async fn compute_and_commit<F>(
    lake: &Lake,
    request: &RefreshRequest,
    compute: impl Fn(Arc<State>) -> F,
) -> Result<Vec<Evaluated>, SegmentError>
where
    F: Future<Output = Result<Vec<ComputedMembership>, SegmentError>>,
{
    for _ in 0..ATTEMPTS {
        let state = Arc::new(lake.head().await?);
        let computed = compute(Arc::clone(&state)).await?;
        if let Some(evaluated) = commit_computed(lake, &state, computed, request).await? {
            return Ok(evaluated);
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

/// Commits memberships computed on `state`; `None` where another process computed or defined the same
/// segments meanwhile.
async fn commit_computed(
    lake: &Lake,
    state: &State,
    computed: Vec<ComputedMembership>,
    request: &RefreshRequest,
) -> Result<Option<Vec<Evaluated>>, SegmentError> {
    let stamp = format!("{:020}-{:016x}", state.data.0, request.now.micros());
    let written = write(lake, state, &computed, request, &stamp).await?;
    let (mut named, mut evaluated) = (BTreeMap::new(), Vec::new());
    for (one, refreshed) in computed.into_iter().zip(written.refreshed) {
        let key = one.definition.key.clone();
        let known: Option<Failure> = state.value(&status_name(&key))?;
        let outcome = match (one.members, refreshed) {
            (Ok(_), Some(refreshed)) => {
                if known.is_some() {
                    named.insert(status_name(&key), None);
                }
                if one.before.as_ref() != Some(&refreshed) {
                    named.insert(members_name(&key), Some(json!(refreshed)));
                }
                let moved = |direction| {
                    let moves = written.moves.get(&key).into_iter().flatten();
                    let moves = moves.filter(|(known, _)| *known == direction);
                    moves.map(|(_, count)| count).sum()
                };
                Ok(Done {
                    refreshed,
                    how: one.how,
                    entered: moved(Direction::Entered),
                    left: moved(Direction::Left),
                })
            }
            (Err(error), _) => {
                let failure = failed(known, &error, request.now);
                named.insert(status_name(&key), Some(json!(failure)));
                Err(error)
            }
            (Ok(_), None) => continue,
        };
        let segment = key;
        evaluated.push(Evaluated { segment, outcome });
    }
    if let Some(pages) = written.pages {
        named.insert(LEDGER.to_owned(), Some(pages));
    }
    match named.is_empty() || commit(lake, state, &evaluated, named, request.now).await? {
        true => Ok(Some(evaluated)),
        false => Ok(None),
    }
}

/// Objects that are written and not yet part of a snapshot.
struct Written {
    /// For each segment its membership, where it has one.
    refreshed: Vec<Option<Refreshed>>,
    /// How many entered and left.
    moves: BTreeMap<SegmentKey, Vec<(Direction, u64)>>,
    pages: Option<Value>,
}

async fn write(
    lake: &Lake,
    state: &State,
    computed: &[ComputedMembership],
    request: &RefreshRequest,
    stamp: &str,
) -> Result<Written, SegmentError> {
    let is_new = |one: &&ComputedMembership| {
        let is_first = one.before.is_none();
        one.members.is_ok() && (is_first || one.differs())
    };
    let sets: Vec<&RoaringTreemap> = computed
        .iter()
        .filter(is_new)
        .filter_map(|one| one.members.as_deref().ok())
        .collect();
    let mut stored = match sets.is_empty() {
        true => Vec::new(),
        false => lake.put_sets(&format!("_members/{stamp}"), &sets).await?,
    }
    .into_iter();
    let (mut refreshed, mut moved) = (Vec::new(), Vec::new());
    for one in computed {
        let Ok(members) = &one.members else {
            refreshed.push(None);
            continue;
        };
        let set = match is_new(&one) {
            true => stored.next(),
            false => one.before.as_ref().map(|before| before.set.clone()),
        };
        let Some(set) = set.filter(|_| one.is_outdated(state, request)) else {
            refreshed.push(one.before.clone());
            continue;
        };
        if one.how == How::Unchanged
            && !one.differs()
            && let Some(before) = &one.before
        {
            refreshed.push(Some(before.clone().with_ids_of(state)));
            continue;
        }
        let decided = decided(lake, one, &set, stamp).await?;
        let membership = Refreshed {
            segment: one.definition.key.clone(),
            count: members.len(),
            snapshot: state.data,
            revision: one.definition.revision,
            as_of: request.as_of,
            computed_at: request.now,
            names: one.names.clone(),
            traits: one.traits.clone(),
            settings: settings_of_criteria(state),
            set,
            decided,
            gone: state.person_redirects_path().map(str::to_owned),
        };
        let persons = one.moved(members);
        if !persons.is_empty() {
            moved.push(Moved {
                change: change(&membership),
                persons,
            });
        }
        refreshed.push(Some(membership));
    }
    let moves = moved.iter().map(|one| {
        let moves = one.persons.iter();
        let moves = moves.map(|((direction, _), persons)| (*direction, persons.len()));
        (one.change.segment.clone(), moves.collect())
    });
    let moves = moves.collect();
    let pages = match moved.is_empty() {
        true => None,
        false => Some(ledger::write(lake, state, moved, stamp).await?),
    };
    Ok(Written {
        refreshed,
        moves,
        pages,
    })
}

/// The bitmap of the given ids of a list whose members are in `set`.
async fn decided(
    lake: &Lake,
    one: &ComputedMembership,
    set: &BitmapRef,
    stamp: &str,
) -> Result<Option<BitmapRef>, SegmentError> {
    if !one.definition.is_static() {
        return Ok(None);
    }
    let given = one.decided.as_deref();
    if let Some(given) =
        given.filter(|given| !one.members.as_deref().is_ok_and(|all| all == *given))
    {
        let stored = lake
            .put_sets(&format!("_members/{stamp}"), &[given])
            .await?;
        return Ok(stored.into_iter().next());
    }
    let before = one.before.as_ref().filter(|_| one.how == How::Unchanged);
    let before = before.map(|before| before.origin().clone());
    Ok(Some(before.unwrap_or_else(|| set.clone())))
}

fn change(membership: &Refreshed) -> Change {
    Change {
        segment: membership.segment.clone(),
        revision: membership.revision,
        snapshot: membership.snapshot,
        commit: SnapshotNumber::default(),
        as_of: membership.as_of,
        at: membership.computed_at,
        count: membership.count,
        moves: Vec::new(),
    }
}

/// Commits, on top of other commits that do not conflict; `false` where one does.
async fn commit(
    lake: &Lake,
    base: &State,
    evaluated: &[Evaluated],
    named: BTreeMap<String, Option<Value>>,
    at: Timestamp,
) -> Result<bool, SegmentError> {
    let cause = Cause::Refresh {
        segments: evaluated.len() as u64,
    };
    let rests_on = |state: &State| {
        let names = evaluated.iter().flat_map(|one| {
            let key = &one.segment;
            [name_of(key), members_name(key), status_name(key)]
        });
        let names = names.chain([LEDGER.to_owned()]);
        names
            .map(|name| state.named.get(&name).cloned())
            .collect::<Vec<_>>()
    };
    let known = rests_on(base);
    let (rests_on, known) = (&rests_on, &known);
    let update = |head: Arc<State>| {
        let (mut named, cause) = (named.clone(), cause.clone());
        async move {
            if rests_on(&head) != *known {
                return Ok(Update::Keep(false));
            }
            ledger::committed_as(&mut named, head.number.next());
            let commit = Commit::of_names(cause, at, named);
            Ok::<_, SegmentError>(Update::commit(commit, true))
        }
    };
    lake.update(update).await
}
