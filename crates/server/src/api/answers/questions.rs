//! Answers about a segment: reach, calendar, explanation, near misses, impact, overlap.

use std::collections::BTreeMap;

use rollbook_app::segments::{self, Channel, ClauseStats};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::scalars::{Key, Over, Time};

/// Number of members that remain after each step towards those who can be contacted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reach {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    #[schema(value_type = Over)]
    channel: Channel,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// Number of members.
    matched: u64,
    /// Of these, those with an address for the channel.
    addressed: u64,
    /// Of these, those who consented.
    consented: u64,
    /// Of these, those who are not suppressed.
    not_suppressed: u64,
    /// Of these, those outside the holdout.
    not_held_out: u64,
    /// Members who can be contacted.
    deliverable: u64,
}

impl From<segments::Reach> for Reach {
    fn from(reach: segments::Reach) -> Self {
        Self {
            segment: reach.segment,
            channel: reach.channel,
            snapshot: reach.snapshot,
            matched: reach.matched,
            addressed: reach.addressed,
            consented: reach.consented,
            not_suppressed: reach.not_suppressed,
            not_held_out: reach.not_held_out,
            deliverable: reach.deliverable,
        }
    }
}

/// How the clock alone will change a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Calendar {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The moment that the calendar starts at.
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// One entry per day; empty for a list.
    days: Vec<Day>,
}

/// Predicted changes of a day, assuming no new data.
#[derive(Serialize, ToSchema)]
pub(crate) struct Day {
    /// The end of the day, which the membership is computed for.
    #[schema(value_type = Time)]
    at: Timestamp,
    /// Number of persons who enter on the day.
    entered: u64,
    /// Number of persons who leave on the day.
    left: u64,
    /// Number of members at the end of the day.
    count: u64,
}

impl From<segments::Calendar> for Calendar {
    fn from(calendar: segments::Calendar) -> Self {
        let days = calendar.days.into_iter().map(|day| Day {
            at: day.at,
            entered: day.entered,
            left: day.left,
            count: day.count,
        });
        Self {
            segment: calendar.segment,
            snapshot: calendar.snapshot,
            as_of: calendar.as_of,
            days: days.collect(),
        }
    }
}

/// An `and` clause with the number of persons that it matches.
#[derive(Serialize, ToSchema)]
pub(crate) struct Clause {
    /// Its number, from 1.
    clause: usize,
    /// The clause in SQL.
    text: String,
    /// Number of persons who meet it.
    alone: u64,
    /// Number of members without this clause.
    without: u64,
    /// Number of persons who meet all other clauses and not this one.
    only_this_fails: u64,
    /// Some of these persons.
    sample: Vec<u64>,
}

impl From<ClauseStats> for Clause {
    fn from(stats: ClauseStats) -> Self {
        Self {
            clause: stats.clause,
            text: stats.text,
            alone: stats.alone,
            without: stats.without,
            only_this_fails: stats.only_this_fails,
            sample: stats.sample,
        }
    }
}

/// Near misses: persons who fail exactly one clause.
#[derive(Serialize, ToSchema)]
pub(crate) struct NearMiss {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// Number of members.
    count: u64,
    /// The `and` clauses.
    clauses: Vec<Clause>,
}

impl From<segments::NearMiss> for NearMiss {
    fn from(found: segments::NearMiss) -> Self {
        Self {
            segment: found.segment,
            snapshot: found.snapshot,
            as_of: found.as_of,
            count: found.count,
            clauses: found.clauses.into_iter().map(Clause::from).collect(),
        }
    }
}

/// Why a person is a member of a segment, or is not.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The revision of the definition.
    revision: u64,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    person_id: u64,
    is_member: bool,
    why: Line,
    /// When they will leave or enter as time passes, assuming no new data.
    #[schema(value_type = Option<Time>)]
    turns_at: Option<Timestamp>,
    /// Whether they will leave or enter, or why that is not known.
    turns: &'static str,
}

/// One clause, evaluated for a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Line {
    /// `all`, `any`, `not`, `clause` for one without parts, `query` or `list`.
    kind: &'static str,
    /// The clause in SQL.
    text: String,
    /// Whether the person meets it; null, which counts as not met, if it is unknown.
    is_met: Option<bool>,
    /// The compared value of this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The threshold that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<String>,
    /// The difference of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<String>,
    /// The newest rows that the clause depends on: text by column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    facts: Vec<BTreeMap<String, Option<String>>>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, no_recursion)]
    parts: Vec<Line>,
}

impl From<segments::Line> for Line {
    fn from(line: segments::Line) -> Self {
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let row = |fact: Value| match fact {
            Value::Object(row) => row
                .into_iter()
                .map(|(column, value)| (column, text(value)))
                .collect(),
            _ => BTreeMap::new(),
        };
        Self {
            kind: line.kind,
            text: line.text,
            is_met: line.is_met,
            value: line.value,
            bound: line.bound,
            distance: line.distance,
            facts: line.facts.into_iter().map(row).collect(),
            parts: line.parts.into_iter().map(Self::from).collect(),
        }
    }
}

impl From<segments::Explanation> for Explanation {
    fn from(explanation: segments::Explanation) -> Self {
        let explained = explanation.explained;
        Self {
            segment: explanation.segment,
            revision: explanation.revision,
            snapshot: explanation.snapshot,
            as_of: explanation.as_of,
            person_id: explained.person_id,
            is_member: explained.is_member,
            why: explained.why.into(),
            turns_at: explained.turns_at,
            turns: explained.turns,
        }
    }
}

/// The effect of other criteria on a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Impact {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// Number of members by the saved criteria.
    before: u64,
    /// Number of members by the new criteria.
    after: u64,
    /// Number of persons who would enter.
    entered: u64,
    /// Number of persons who would leave.
    left: u64,
    /// Some of those who would enter.
    entered_sample: Vec<u64>,
    /// Some of those who would leave.
    left_sample: Vec<u64>,
}

impl From<segments::Impact> for Impact {
    fn from(impact: segments::Impact) -> Self {
        Self {
            segment: impact.segment,
            snapshot: impact.snapshot,
            as_of: impact.as_of,
            before: impact.before,
            after: impact.after,
            entered: impact.entered,
            left: impact.left,
            entered_sample: impact.entered_sample,
            left_sample: impact.left_sample,
        }
    }
}

/// Overlaps of segments.
#[derive(Serialize, ToSchema)]
pub(crate) struct Overlap {
    /// The segments with their sizes.
    #[schema(value_type = Vec<(String, u64)>)]
    segments: Vec<(SegmentKey, u64)>,
    /// Every pair once.
    pairs: Vec<Pair>,
}

/// Overlap of two segments.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pair {
    #[schema(value_type = Key)]
    a: SegmentKey,
    #[schema(value_type = Key)]
    b: SegmentKey,
    /// Members of both.
    both: u64,
    /// Members of the first only.
    only_a: u64,
    /// Members of the second only.
    only_b: u64,
    /// Jaccard index: members of both divided by members of either; 0 if there are none.
    #[schema(minimum = 0, maximum = 1)]
    jaccard: f64,
}

impl From<segments::Overlap> for Overlap {
    fn from(overlap: segments::Overlap) -> Self {
        let pair = |pair: segments::OverlapPair| Pair {
            a: pair.a,
            b: pair.b,
            both: pair.both,
            only_a: pair.only_a,
            only_b: pair.only_b,
            jaccard: pair.jaccard,
        };
        Self {
            segments: overlap.segments,
            pairs: overlap.pairs.into_iter().map(pair).collect(),
        }
    }
}
