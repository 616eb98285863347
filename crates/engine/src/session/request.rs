//! What callers ask of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ParamValues;
use roaring::RoaringTreemap;

use crate::cache::PeopleCache;
use crate::criteria::behaviour::EvaluationContext;
use crate::criteria::condition::{Condition, PersonQuery};

/// Persons by the key of a segment, each a table with the column `person_id`.
pub(crate) type MemberTables = BTreeMap<String, Arc<dyn TableProvider>>;

/// The cached columns and events that conditions can be answered from.
#[derive(Debug, Clone)]
pub(crate) struct CacheView {
    pub(crate) cache: Arc<PeopleCache>,
    /// The only persons whose rows the session has; all where this is not set.
    pub(crate) among: Option<Arc<RoaringTreemap>>,
    /// Columns of `people` that are never cached: the tenant's own traits, which may be personal and
    /// read any table.
    pub(crate) never: Arc<BTreeSet<String>>,
}

/// What a caller asks.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// The rows of a query, with values for its `$names`.
    Query(String, Option<ParamValues>),
    /// The ids of the persons who meet a condition.
    PeopleWhere(Condition, MemberTables, EvaluationContext),
    /// Every person, and whether it meets each of some conditions.
    People(
        Vec<Condition>,
        MemberTables,
        EvaluationContext,
        Option<CacheView>,
    ),
    /// Every person, and what some expressions come to.
    Values(
        Vec<Condition>,
        MemberTables,
        EvaluationContext,
        Option<CacheView>,
    ),
    /// The ids of the persons that a query names.
    PersonIds(PersonQuery),
}
