//! Answers to questions about segments: reach, time, reasons, what an edit would do, overlap.

use std::collections::BTreeMap;

use rollbook_app::segments::{self as asked, Channel, ClauseStats};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::scalars::{Key, Over, Time};

/// How many remain after each step, from those who belong to those who can be reached.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reach {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    #[schema(value_type = Over)]
    channel: Channel,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// How many belong.
    matched: u64,
    /// Of these, who has an address.
    addressed: u64,
    /// Of these, who consented.
    consented: u64,
    /// Of these, who is not suppressed.
    not_suppressed: u64,
    /// Of these, who is not held out.
    not_held_out: u64,
    /// Who is left.
    deliverable: u64,
}

impl From<asked::Reach> for Reach {
    fn from(reach: asked::Reach) -> Self {
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

/// What time alone will do to a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Calendar {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// The moment that it begins at.
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// The coming days; none of a list.
    days: Vec<Day>,
}

/// What a day brings where nothing happens.
#[derive(Serialize, ToSchema)]
pub(crate) struct Day {
    /// The end of the day: the moment that it is reckoned for.
    #[schema(value_type = Time)]
    at: Timestamp,
    /// How many will have entered since the day before.
    entered: u64,
    /// How many will have left.
    left: u64,
    /// How many belong then.
    count: u64,
}

impl From<asked::Calendar> for Calendar {
    fn from(calendar: asked::Calendar) -> Self {
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

/// A clause, and how many persons it is about.
#[derive(Serialize, ToSchema)]
pub(crate) struct Clause {
    /// Its number, from 1.
    clause: usize,
    /// The clause in SQL.
    text: String,
    /// How many meet it.
    alone: u64,
    /// How many would belong without it.
    without: u64,
    /// How many meet all others and not this one.
    only_this_fails: u64,
    /// Some of these.
    sample: Vec<u64>,
}

impl From<ClauseStats> for Clause {
    fn from(weight: ClauseStats) -> Self {
        Self {
            clause: weight.clause,
            text: weight.text,
            alone: weight.alone,
            without: weight.without,
            only_this_fails: weight.only_this_fails,
            sample: weight.sample,
        }
    }
}

/// Who fails one clause and no other.
#[derive(Serialize, ToSchema)]
pub(crate) struct NearMiss {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// How many belong.
    count: u64,
    /// The clauses that all have to be met.
    clauses: Vec<Clause>,
}

impl From<asked::NearMiss> for NearMiss {
    fn from(found: asked::NearMiss) -> Self {
        Self {
            segment: found.segment,
            snapshot: found.snapshot,
            as_of: found.as_of,
            count: found.count,
            clauses: found.clauses.into_iter().map(Clause::from).collect(),
        }
    }
}

/// Why a person belongs to a segment, or does not.
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
    /// When they will leave, or enter, if nothing happens but that time passes.
    #[schema(value_type = Option<Time>)]
    turns_at: Option<Timestamp>,
    /// What else is to be said of that.
    turns: &'static str,
}

/// One clause, as it is for a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Line {
    /// `all`, `any`, `not`, `clause` for one without parts, `query` or `list`.
    kind: &'static str,
    /// The clause in SQL.
    text: String,
    /// Whether the person meets it; null where that is not known, which counts as not met.
    is_met: Option<bool>,
    /// What it looks at, for this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What that is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<String>,
    /// How far the one is from the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<String>,
    /// The newest of the rows that it looks at, by column as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    facts: Vec<BTreeMap<String, Option<String>>>,
    /// The clauses that it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, no_recursion)]
    parts: Vec<Line>,
}

impl From<asked::Line> for Line {
    fn from(line: asked::Line) -> Self {
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

impl From<asked::Explanation> for Explanation {
    fn from(explanation: asked::Explanation) -> Self {
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

/// What other criteria would do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Impact {
    #[schema(value_type = Key)]
    segment: SegmentKey,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
    /// How many belong by the criteria as they are.
    before: u64,
    /// How many would belong.
    after: u64,
    /// How many would enter.
    entered: u64,
    /// How many would leave.
    left: u64,
    /// Some who would enter.
    entered_sample: Vec<u64>,
    /// Some who would leave.
    left_sample: Vec<u64>,
}

impl From<asked::Impact> for Impact {
    fn from(impact: asked::Impact) -> Self {
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

/// How segments overlap.
#[derive(Serialize, ToSchema)]
pub(crate) struct Overlap {
    /// The segments, and how many belong to each.
    #[schema(value_type = Vec<(String, u64)>)]
    segments: Vec<(SegmentKey, u64)>,
    /// Every pair once.
    pairs: Vec<Pair>,
}

/// How two segments overlap.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pair {
    #[schema(value_type = Key)]
    a: SegmentKey,
    #[schema(value_type = Key)]
    b: SegmentKey,
    /// How many belong to both.
    both: u64,
    /// How many belong to the first alone.
    only_a: u64,
    /// How many belong to the second alone.
    only_b: u64,
    /// Those of both as a part of those of either; 0 where there are none.
    #[schema(minimum = 0, maximum = 1)]
    jaccard: f64,
}

impl From<asked::Overlap> for Overlap {
    fn from(overlap: asked::Overlap) -> Self {
        let pair = |pair: asked::Pair| Pair {
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
