//! Segments as a user asks for them.

use rollbook_engine::Session;
use rollbook_lake::{Lake, State};
use rollbook_model::config::PREVIEW_SAMPLE;
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::definition;
use rollbook_segments::refresh::{self, standing};
use rollbook_segments::{Criteria, Evaluation, SegmentError, preview as preview_criteria};
pub use rollbook_segments::{Definition, Draft, Refreshed};
use serde::{Deserialize, Serialize};

use crate::{AppError, Place, page};

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
}

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
}

/// What became of one segment in a refresh.
#[derive(Debug)]
pub struct Outcome {
    /// The segment.
    pub segment: SegmentKey,
    /// Its membership, or why there is none.
    pub result: Result<Refreshed, AppError>,
}

/// Saves a segment after checking that its criteria can be evaluated.
pub async fn put(place: &Place, draft: &Draft, at: Timestamp) -> Result<Definition, AppError> {
    let lake = place.lake_or_new().await?;
    let state = lake.head().await?;
    let session = place.session(&lake, &state, at).await?;
    // Evaluating is the one check that finds what planning does not, such as a value that cannot
    // be computed with, or a circle of segments.
    let named = named(&lake, &state, &session, &Criteria::parse(&draft.criteria)?).await?;
    let mut evaluation = Evaluation::new(&session, &named).with(&draft.key, &draft.criteria);
    let key = std::slice::from_ref(&draft.key);
    evaluation.segments(key).await.pop().transpose()?;
    Ok(definition::put(&lake, draft, at).await?)
}

/// The exact count of criteria, and some of the persons.
pub async fn preview(
    place: &Place,
    criteria: &str,
    as_of: Timestamp,
) -> Result<Previewed, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    let session = place.session(&lake, &state, as_of).await?;
    let criteria = Criteria::parse(criteria)?;
    let named = named(&lake, &state, &session, &criteria).await?;
    let members = Evaluation::new(&session, &named).of(&criteria).await?;
    let found = preview_criteria(&members, PREVIEW_SAMPLE);
    let (count, sample) = (found.count, found.sample);
    Ok(Previewed {
        count,
        snapshot: state.data,
        as_of,
        sample,
    })
}

/// The segments that criteria may need: none are read where they name none.
async fn named(
    lake: &Lake,
    state: &State,
    session: &Session,
    criteria: &Criteria,
) -> Result<Vec<Definition>, AppError> {
    let names_some = match criteria {
        Criteria::Expression(text) => {
            let needs = session.needs(text).map_err(SegmentError::from)?;
            !needs.segments.is_empty()
        }
        Criteria::Select(_) => false,
    };
    Ok(match names_some {
        true => definition::list(lake, state).await?,
        false => Vec::new(),
    })
}

/// All segments, in order of their keys.
pub async fn list(place: &Place) -> Result<Vec<Listed>, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    let definitions = definition::list(&lake, &state).await?;
    definitions
        .into_iter()
        .map(|definition| listed(&state, definition))
        .collect()
}

/// One segment.
pub async fn show(place: &Place, key: &SegmentKey) -> Result<Listed, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    listed(&state, definition::show(&lake, &state, key).await?)
}

/// Saves a segment that is not there yet.
pub async fn create(place: &Place, draft: &Draft, at: Timestamp) -> Result<Definition, AppError> {
    let lake = place.lake_or_new().await?;
    let state = lake.head().await?;
    if definition::list(&lake, &state)
        .await?
        .iter()
        .any(|known| known.key == draft.key)
    {
        return Err(AppError::SegmentExists {
            segment: draft.key.clone(),
        });
    }
    put(place, draft, at).await
}

fn listed(state: &State, definition: Definition) -> Result<Listed, AppError> {
    let refreshed = standing(state, &definition.key)?;
    Ok(Listed {
        count: refreshed.as_ref().map(|refreshed| refreshed.count),
        snapshot: refreshed.as_ref().map(|refreshed| refreshed.snapshot),
        as_of: refreshed.as_ref().map(|refreshed| refreshed.as_of),
        computed_at: refreshed.map(|refreshed| refreshed.computed_at),
        definition,
    })
}

