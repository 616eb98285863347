//! A set of records that are connected by values or decisions.

use std::collections::HashSet;

use rollbook_identity::resolve::ValueSet;

/// Connected records.
pub(crate) struct Component {
    pub(crate) identities: HashSet<i64>,
    /// Values of them that never link records.
    pub(crate) shared: ValueSet,
}

impl Component {
    pub(crate) fn of(identities: HashSet<i64>, shared: ValueSet) -> Self {
        Self { identities, shared }
    }
}
