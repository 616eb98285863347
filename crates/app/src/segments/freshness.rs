//! Freshness: whether memberships are up to date at a given moment.

use rollbook_lake::{Lake, State};
use rollbook_model::Timestamp;
use rollbook_segments::definition::Scheduled;
use rollbook_segments::forecast::first_change::FirstChangeRequest;
use rollbook_segments::membership::current;
use rollbook_segments::status::{failure, freshness_of};
use rollbook_segments::{Failure, Freshness, Refreshed, Schedule, Status};

use super::NamedSegments;
use crate::access::{Right, Rights};
use crate::workspace::SegmentSessions;
use crate::{AppError, Workspace};

/// A segment with its last membership and last failure.
pub(super) struct SegmentState {
    pub(super) scheduled: Scheduled,
    pub(super) refreshed: Option<Refreshed>,
    pub(super) failure: Option<Failure>,
}

impl SegmentState {
    /// The state of a segment at a snapshot.
    pub(super) fn of(state: &State, scheduled: Scheduled) -> Result<Self, AppError> {
        Ok(Self {
            refreshed: current(state, &scheduled.key)?,
            failure: failure(state, &scheduled.key)?,
            scheduled,
        })
    }
}

/// The freshness of segments at `now`, in their order.
pub(super) async fn freshness_of_all(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    all: &[SegmentState],
    now: Timestamp,
) -> Vec<Freshness> {
    let freshness = |one: &SegmentState| {
        let (refreshed, failure) = (one.refreshed.as_ref(), one.failure.as_ref());
        freshness_of(state, &one.scheduled, refreshed, failure)
    };
    let mut all_freshness: Vec<Freshness> = all.iter().map(freshness).collect();
    let time_dependent = all
        .iter()
        .zip(&mut all_freshness)
        .filter_map(|(one, freshness)| {
            let refreshed = one.refreshed.as_ref()?;
            let is_open = freshness.status == Status::Fresh
                && one.scheduled.refresh != Schedule::Static
                && refreshed.as_of < now;
            is_open.then_some((refreshed, freshness))
        });
    let (memberships, time_dependent): (Vec<&Refreshed>, Vec<&mut Freshness>) =
        time_dependent.unzip();
    if memberships.is_empty() {
        return all_freshness;
    }
    let first = workspace.first_changes(lake, state, &memberships).await;
    for ((membership, freshness), at) in memberships.iter().zip(time_dependent).zip(first) {
        // If that is unknown, any moment may have changed it.
        let at = at.unwrap_or(Some(membership.as_of));
        if let Some(at) = at.filter(|at| *at <= now) {
            *freshness = Freshness::passed(at);
        }
    }
    all_freshness
}

impl Workspace {
    /// When the clock alone first changes each of some memberships; `Err` if that cannot be determined.
    async fn first_changes(
        &self,
        lake: &Lake,
        state: &State,
        memberships: &[&Refreshed],
    ) -> Vec<Result<Option<Timestamp>, ()>> {
        // Concurrent requests for the same wait here.
        let mut known = self.first_changes.0.lock().await;
        let is_known = |one: &&&Refreshed| {
            let known = known.get(&one.segment);
            known.is_some_and(|(of, _)| of == **one)
        };
        let new: Vec<&Refreshed> = memberships
            .iter()
            .filter(|one| !is_known(one))
            .copied()
            .collect();
        if !new.is_empty()
            && let Ok(found) = self.compute_first_changes(lake, state, &new).await
        {
            let entries = new.into_iter().zip(found);
            let entries = entries.map(|(one, at)| (one.segment.clone(), (one.clone(), at)));
            known.extend(entries);
        }
        let of = |one: &&Refreshed| match known.get(&one.segment) {
            Some((of, at)) if of == *one => Ok(*at),
            _ => Err(()),
        };
        memberships.iter().map(of).collect()
    }

    async fn compute_first_changes(
        &self,
        lake: &Lake,
        state: &State,
        memberships: &[&Refreshed],
    ) -> Result<Vec<Option<Timestamp>>, AppError> {
        let named = NamedSegments::all(lake, state).await?;
        let is_restricted = |membership: &Refreshed| {
            let mut definitions = named.definitions.iter();
            definitions.any(|one| one.key == membership.segment && one.without_personal)
        };
        let mut first = vec![None; memberships.len()];
        // With the rights of the authors: it does not depend on who asks first.
        for rights in [Rights::ALL, Rights::ALL.without(Right::Pii)] {
            let is_chosen =
                |place: &usize| is_restricted(memberships[*place]) != rights.has(Right::Pii);
            let places: Vec<usize> = (0..memberships.len()).filter(is_chosen).collect();
            if places.is_empty() {
                continue;
            }
            let of_authors = self.with_rights(rights);
            let ahead = FirstChangeRequest {
                lake,
                sessions: &SegmentSessions::new(&of_authors, lake),
                state,
                all: &named.definitions,
                fixed: &named.fixed,
            };
            let chosen: Vec<&Refreshed> = places.iter().map(|place| memberships[*place]).collect();
            let found = match ahead.first_changes(&chosen).await {
                // Criteria that need more than their author may read may change at any moment.
                Err(_) if !rights.has(Right::Pii) => {
                    chosen.iter().map(|one| Some(one.as_of)).collect()
                }
                found => found?,
            };
            for (place, at) in places.into_iter().zip(found) {
                first[place] = at;
            }
        }
        Ok(first)
    }
}