/// Takes a segment away.
pub async fn delete(place: &Place, key: &SegmentKey, at: Timestamp) -> Result<(), AppError> {
    let lake = place.lake().await?;
    Ok(definition::delete(&lake, key, at).await?)
}

/// Evaluates segments, all of them where none is named.
pub async fn refresh(
    place: &Place,
    keys: &[SegmentKey],
    as_of: Timestamp,
    now: Timestamp,
) -> Result<Vec<Outcome>, AppError> {
    let lake = place.lake().await?;
    let state = lake.head().await?;
    let all = definition::list(&lake, &state).await?;
    let definitions = chosen(&lake, &state, &all, keys).await?;
    let session = place.session(&lake, &state, as_of).await?;
    let mut evaluation = Evaluation::new(&session, &all);
    let evaluated = refresh::refresh(&lake, &mut evaluation, &state, &definitions, now).await?;
    let outcome = |one: rollbook_segments::Evaluated| Outcome {
        segment: one.segment,
        result: one.outcome.map_err(AppError::from),
    };
    Ok(evaluated.into_iter().map(outcome).collect())
}

/// Evaluates one segment.
pub async fn refresh_one(
    place: &Place,
    key: &SegmentKey,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<Refreshed, AppError> {
    let outcomes = refresh(place, std::slice::from_ref(key), as_of, now).await?;
    let outcome = outcomes.into_iter().next();
    outcome.expect("one segment has one outcome").result
}

async fn chosen(
    lake: &Lake,
    state: &State,
    all: &[Definition],
    keys: &[SegmentKey],
) -> Result<Vec<Definition>, AppError> {
    if keys.is_empty() {
        return Ok(all.to_vec());
    }
    let mut chosen = Vec::new();
    for key in keys {
        chosen.push(match all.iter().find(|known| known.key == *key) {
            Some(known) => known.clone(),
            None => definition::show(lake, state, key).await?,
        });
    }
    Ok(chosen)
}

/// Who belongs, by id in order, and what that rests on.
pub async fn members(
    place: &Place,
    key: &SegmentKey,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Refreshed, Vec<u64>), AppError> {
    let lake = place.lake().await?;
    let (refreshed, persons) = refresh::members(&lake, key, snapshot).await?;
    Ok((refreshed, persons.iter().collect()))
}

/// A part of a segment's members, in order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What all pages of one pull rest on.
    pub refreshed: Refreshed,
    /// The members of this page.
    pub members: Vec<u64>,
    /// What asks for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// What a page token carries: the membership itself, so that nothing can change it in between.
#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    of: Refreshed,
    after: u64,
}

/// The first page, or the one that `token` asks for: of the same membership, whatever was
/// ingested, refreshed or deleted since.
pub async fn members_page(
    place: &Place,
    key: &SegmentKey,
    token: Option<&str>,
    limit: usize,
) -> Result<Page, AppError> {
    let lake = place.lake().await?;
    let (refreshed, persons, from) = match token {
        None => {
            let (refreshed, persons) = refresh::members(&lake, key, None).await?;
            (refreshed, persons, 0)
        }
        Some(token) => {
            let pinned: Pinned = page::open(&lake, token).await?;
            if pinned.of.segment != *key {
                return Err(AppError::ForgedPageToken);
            }
            let persons = refresh::persons(&lake, &pinned.of).await?;
            (pinned.of, persons, pinned.after + 1)
        }
    };
    let mut ids = persons.iter();
    ids.advance_to(from);
    let mut members: Vec<u64> = ids.take(limit + 1).collect();
    let is_last = members.len() <= limit;
    members.truncate(limit);
    let next = match members.last() {
        Some(&after) if !is_last => {
            let of = refreshed.clone();
            Some(page::seal(&lake, &Pinned { of, after }).await?)
        }
        _ => None,
    };
    Ok(Page {
        refreshed,
        members,
        next,
    })
}
