//! Open reviews: records that wait for a decision.

use serde::Serialize;

/// An ambiguous record with its candidates, or the record of a person who may be the same as another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The record.
    pub identity_id: i64,
    /// Its provider.
    pub provider: String,
    /// Its id there.
    pub external_id: String,
    /// Its person until the decision; 0 for none.
    pub person_id: i64,
    /// The candidates, with the rule by which each matches.
    pub candidates: Vec<Candidate>,
    /// Whether the review was postponed.
    pub later: bool,
}

/// A person whom the record may belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The match rule: e-mail, phone or address.
    pub rule: &'static str,
    /// The person.
    pub person_id: i64,
}
