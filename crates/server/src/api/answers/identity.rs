//! Answers about identity resolution.

use std::collections::BTreeMap;

use rollbook_app::identity;
use rollbook_model::SnapshotNumber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::typed;
use crate::problem::Problem;

/// Counts of records and persons.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Number of records.
    records: u64,
    persons: u64,
    /// Records that wait for a decision and are linked to nobody meanwhile.
    ambiguous: u64,
    /// Records of persons who may be the same as another person.
    suggested: u64,
    /// Records that were moved to another person after their rows were written.
    moved: u64,
    providers: Vec<ProviderStats>,
}

/// Counts of one provider.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderStats {
    provider: String,
    records: u64,
    persons: u64,
    /// Records that are linked to nobody.
    not_linked: u64,
}

impl TryFrom<identity::IdentityStats> for Stats {
    type Error = Problem;

    fn try_from(stats: identity::IdentityStats) -> Result<Self, Problem> {
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

/// A record that matches several persons, or a record of a person who may be the same as another one.
#[derive(Serialize, ToSchema)]
pub(crate) struct Review {
    identity_id: i64,
    provider: String,
    external_id: String,
    /// The person that it belongs to meanwhile; 0 for nobody.
    person_id: i64,
    candidates: Vec<Candidate>,
    /// Whether the decision was postponed.
    later: bool,
}

/// A person that the record may belong to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Candidate {
    /// The matching rule: email, phone or address.
    rule: &'static str,
    person_id: i64,
}

impl From<Vec<identity::Review>> for Reviews {
    fn from(waiting: Vec<identity::Review>) -> Self {
        let candidate = |one: identity::Candidate| Candidate {
            rule: one.rule,
            person_id: one.person_id,
        };
        let review = |one: identity::Review| Review {
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

/// The effect of a decision, or of a dry run.
#[derive(Serialize, ToSchema)]
pub(crate) struct Followed {
    /// The id of the decision, by which it can be undone.
    entry: String,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    /// Records that were moved to another person.
    moved: Vec<RecordMove>,
}

/// A record that was moved to another person.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordMove {
    identity_id: i64,
    /// The person before; 0 for nobody.
    from: i64,
    /// The person after; 0 for nobody.
    to: i64,
}

impl From<identity::Followed> for Followed {
    fn from(followed: identity::Followed) -> Self {
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

/// Result of erasing a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Forgotten {
    person_id: i64,
    /// Number of their records.
    records: u64,
    /// Deleted rows of personal values, by table.
    values: BTreeMap<&'static str, u64>,
    /// Texts from which their personal values were removed.
    texts: u64,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
}

impl From<identity::Forgotten> for Forgotten {
    fn from(forgotten: identity::Forgotten) -> Self {
        Self {
            person_id: forgotten.person_id,
            records: forgotten.records,
            values: forgotten.values,
            texts: forgotten.texts,
            snapshot: forgotten.snapshot,
        }
    }
}

/// The persons who have a record with the value; several if they share it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    pub(crate) persons: Vec<i64>,
}
