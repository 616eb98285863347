//! Segments as a user asks for them.

mod asking;
mod changes;
pub mod code;
mod due;
mod fields;
mod freshness;
mod lists;
mod overlap;
mod pulls;
mod reach;
mod tame;

pub use asking::{
    Calendar, Explanation, Impact, NearMiss, Previewed, calendar, explain, fit, impact, matches,
    moment, near_miss, preview,
};
pub(crate) use changes::of_person;
pub use changes::{ChangeRow, Changes, PersonChange, Since, changes, history};
pub use due::{Health, due, give_up, health, refresh_due};
pub use fields::{Hashing, fields};
use freshness::{Kept, standings};
pub use lists::{Listing, put_list};
pub use overlap::{Combined, Overlap, Pair, overlap};
pub use pulls::{Counted, Page, Pull, count, members, members_page, members_pulled};
pub use reach::{Reach, reach};
pub use tame::{are_built_in, are_tame, is_saved_tame, tameness};

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_engine::Session;
use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
pub use rollbook_segments::clause_stats::ClauseStats;
pub use rollbook_segments::definition::RESERVED_KEYS;
pub use rollbook_segments::explain::Line;
pub use rollbook_segments::forecast::calendar::Day;
pub use rollbook_segments::ledger::{Change, Direction, Reason};
use rollbook_segments::membership::persons_now;
use rollbook_segments::refresh::fixed;
pub use rollbook_segments::{
    Channel, Definition, Done, Draft, Freshness, How, Percent, Refreshed, Schedule, Status,
};
use rollbook_segments::{Criteria, Evaluation, RefreshRequest, SegmentError, definition};
use serde::Serialize;
use serde_json::{Value, json};

use crate::workspace::Opening;
use crate::{AppError, Workspace};

/// A segment in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The definition.
    #[serde(flatten)]
    pub definition: Definition,
    /// How many belong, where it was refreshed.
    pub count: Option<u64>,
    /// The snapshot of the data of that refresh.
    pub snapshot: Option<SnapshotNumber>,
    /// The moment that the refresh was computed for.
    pub as_of: Option<Timestamp>,
    /// When it was refreshed.
    pub computed_at: Option<Timestamp>,
    /// Whether it is up to date, and why not.
    #[serde(flatten)]
    pub freshness: Freshness,
}

/// What became of one segment in a refresh.
#[derive(Debug)]
pub struct Outcome {
    /// The segment.
    pub segment: SegmentKey,
    /// Its membership, or why there is none.
    pub result: Result<Done, AppError>,
    /// What could not be computed for some persons, and was null.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// As it is shown, a field a column.
    pub fn row(&self) -> Value {
        let done = match &self.result {
            Ok(done) => done,
            Err(error) => {
                let error = error.to_string();
                return json!({ "segment": self.segment, "status": "failed", "error": error });
            }
        };
        let refreshed = &done.refreshed;
        let mut row = json!({
            "segment": self.segment,
            "status": match refreshed.as_of < refreshed.computed_at {
                // For an earlier moment: what time did since is told where somebody asks.
                true => "computed",
                false => "fresh",
            },
            "count": refreshed.count,
            "entered": done.entered,
            "left": done.left,
            "evaluated": match done.how {
                How::Full => json!("all"),
                How::Patched(persons) => json!(persons),
                How::Unchanged => json!("none"),
            },
            "snapshot": refreshed.snapshot,
            "revision": refreshed.revision,
            "as_of": refreshed.as_of,
            "computed_at": refreshed.computed_at,
        });
        if !self.warnings.is_empty() {
            row["warnings"] = json!(self.warnings);
        }
        row
    }
}

/// Saves a segment after checking that its criteria can be evaluated. One that is a list is
/// computed at once, and never again.
pub async fn put(
    workspace: &Workspace,
    draft: &Draft,
    at: Timestamp,
) -> Result<Definition, AppError> {
    let lake = workspace.lake_or_new().await?;
    check(workspace, &lake, draft, at).await?;
    let saved = definition::put(&lake, draft, at).await?;
    computed_if_list(workspace, saved, at).await
}

