//! Refreshing segments: computing their members and reporting the outcome of each.

use std::collections::BTreeMap;

use rollbook_lake::{Lake, LakeError};
use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::definition::{self, Scheduled};
use rollbook_segments::{Done, How, RefreshRequest};
use serde_json::{Value, json};

use crate::access::{Right, Rights};
use crate::workspace::SegmentSessions;
use crate::{AppError, Workspace};

/// Attempts if a segment gets another author meanwhile.
const ATTEMPTS: u32 = 10;

/// Result of refreshing one segment.
#[derive(Debug)]
pub struct Outcome {
    /// The segment.
    pub segment: SegmentKey,
    /// The new membership, or why it could not be computed.
    pub result: Result<Done, AppError>,
    /// Expressions that could not be computed for some persons, and were null.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// The result as a JSON object, one field per column, for a caller with these rights: without the right to
    /// personal values, the error is without values.
    pub fn row(&self, rights: Rights) -> Value {
        let done = match &self.result {
            Ok(done) => done,
            Err(error) => {
                let error = error.message(rights.has(Right::Pii));
                return json!({ "segment": self.segment, "status": "failed", "error": error });
            }
        };
        let refreshed = &done.refreshed;
        let mut row = json!({
            "segment": self.segment,
            "status": match refreshed.as_of < refreshed.computed_at {
                // Computed for an earlier moment, so it may be stale by now.
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

/// Refreshes segments; all of them if `keys` is empty. Criteria are evaluated only for persons whom changes
/// may concern, or for all if `is_full`. A segment that fails does not stop the others: see [`Outcome`].
///
/// Each segment is computed with the right of its author to read personal values, whoever starts the refresh.
///
/// # Errors
/// There is no lake; a segment in `keys` does not exist; the lake cannot be written.
pub async fn refresh(
    workspace: &Workspace,
    keys: &[SegmentKey],
    as_of: Timestamp,
    now: Timestamp,
    is_full: bool,
) -> Result<Vec<Outcome>, AppError> {
    workspace.require("segments::refresh::refresh")?;
    let lake = workspace.lake().await?;
    let mut request = RefreshRequest {
        keys: keys.to_vec(),
        as_of,
        now,
        is_full,
        without_personal: false,
    };
    let mut outcomes = refresh_some(workspace, &lake, &request).await?;
    let is_missing =
        |one: Scheduled| one.without_personal && (keys.is_empty() || keys.contains(&one.key));
    let state = lake.head().await?;
    if definition::schedules(&state)?.into_iter().any(is_missing) {
        request.without_personal = true;
        outcomes.extend(refresh_some(workspace, &lake, &request).await?);
        let place = |outcome: &Outcome| keys.iter().position(|key| *key == outcome.segment);
        outcomes.sort_by_cached_key(|one| (place(one), one.segment.clone()));
    }
    Ok(outcomes)
}

/// Refreshes the segments that are computed without personal values, or the others.
async fn refresh_some(
    workspace: &Workspace,
    lake: &Lake,
    request: &RefreshRequest,
) -> Result<Vec<Outcome>, AppError> {
    let rights = match request.without_personal {
        true => Rights::ALL.without(Right::Pii),
        false => Rights::ALL,
    };
    let of_authors = workspace.with_rights(rights);
    let sessions = SegmentSessions::new(&of_authors, lake);
    let evaluated = rollbook_segments::refresh::refresh(lake, &sessions, request).await?;
    let uncomputed = sessions.uncomputed();
    let definitions = match uncomputed.is_empty() {
        true => Vec::new(),
        false => definition::list(lake, &lake.head().await?).await?,
    };
    let outcome = |one: rollbook_segments::Evaluated| {
        let definition = definitions.iter().find(|known| known.key == one.segment);
        let criteria = definition.map(|definition| definition.criteria.as_str());
        Outcome {
            warnings: criteria.map_or_else(Vec::new, |text| warnings_of(text, &uncomputed)),
            segment: one.segment,
            result: one.outcome.map_err(AppError::from),
        }
    };
    Ok(evaluated.into_iter().map(outcome).collect())
}

/// Warnings about the uncomputable parts that occur in these criteria, ignoring white space and case.
fn warnings_of(criteria: &str, uncomputed: &BTreeMap<String, u64>) -> Vec<String> {
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

pub(super) fn not_computed(part: &str, persons: u64) -> String {
    format!("`{part}` cannot be computed for {persons} persons: it is null for them")
}

/// Refreshes one segment.
///
/// # Errors
/// There is no lake; the segment does not exist; its criteria fail; the lake cannot be written.
pub async fn refresh_one(
    workspace: &Workspace,
    key: &SegmentKey,
    as_of: Timestamp,
    now: Timestamp,
    is_full: bool,
) -> Result<Done, AppError> {
    workspace.require("segments::refresh::refresh_one")?;
    for _ in 0..ATTEMPTS {
        let outcomes = refresh(workspace, std::slice::from_ref(key), as_of, now, is_full).await?;
        // None if it got another author meanwhile.
        if let Some(outcome) = outcomes.into_iter().next() {
            return outcome.result;
        }
    }
    let attempts = ATTEMPTS;
    Err(AppError::Lake(LakeError::Busy { attempts }))
}
