//! Questions about criteria: before they are saved, and about one person.

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::config::PREVIEW_SAMPLE;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::clause_stats::{self, ClauseStats, FittedThreshold, clause_stats};
use rollbook_segments::explain::{ExplainRequest, Explained};
use rollbook_segments::forecast::calendar::{CalendarRequest, Day};
use rollbook_segments::{
    Criteria, Definition, SegmentError, definition, preview as preview_criteria,
};
use serde::Serialize;

use super::{Named, not_computed};
use crate::workspace::Opening;
use crate::{AppError, Workspace};

/// An exact count before anything is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previewed {
    /// How many persons belong.
    pub count: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// Some of them, by id.
    pub sample: Vec<u64>,
    /// What each of the clauses costs that all have to be met; none of a query.
    pub clauses: Vec<ClauseStats>,
    /// What is probably a mistake.
    pub warnings: Vec<String>,
}

/// The moment that questions about criteria look from where they name none.
pub async fn moment(workspace: &Workspace, now: Timestamp) -> Result<Timestamp, AppError> {
    let state = workspace.lake().await?.head().await?;
    Ok(workspace.moment(&state, now))
}

/// The exact count of criteria, and some of the persons.
pub async fn preview(
    workspace: &Workspace,
    criteria: &str,
    as_of: Timestamp,
) -> Result<Previewed, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.warm_session(&lake, &state, as_of).await?;
    let criteria = Criteria::parse(criteria)?;
    let known = Named::of(&lake, &state, &session, &criteria).await?;
    let mut evaluation = known.evaluation(&session);
    let (members, clauses, mut warnings) = match &criteria {
        Criteria::Select(_) => (evaluation.of(&criteria).await?, Vec::new(), Vec::new()),
        Criteria::Expression(text) => {
            let stats = clause_stats(&session, &mut evaluation, text, 0).await;
            match stats {
                Ok(stats) => (stats.members, stats.clauses, stats.warnings),
                // Told with its place in the whole text.
                Err(_) => (evaluation.of(&criteria).await?, Vec::new(), Vec::new()),
            }
        }
    };
    let uncomputed = session.uncomputed().take().into_iter();
    warnings.extend(uncomputed.map(|(part, persons)| not_computed(&part, persons)));
    let found = preview_criteria(&members, PREVIEW_SAMPLE);
    Ok(Previewed {
        count: found.count,
        snapshot: state.data,
        as_of,
        sample: found.sample,
        clauses,
        warnings,
    })
}

/// Who meets criteria.
pub async fn matches(
    workspace: &Workspace,
    criteria: &str,
    as_of: Timestamp,
) -> Result<RoaringTreemap, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.warm_session(&lake, &state, as_of).await?;
    let criteria = Criteria::parse(criteria)?;
    let known = Named::of(&lake, &state, &session, &criteria).await?;
    Ok(known.evaluation(&session).of(&criteria).await?)
}

/// A segment, and all that it may name.
struct Asked {
    lake: Lake,
    state: State,
    definition: Definition,
    named: Named,
}

impl Asked {
    async fn about(workspace: &Workspace, key: &SegmentKey) -> Result<Self, AppError> {
        let lake = workspace.lake().await?;
        let state = lake.head().await?;
        let definition = definition::show(&lake, &state, key).await?;
        let named = Named::all(&lake, &state).await?;
        Ok(Self {
            lake,
            state,
            definition,
            named,
        })
    }

    fn criteria(&self) -> Result<Criteria, SegmentError> {
        Criteria::parse(&self.definition.criteria)
    }

    /// The condition of a segment that has one.
    fn condition(&self) -> Result<String, AppError> {
        match self.criteria()? {
            Criteria::Expression(text) => Ok(text),
            Criteria::Select(_) => Err(AppError::NotACondition {
                segment: self.definition.key.clone(),
            }),
        }
    }
}

/// Why a person belongs to a segment, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The segment.
    pub segment: SegmentKey,
    /// The revision of its definition.
    pub revision: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it is explained for.
    pub as_of: Timestamp,
    /// Why.
    #[serde(flatten)]
    pub explained: Explained,
}

/// Explains one person's membership.
pub async fn explain(
    workspace: &Workspace,
    key: &SegmentKey,
    person: u64,
    as_of: Timestamp,
) -> Result<Explanation, AppError> {
    let asked = Asked::about(workspace, key).await?;
    let opening = Opening::new(workspace, &asked.lake);
    let request = ExplainRequest {
        state: &asked.state,
        as_of,
        definitions: &asked.named.definitions,
        fixed: &asked.named.fixed,
        person,
    };
    let of_list = |is_member| Explained::of_list(person, is_member);
    let explained = match asked.named.fixed.get(key) {
        Some(members) => of_list(members.contains(person)),
        None => rollbook_segments::explain::explain(&opening, &asked.criteria()?, &request).await?,
    };
    Ok(Explanation {
        segment: key.clone(),
        revision: asked.definition.revision,
        snapshot: asked.state.data,
        as_of,
        explained,
    })
}