/// Evaluating is the one check that finds what planning does not, such as a value that cannot be
/// computed with, or a circle of segments.
async fn check(
    workspace: &Workspace,
    lake: &Lake,
    draft: &Draft,
    at: Timestamp,
) -> Result<(), AppError> {
    let state = lake.head().await?;
    let session = workspace.warm_session(lake, &state, at).await?;
    let known = Named::of(lake, &state, &session, &Criteria::parse(&draft.criteria)?).await?;
    let evaluation = known.evaluation(&session);
    let mut evaluation = evaluation.with(&draft.key, &draft.criteria);
    let key = std::slice::from_ref(&draft.key);
    evaluation.segments(key).await.pop().transpose()?;
    Ok(())
}

async fn computed_if_list(
    workspace: &Workspace,
    saved: Definition,
    at: Timestamp,
) -> Result<Definition, AppError> {
    if saved.is_static() {
        refresh_one(workspace, &saved.key, at, at, false).await?;
    }
    Ok(saved)
}

/// The segments that criteria may need: none are read where they name none.
pub(crate) struct Named {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) fixed: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
}

impl Named {
    pub(crate) async fn of(
        lake: &Lake,
        state: &State,
        session: &Session,
        criteria: &Criteria,
    ) -> Result<Self, AppError> {
        let names_some = match criteria {
            Criteria::Expression(text) => {
                let needs = session.needs(text).map_err(SegmentError::from)?;
                !needs.segments.is_empty()
            }
            Criteria::Select(_) => false,
        };
        let definitions = match names_some {
            true => definition::list(lake, state).await?,
            false => Vec::new(),
        };
        let fixed = fixed(lake, state, &definitions).await?;
        Ok(Self { definitions, fixed })
    }

    /// All segments.
    pub(crate) async fn all(lake: &Lake, state: &State) -> Result<Self, AppError> {
        let definitions = definition::list(lake, state).await?;
        let fixed = fixed(lake, state, &definitions).await?;
        Ok(Self { definitions, fixed })
    }

    pub(crate) fn evaluation<'a>(&self, session: &'a Session) -> Evaluation<'a> {
        Evaluation::new(session, &self.definitions).with_fixed(&self.fixed)
    }
}

/// All segments as they stand at `now`, in order of their keys.
pub async fn list(workspace: &Workspace, now: Timestamp) -> Result<Vec<Listed>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definitions = definition::list(&lake, &state).await?;
    listed(workspace, &lake, &state, definitions, now).await
}

/// One segment as it stands at `now`.
pub async fn show(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<Listed, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definition = definition::show(&lake, &state, key).await?;
    let listed = listed(workspace, &lake, &state, vec![definition], now).await?;
    let one = listed.into_iter().next();
    Ok(one.expect("one definition is listed once"))
}

/// How one segment stands at `now`.
pub async fn freshness_at(
    workspace: &Workspace,
    key: &SegmentKey,
    now: Timestamp,
) -> Result<Freshness, AppError> {
    Ok(show(workspace, key, now).await?.freshness)
}

/// A revision that was just saved, as it stands at `now`, whatever others saved since.
pub async fn saved(
    workspace: &Workspace,
    definition: Definition,
    now: Timestamp,
) -> Result<Listed, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let listed = listed(workspace, &lake, &state, vec![definition], now).await?;
    let one = listed.into_iter().next();
    Ok(one.expect("one definition is listed once"))
}

/// Saves a segment that is not there yet.
pub async fn create(
    workspace: &Workspace,
    draft: &Draft,
    at: Timestamp,
) -> Result<Definition, AppError> {
    let exists = || AppError::SegmentExists {
        segment: draft.key.clone(),
    };
    let lake = workspace.lake_or_new().await?;
    let mut known = definition::schedules(&lake.head().await?)?.into_iter();
    if known.any(|known| known.key == draft.key) {
        return Err(exists());
    }
    check(workspace, &lake, draft, at).await?;
    let created = definition::create(&lake, draft, at).await?;
    computed_if_list(workspace, created.ok_or_else(exists)?, at).await
}

