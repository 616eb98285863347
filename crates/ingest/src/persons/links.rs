//! Changes of the persons of records, caused by a run or a decision.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::persons::log::LogEntry;
use crate::persons::match_keys::MatchKeys;

/// How many records of a run were linked, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct LinkCounts {
    /// Records that became persons of their own.
    pub created: u64,
    /// New records that were linked to a known person, or to one of the same run.
    pub linked: u64,
    /// Records that match several persons: they wait for a decision.
    pub ambiguous: u64,
    /// Records that moved to another person.
    pub moved: u64,
}

impl LinkCounts {
    /// Whether no record was linked, became ambiguous or moved.
    pub fn is_nothing(&self) -> bool {
        self.linked + self.ambiguous + self.moved == 0
    }
}

/// The changes that a resolution makes.
#[derive(Default)]
pub(crate) struct Linked {
    pub(crate) counts: LinkCounts,
    /// New person by record, for records that do not get the person they would have had alone.
    pub(crate) moved: BTreeMap<i64, i64>,
    /// Person before, by record, for records that the lake knew.
    pub(crate) before: BTreeMap<i64, i64>,
    /// Persons who keep records.
    pub(super) stays: BTreeSet<i64>,
    /// New match keys, by record.
    pub(crate) keys: HashMap<i64, MatchKeys>,
    pub(crate) log: Vec<LogEntry>,
}

impl Linked {
    /// Whether records left a person who keeps other records.
    pub(crate) fn parts(&self) -> bool {
        let went: BTreeSet<i64> = self
            .before
            .values()
            .copied()
            .filter(|from| *from != 0)
            .collect();
        self.moved.values().any(|to| !self.stays.contains(to)) || !went.is_disjoint(&self.stays)
    }
}
