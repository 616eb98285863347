//! Answers about memberships: counts, changes, results of refreshes.

use std::collections::BTreeMap;

use rollbook_app::segments::{self, Direction, Reason, Status};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::scalars::{Came, Freshness, Key, Time, Why};

/// Number of members, and the membership that was counted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counted {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    count: u64,
    /// Hexadecimal SHA-256 of the ids in order, each as 8 bytes little-endian; null without the right to members, since
    /// it tells the ids of a few.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    checksum: Option<String>,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The revision of the definition.
    revision: u64,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    #[schema(value_type = Time)]
    computed_at: Timestamp,
    /// Time of the last ingest of each provider up to that snapshot.
    #[schema(value_type = BTreeMap<String, Time>)]
    watermarks: BTreeMap<String, Timestamp>,
    #[schema(value_type = Freshness)]
    status: Status,
    /// Why it is not fresh.
    reason: Option<String>,
    /// Since when, if known.
    #[schema(value_type = Option<Time>)]
    since: Option<Timestamp>,
}

impl Counted {
    /// The count for a caller who may read ids of members, or not.
    pub(crate) fn of(counted: segments::MemberCount, with_members: bool) -> Self {
        Self {
            segment: counted.segment,
            count: counted.count,
            checksum: with_members.then_some(counted.checksum),
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

/// The changes of a segment in commit order, and their net effect.
#[derive(Serialize, ToSchema)]
pub(crate) struct Changes {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// Members now who were none at `since`.
    entered: Vec<u64>,
    /// Members at `since` who are none now.
    left: Vec<u64>,
    changes: Vec<Change>,
    /// The value of `since` for the next request: the snapshot of the last change, 0 if there is none.
    #[schema(value_type = u64)]
    until: SnapshotNumber,
}

/// Entries or exits of one refresh.
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
    /// Number of members after it.
    size: u64,
    /// Person ids in order.
    persons: Vec<u64>,
}

impl From<segments::Changes> for Changes {
    fn from(changes: segments::Changes) -> Self {
        let change = |row: segments::ChangeRow| Change {
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

/// The size of a segment after a refresh, and what changed.
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
    /// Number of members after it.
    count: u64,
    moves: Vec<Move>,
}

/// Number of entries or exits for one reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct Move {
    #[schema(value_type = Came)]
    direction: Direction,
    #[schema(value_type = Why)]
    reason: Reason,
    count: u64,
}

impl From<segments::Change> for HistoryEntry {
    fn from(change: segments::Change) -> Self {
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

impl From<segments::PersonChange> for SegmentChange {
    fn from(change: segments::PersonChange) -> Self {
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

/// Result of refreshing a segment: with `error` if it failed, else with the other fields.
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
    /// Number of persons who entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entered: Option<u64>,
    /// Number of persons who left.
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
    /// Expressions that could not be computed for some persons, and were null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// Outcome of a refresh; `computed` if it was for an earlier moment than now.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Became {
    Fresh,
    Computed,
    Failed,
}

/// For which persons criteria were evaluated: their number, or `all` or `none`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Evaluated {
    Persons(u64),
    Word(Whom),
}

/// All persons, or none.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Whom {
    All,
    None,
}