/// What an edit would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// How many belong by the criteria as they are.
    pub before: u64,
    /// How many would belong.
    pub after: u64,
    /// How many would enter.
    pub entered: u64,
    /// How many would leave.
    pub left: u64,
    /// Some who would enter.
    pub entered_sample: Vec<u64>,
    /// Some who would leave.
    pub left_sample: Vec<u64>,
}

/// Who would enter and leave if a segment had other criteria; nothing is saved.
pub async fn impact(
    workspace: &Workspace,
    key: &SegmentKey,
    criteria: &str,
    as_of: Timestamp,
) -> Result<Impact, AppError> {
    let asked = Asked::about(workspace, key).await?;
    let session = workspace
        .warm_session(&asked.lake, &asked.state, as_of)
        .await?;
    let mut evaluation = asked.named.evaluation(&session);
    let before = match asked.named.fixed.get(key) {
        Some(members) => members.as_ref().clone(),
        None => evaluation.of(&asked.criteria()?).await?,
    };
    let evaluation = asked.named.evaluation(&session);
    let mut evaluation = evaluation.with(key, criteria);
    let keys = std::slice::from_ref(key);
    let after = evaluation.segments(keys).await.pop().transpose()?;
    let after = after.unwrap_or_default();
    let (entered, left) = (after.as_ref() - &before, &before - after.as_ref());
    let sample = |persons: &RoaringTreemap| preview_criteria(persons, PREVIEW_SAMPLE).sample;
    Ok(Impact {
        segment: key.clone(),
        snapshot: asked.state.data,
        as_of,
        before: before.len(),
        after: after.len(),
        entered: entered.len(),
        left: left.len(),
        entered_sample: sample(&entered),
        left_sample: sample(&left),
    })
}

/// Who fails one clause and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// How many belong.
    pub count: u64,
    /// The clauses that all have to be met.
    pub clauses: Vec<ClauseStats>,
}

/// Who fails exactly one clause of a segment.
pub async fn near_miss(
    workspace: &Workspace,
    key: &SegmentKey,
    as_of: Timestamp,
) -> Result<NearMiss, AppError> {
    let asked = Asked::about(workspace, key).await?;
    let condition = asked.condition()?;
    let session = workspace
        .warm_session(&asked.lake, &asked.state, as_of)
        .await?;
    let mut evaluation = asked.named.evaluation(&session);
    let stats = clause_stats(&session, &mut evaluation, &condition, PREVIEW_SAMPLE).await?;
    Ok(NearMiss {
        segment: key.clone(),
        snapshot: asked.state.data,
        as_of,
        count: stats.members.len(),
        clauses: stats.clauses,
    })
}

/// The bound of a clause that gives about `size` members.
pub async fn fit(
    workspace: &Workspace,
    key: &SegmentKey,
    clause: usize,
    size: u64,
    as_of: Timestamp,
) -> Result<FittedThreshold, AppError> {
    let asked = Asked::about(workspace, key).await?;
    let condition = asked.condition()?;
    let session = workspace
        .warm_session(&asked.lake, &asked.state, as_of)
        .await?;
    let mut evaluation = asked.named.evaluation(&session);
    let fitted = clause_stats::fit(&session, &mut evaluation, &condition, clause, size);
    Ok(fitted.await?)
}

/// What time alone will do to a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calendar {
    /// The segment.
    pub segment: SegmentKey,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that it begins at.
    pub as_of: Timestamp,
    /// The coming days.
    pub days: Vec<Day>,
}

/// The entries and exits of the coming days if nothing happens.
pub async fn calendar(
    workspace: &Workspace,
    key: &SegmentKey,
    days: u32,
    as_of: Timestamp,
) -> Result<Calendar, AppError> {
    let asked = Asked::about(workspace, key).await?;
    let opening = Opening::new(workspace, &asked.lake);
    let days = match asked.named.fixed.contains_key(key) {
        true => Vec::new(),
        false => {
            let calendar = CalendarRequest {
                lake: &asked.lake,
                sessions: &opening,
                state: &asked.state,
                definition: &asked.definition,
                all: &asked.named.definitions,
                fixed: &asked.named.fixed,
            };
            calendar.days(as_of, days).await?
        }
    };
    Ok(Calendar {
        segment: key.clone(),
        snapshot: asked.state.data,
        as_of,
        days,
    })
}
