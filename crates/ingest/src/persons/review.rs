//! Records that wait for somebody to decide.

use serde::Serialize;

/// A record that several persons could have, or one of a person who may be another one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The record.
    pub identity_id: i64,
    /// Its provider.
    pub provider: String,
    /// Its id there.
    pub external_id: String,
    /// Whose it is meanwhile; 0 for nobody.
    pub person_id: i64,
    /// By which rule it points to whom.
    pub candidates: Vec<Candidate>,
    /// Whether somebody put it off.
    pub later: bool,
}

/// Somebody who could be meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// By e-mail, phone or address.
    pub rule: &'static str,
    /// The person.
    pub person_id: i64,
}
