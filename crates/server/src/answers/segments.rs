//! Answers about memberships: counts, changes, and what became of them in a refresh.

use std::collections::BTreeMap;

use rollbook_app::segments::{self as asked, Direction, Reason, Status};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::scalars::{Came, Freshness, Key, Time, Why};

/// How many belong, and what that rests on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counted {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    count: u64,
    /// The SHA-256 of the ids in order, each as eight bytes with the lowest first, in hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    checksum: String,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
    /// When each provider's newest rows in that snapshot were taken in.
    #[schema(value_type = BTreeMap<String, Time>)]
    watermarks: BTreeMap<String, Timestamp>,
    #[schema(value_type = Freshness)]
    status: Status,
    /// Why it is not fresh.
    reason: Option<String>,
    /// Since when, where that is known.
    #[schema(value_type = Option<Time>)]
    since: Option<Timestamp>,
}

impl From<asked::Counted> for Counted {
    fn from(counted: asked::Counted) -> Self {
        Self {
            segment: counted.segment,
            count: counted.count,
            checksum: counted.checksum,
            snapshot: counted.snapshot,
            revision: counted.revision,
            as_of: counted.as_of,
            computed_at: counted.computed_at,
            watermarks: counted.watermarks,
            status: counted.freshness.status,
            reason: counted.freshness.reason,
            since: counted.freshness.since,
        }
    }
}

/// The changes of a segment, in the order in which they were committed, and what they come to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Changes {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// Who belongs now and did not then.
    entered: Vec<u64>,
    /// Who no longer belongs and did then.
    left: Vec<u64>,
    changes: Vec<Change>,
    /// What to give as `since` the next time: the snapshot that the last of all changes was committed
    /// as, 0 where there is none.
    #[schema(value_type = u64)]
    until: SnapshotNumber,
}

/// Those who came, or who went, with one refresh.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    /// When it was computed.
    #[schema(value_type = Time)]
    at: Timestamp,
    /// The moment that it was computed for.
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The snapshot that it was committed as.
    #[schema(value_type = u64)]
    commit: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
    #[schema(value_type = Came)]
    change: Direction,
    #[schema(value_type = Why)]
    reason: Reason,
    /// How many belong from then on.
    size: u64,
    /// Who, by id in order.
    persons: Vec<u64>,
}

impl From<asked::Changes> for Changes {
    fn from(changes: asked::Changes) -> Self {
        let change = |row: asked::ChangeRow| Change {
            at: row.at,
            as_of: row.as_of,
            snapshot: row.snapshot,
            commit: row.commit,
            revision: row.revision,
            change: row.change,
            reason: row.reason,
            size: row.size,
            persons: row.persons,
        };
        Self {
            segment: changes.segment,
            entered: changes.entered,
            left: changes.left,
            changes: changes.changes.into_iter().map(change).collect(),
            until: changes.until,
        }
    }
}

/// What one refresh changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryEntry {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The revision of the definition.
    revision: u64,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The snapshot that it was committed as.
    #[schema(value_type = u64)]
    commit: SnapshotNumber,
    /// The moment that it was computed for.
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// When it was computed.
    #[schema(value_type = Time)]
    at: Timestamp,
    /// How many belong from then on.
    count: u64,
    moves: Vec<Move>,
}

/// How many came, or went, for one reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct Move {
    #[schema(value_type = Came)]
    direction: Direction,
    #[schema(value_type = Why)]
    reason: Reason,
    count: u64,
}

impl From<asked::Change> for HistoryEntry {
    fn from(change: asked::Change) -> Self {
        let moves = change.moves.iter().map(|one| Move {
            direction: one.direction,
            reason: one.reason,
            count: one.count,
        });
        Self {
            moves: moves.collect(),
            segment: change.segment,
            revision: change.revision,
            snapshot: change.snapshot,
            commit: change.commit,
            as_of: change.as_of,
            at: change.at,
            count: change.count,
        }
    }
}

/// An entry or an exit of one person.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentChange {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// When it was computed.
    #[schema(value_type = Time)]
    at: Timestamp,
    /// The moment that it was computed for.
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Came)]
    change: Direction,
    #[schema(value_type = Why)]
    reason: Reason,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
}

impl From<asked::PersonChange> for SegmentChange {
    fn from(change: asked::PersonChange) -> Self {
        Self {
            segment: change.segment,
            at: change.at,
            as_of: change.as_of,
            change: change.change,
            reason: change.reason,
            snapshot: change.snapshot,
            revision: change.revision,
        }
    }
}

/// What became of a segment in a refresh: `error` where it failed, all others where it did not.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    status: Became,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// How many belong who did not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entered: Option<u64>,
    /// How many no longer belong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evaluated: Option<Evaluated>,
    /// The snapshot of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    snapshot: Option<SnapshotNumber>,
    /// The revision of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    as_of: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    computed_at: Option<Timestamp>,
    /// What could not be computed for some persons, and was null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// `computed` is for an earlier moment than now.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Became {
    Fresh,
    Computed,
    Failed,
}

/// For whom criteria were evaluated: for so many persons, for `all` or for `none`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Evaluated {
    Persons(u64),
    Word(Whom),
}

/// For whom, in a word.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Whom {
    All,
    None,
}
