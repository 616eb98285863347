//! What callers ask of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ParamValues;
use roaring::RoaringTreemap;

use crate::cache::PeopleCache;
use crate::criteria::behaviour::EvaluationContext;

/// Persons by the key of a segment, each a table with the column `person_id`.
pub(crate) type MemberTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// What is kept in memory of the snapshot, where anything is.
#[derive(Debug, Clone)]
pub(crate) struct CacheView {
    pub(crate) resident: Arc<PeopleCache>,
    /// Whom alone the session knows; all where it names none.
    pub(crate) among: Option<Arc<RoaringTreemap>>,
    /// Columns of `people` that never are: they may be personal, and rest on anything.
    pub(crate) never: Arc<BTreeSet<String>>,
}

/// What a caller asks.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// The rows of a query, with values for its `$names`.
    Query(String, Option<ParamValues>),
    /// The ids of the persons who meet a condition.
    PeopleWhere(String, MemberTables, EvaluationContext),
    /// Every person, and whether it meets each of some conditions.
    People(
        Vec<String>,
        MemberTables,
        EvaluationContext,
        Option<CacheView>,
    ),
    /// Every person, and what some expressions come to.
    Values(
        Vec<String>,
        MemberTables,
        EvaluationContext,
        Option<CacheView>,
    ),
    /// The ids of the persons that a query names.
    PersonIds(String),
}
