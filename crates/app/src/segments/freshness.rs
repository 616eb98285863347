//! Whether memberships are up to date at the moment that somebody asks.

use rollbook_lake::{Lake, State};
use rollbook_model::Timestamp;
use rollbook_segments::definition::Scheduled;
use rollbook_segments::forecast::first_change::FirstChangeRequest;
use rollbook_segments::membership::current;
use rollbook_segments::status::{failure, freshness_of};
use rollbook_segments::{Failure, Freshness, Refreshed, Schedule, Status};

use super::Named;
use crate::workspace::Opening;
use crate::{AppError, Workspace};

/// A segment, and what is kept of it.
pub(super) struct Kept {
    pub(super) scheduled: Scheduled,
    pub(super) refreshed: Option<Refreshed>,
    pub(super) failure: Option<Failure>,
}

impl Kept {
    /// What a snapshot has of a segment.
    pub(super) fn of(state: &State, scheduled: Scheduled) -> Result<Self, AppError> {
        Ok(Self {
            refreshed: current(state, &scheduled.key)?,
            failure: failure(state, &scheduled.key)?,
            scheduled,
        })
    }
}

/// How segments stand at `now`.
pub(super) async fn standings(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    all: &[Kept],
    now: Timestamp,
) -> Vec<Freshness> {
    let freshness = |one: &Kept| {
        let (refreshed, failure) = (one.refreshed.as_ref(), one.failure.as_ref());
        freshness_of(state, &one.scheduled, refreshed, failure)
    };
    let mut standings: Vec<Freshness> = all.iter().map(freshness).collect();
    let depends = all
        .iter()
        .zip(&mut standings)
        .filter_map(|(one, freshness)| {
            let refreshed = one.refreshed.as_ref()?;
            let is_open = freshness.status == Status::Fresh
                && one.scheduled.refresh != Schedule::Static
                && refreshed.as_of < now;
            is_open.then_some((refreshed, freshness))
        });
    let (memberships, depends): (Vec<&Refreshed>, Vec<&mut Freshness>) = depends.unzip();
    if memberships.is_empty() {
        return standings;
    }
    let first = workspace.first_changes(lake, state, &memberships).await;
    for ((membership, freshness), at) in memberships.iter().zip(depends).zip(first) {
        // Where it cannot be told, any moment may have changed it.
        let at = at.unwrap_or(Some(membership.as_of));
        if let Some(at) = at.filter(|at| *at <= now) {
            *freshness = Freshness::passed(at);
        }
    }
    standings
}

impl Workspace {
    /// When the clock may first change each of some memberships, or why that is not known.
    async fn first_changes(
        &self,
        lake: &Lake,
        state: &State,
        memberships: &[&Refreshed],
    ) -> Vec<Result<Option<Timestamp>, ()>> {
        // Whoever asks for the same meanwhile waits for it.
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
            && let Ok(found) = self.look_ahead(lake, state, &new).await
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

    async fn look_ahead(
        &self,
        lake: &Lake,
        state: &State,
        memberships: &[&Refreshed],
    ) -> Result<Vec<Option<Timestamp>>, AppError> {
        let named = Named::all(lake, state).await?;
        let request = FirstChangeRequest {
            lake,
            sessions: &Opening::new(self, lake),
            state,
            all: &named.definitions,
            fixed: &named.fixed,
        };
        Ok(request.first_changes(memberships).await?)
    }
}
