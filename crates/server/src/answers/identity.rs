//! Answers about who is whom.

use std::collections::BTreeMap;

use rollbook_app::identity as asked;
use rollbook_model::SnapshotNumber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::typed;
use crate::problem::Problem;

/// How many records are how many persons.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Records of persons.
    records: u64,
    persons: u64,
    /// Records that wait for a decision, with whatever hangs on them.
    ambiguous: u64,
    /// Pairs and more of persons who may be one.
    suggested: u64,
    /// Records whose rows lie with another person than theirs.
    moved: u64,
    providers: Vec<ProviderStats>,
}

/// The same of one provider.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderStats {
    provider: String,
    records: u64,
    persons: u64,
    /// Records of nobody.
    not_linked: u64,
}

impl TryFrom<asked::Stats> for Stats {
    type Error = Problem;

    fn try_from(stats: asked::Stats) -> Result<Self, Problem> {
        Ok(Self {
            records: stats.records,
            persons: stats.persons,
            ambiguous: stats.ambiguous,
            suggested: stats.suggested,
            moved: stats.moved,
            providers: typed(Value::Array(stats.providers))?,
        })
    }
}

/// The records that wait for a decision.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reviews {
    reviews: Vec<Review>,
}

/// A record that several persons could have, or one of a person who may be another one too.
#[derive(Serialize, ToSchema)]
pub(crate) struct Review {
    identity_id: i64,
    provider: String,
    external_id: String,
    /// Whose it is meanwhile; 0 for nobody.
    person_id: i64,
    candidates: Vec<Candidate>,
    /// Whether somebody put it off.
    later: bool,
}

/// Somebody who could be meant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Candidate {
    /// email, phone or address.
    rule: &'static str,
    person_id: i64,
}

impl From<Vec<asked::Review>> for Reviews {
    fn from(waiting: Vec<asked::Review>) -> Self {
        let candidate = |one: asked::Candidate| Candidate {
            rule: one.rule,
            person_id: one.person_id,
        };
        let review = |one: asked::Review| Review {
            identity_id: one.identity_id,
            provider: one.provider,
            external_id: one.external_id,
            person_id: one.person_id,
            candidates: one.candidates.into_iter().map(candidate).collect(),
            later: one.later,
        };
        Self {
            reviews: waiting.into_iter().map(review).collect(),
        }
    }
}

/// What followed from a decision, or would.
#[derive(Serialize, ToSchema)]
pub(crate) struct Followed {
    /// Its entry, by which it is taken back.
    entry: String,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// Records that have another person.
    moved: Vec<RecordMove>,
}

/// A record that has another person now.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordMove {
    identity_id: i64,
    /// Whose it was; 0 for nobody.
    from: i64,
    /// Whose it is; 0 for nobody.
    to: i64,
}

impl From<asked::Followed> for Followed {
    fn from(followed: asked::Followed) -> Self {
        let moved = followed.moved.into_iter().map(|one| RecordMove {
            identity_id: one.identity_id,
            from: one.from,
            to: one.to,
        });
        Self {
            entry: followed.entry,
            snapshot: followed.snapshot,
            moved: moved.collect(),
        }
    }
}

/// What went with a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Forgotten {
    person_id: i64,
    /// Records that were theirs.
    records: u64,
    /// Rows of personal values that are gone, by table.
    values: BTreeMap<&'static str, u64>,
    /// Texts that named them and do so no longer.
    texts: u64,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
}

impl From<asked::Forgotten> for Forgotten {
    fn from(forgotten: asked::Forgotten) -> Self {
        Self {
            person_id: forgotten.person_id,
            records: forgotten.records,
            values: forgotten.values,
            texts: forgotten.texts,
            snapshot: forgotten.snapshot,
        }
    }
}

/// The persons who have a record with a value; several where it is shared.
#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    pub(crate) persons: Vec<i64>,
}