async fn listed(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    definitions: Vec<Definition>,
    now: Timestamp,
) -> Result<Vec<Listed>, AppError> {
    let mut kept = Vec::new();
    for definition in &definitions {
        let mut one = Kept::of(state, definition.scheduled())?;
        if let Some(known) = one
            .refreshed
            .as_mut()
            .filter(|one| !one.has_same_ids(state))
        {
            known.count = persons_now(lake, state, known).await?.len();
        }
        kept.push(one);
    }
    let standings = standings(workspace, lake, state, &kept, now).await;
    let all = definitions.into_iter().zip(kept).zip(standings);
    let listed = |((definition, kept), freshness): ((Definition, Kept), Freshness)| {
        let refreshed = kept.refreshed.as_ref();
        Listed {
            freshness,
            count: refreshed.map(|refreshed| refreshed.count),
            snapshot: refreshed.map(|refreshed| refreshed.snapshot),
            as_of: refreshed.map(|refreshed| refreshed.as_of),
            computed_at: refreshed.map(|refreshed| refreshed.computed_at),
            definition,
        }
    };
    Ok(all.map(listed).collect())
}

/// Takes a segment away.
pub async fn delete(
    workspace: &Workspace,
    key: &SegmentKey,
    at: Timestamp,
) -> Result<(), AppError> {
    let lake = workspace.lake().await?;
    Ok(rollbook_segments::delete(&lake, key, at).await?)
}

/// Computes segments, all of them where none is named: for whom anything changed, or for all.
pub async fn refresh(
    workspace: &Workspace,
    keys: &[SegmentKey],
    as_of: Timestamp,
    now: Timestamp,
    is_full: bool,
) -> Result<Vec<Outcome>, AppError> {
    let lake = workspace.lake().await?;
    let opening = Opening::new(workspace, &lake);
    let wanted = RefreshRequest {
        keys: keys.to_vec(),
        as_of,
        now,
        is_full,
    };
    let evaluated = rollbook_segments::refresh::refresh(&lake, &opening, &wanted).await?;
    let uncomputed = opening.uncomputed();
    let definitions = match uncomputed.is_empty() {
        true => Vec::new(),
        false => definition::list(&lake, &lake.head().await?).await?,
    };
    let outcome = |one: rollbook_segments::Evaluated| {
        let definition = definitions.iter().find(|known| known.key == one.segment);
        let criteria = definition.map(|definition| definition.criteria.as_str());
        Outcome {
            warnings: criteria.map_or_else(Vec::new, |text| of_criteria(text, &uncomputed)),
            segment: one.segment,
            result: one.outcome.map_err(AppError::from),
        }
    };
    Ok(evaluated.into_iter().map(outcome).collect())
}

/// What could not be computed of criteria, whatever blanks and letters they are written with.
fn of_criteria(criteria: &str, uncomputed: &BTreeMap<String, u64>) -> Vec<String> {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(|c| !c.is_whitespace());
        letters.flat_map(char::to_lowercase).collect()
    };
    let criteria = plain(criteria);
    let found = uncomputed
        .iter()
        .filter(|(part, _)| criteria.contains(&plain(part)));
    found
        .map(|(part, persons)| not_computed(part, *persons))
        .collect()
}

fn not_computed(part: &str, persons: u64) -> String {
    format!("`{part}` cannot be computed for {persons} persons, for whom it is null")
}

/// Computes one segment.
pub async fn refresh_one(
    workspace: &Workspace,
    key: &SegmentKey,
    as_of: Timestamp,
    now: Timestamp,
    is_full: bool,
) -> Result<Done, AppError> {
    let outcomes = refresh(workspace, std::slice::from_ref(key), as_of, now, is_full).await?;
    let outcome = outcomes.into_iter().next();
    outcome.expect("one segment has one outcome").result
}
