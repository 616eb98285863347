//! The persons whose membership may differ from when a segment was last computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use roaring::RoaringTreemap;
use rollbook_engine::{AffectedQuery, Condition, EngineError, Session, TimeDependency};
use rollbook_lake::{Changes, Lake, LakeTable, ORDERS_COMPLETE, State, TimeSpan};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp, tables};

use crate::error::SegmentError;
use crate::membership::Refreshed;

/// Tables without persons that conditions read: a change of them may affect anybody.
const TABLES_OF_EVERYBODY: [&str; 1] = ["fx_rates"];

/// Tables whose rows count for the person of their order.
const TABLES_OF_ORDERS: [&str; 2] = ["refunds", "order_lines"];

/// The data and the moment that a membership was computed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Basis {
    pub(crate) snapshot: SnapshotNumber,
    pub(crate) as_of: Timestamp,
}

impl Basis {
    /// The basis of a membership.
    pub(crate) fn of(membership: &Refreshed) -> Self {
        Self {
            snapshot: membership.snapshot,
            as_of: membership.as_of,
        }
    }
}

/// Persons affected since a basis, by what changed.
#[derive(Debug, Default)]
pub(crate) struct AffectedPersons {
    /// Persons whose rows were written.
    pub(crate) touched: RoaringTreemap,
    /// Persons with rows whose time has come since.
    pub(crate) arrived: RoaringTreemap,
    /// Of those with written rows, those whose records were merged.
    pub(crate) merged: RoaringTreemap,
    /// Of those with written rows, those whose records were split.
    pub(crate) unmerged: RoaringTreemap,
    /// Of those with written rows, those who were erased.
    pub(crate) erased: RoaringTreemap,
}

impl AffectedPersons {
    /// All affected persons, with those in `due`, whose time windows change.
    pub(crate) fn with(&self, due: &RoaringTreemap) -> RoaringTreemap {
        &(&self.touched | &self.arrived) | due
    }
}

/// The persons affected since `basis`, in the data of `state` as `session` sees it; `None` where it may be
/// anybody.
pub(crate) async fn affected_since(
    lake: &Lake,
    session: &Session,
    state: &State,
    basis: Basis,
) -> Result<Option<AffectedPersons>, SegmentError> {
    let Some(changes) = written(lake, session, state, basis.snapshot).await? else {
        return Ok(None);
    };
    let mut changed = AffectedPersons {
        touched: changes.persons,
        arrived: RoaringTreemap::new(),
        merged: changes.merged,
        unmerged: changes.unmerged,
        erased: changes.erased,
    };
    if basis.as_of < session.as_of() {
        let arriving = session.arriving(basis.as_of);
        collect(session, &arriving, &mut changed.arrived).await?;
        let since = [basis.as_of.micros() + 1, session.as_of().micros() + 1];
        changed.arrived |= match session.cached_persons_between(since).await {
            Some(kept) => kept,
            None => active(lake, state, &[(None, since)]).await?,
        };
    }
    Ok(Some(changed))
}

/// The changes since a snapshot, with the persons of the orders that changed rows belong to; `None` where
/// they may affect anybody.
///
/// # Errors
/// [`SegmentError::Lake`] where the lake cannot be read; [`SegmentError::Criteria`] where a view of the
/// changed rows cannot be registered.
pub async fn written(
    lake: &Lake,
    session: &Session,
    state: &State,
    since: SnapshotNumber,
) -> Result<Option<Changes>, SegmentError> {
    let Some(mut changes) = lake.changes(since, state).await? else {
        return Ok(None);
    };
    let concerns_all = |name: &String| TABLES_OF_EVERYBODY.contains(&name.as_str());
    if changes.named.contains("settings") || changes.tables.keys().any(concerns_all) {
        return Ok(None);
    }
    // Rows are stored with the person that they had when they were written.
    if let Some(moves) = lake.identity_remap(state).await? {
        changes.persons = moves.with_targets(changes.persons);
    }
    let mut of_theirs = RoaringTreemap::new();
    let is_known = of_orders(lake, session, state, &changes, since, &mut of_theirs).await?;
    changes.persons |= of_theirs;
    Ok(is_known.then_some(changes))
}

/// Adds the persons of the orders of changed rows, and those with rows of changed orders, since such rows
/// count for their own person where there is no order; `false` where files were deleted.
async fn of_orders(
    lake: &Lake,
    session: &Session,
    state: &State,
    changes: &Changes,
    since: SnapshotNumber,
    persons: &mut RoaringTreemap,
) -> Result<bool, SegmentError> {
    let mut queries = Vec::new();
    for table in TABLES_OF_ORDERS {
        if let Some(changed) = changed_rows(lake, session, changes, table, since)? {
            queries.push(format!(
                "select orders.person_id from {changed} as changed inner join orders \
                 on orders.provider = changed.provider and orders.external_id = changed.order_id \
                 where orders.person_id <> 0"
            ));
        }
    }
    if let Some(changed) = changed_rows(lake, session, changes, "orders", since)?
        && !state.named.contains_key(ORDERS_COMPLETE)
    {
        // Where both have the same person, that person has written rows already.
        queries.extend(TABLES_OF_ORDERS.map(|table| {
            format!(
                "select own.person_id from {changed} as changed inner join {table} as own \
                 on own.provider = changed.provider and own.order_id = changed.external_id \
                 where own.person_id <> 0 and own.person_id <> changed.person_id"
            )
        }));
    }
    for sql in queries {
        // Files that no snapshot refers to any longer may be deleted.
        if collect(session, &[AffectedQuery::Query(sql)], persons)
            .await
            .is_err()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The view of the files of a table that were added or removed since a snapshot; `None` for none.
fn changed_rows(
    lake: &Lake,
    session: &Session,
    changes: &Changes,
    table: &str,
    since: SnapshotNumber,
) -> Result<Option<String>, SegmentError> {
    let Some(files) = changes.tables.get(table).filter(|files| !files.is_empty()) else {
        return Ok(None);
    };
    let def = tables::table(table).expect("it is a canonical table");
    // Memberships of different snapshots have different changed files.
    let name = format!("_changed_{table}_{since}");
    let rows = LakeTable::of_files(lake, def, files);
    match session.add_view(&name, Arc::new(rows)) {
        Ok(()) | Err(EngineError::TableExists { .. }) => Ok(Some(name)),
        Err(error) => Err(error.into()),
    }
}

/// The persons with activities of some types in some spans of time.
async fn active(
    lake: &Lake,
    state: &State,
    spans: &[TimeSpan],
) -> Result<RoaringTreemap, SegmentError> {
    let def = tables::table("activities").expect("it is a canonical table");
    let files = state.table(def.name).files;
    let persons = lake.persons_between(def, &files, spans).await?;
    // Rows of moved records are stored with their former persons.
    Ok(match lake.identity_remap(state).await? {
        Some(moves) => moves.with_targets(persons),
        None => persons,
    })
}

/// The segments that can be patched, and the persons whose time windows change. `conditions` are those that
/// each segment is computed from; `None` where it is computed from anything else. Segments whose dependency
/// on the current time cannot be predicted are left out.
pub(crate) async fn due_by_clock(
    lake: &Lake,
    state: &State,
    session: &Session,
    conditions: BTreeMap<SegmentKey, Option<Vec<Condition>>>,
    basis: Basis,
) -> Result<(Vec<SegmentKey>, RoaringTreemap), SegmentError> {
    let mut persons = RoaringTreemap::new();
    if basis.as_of == session.as_of() {
        return Ok((conditions.into_keys().collect(), persons));
    }
    let (mut keys, mut all) = (Vec::new(), TimeDependency::default());
    for (key, conditions) in conditions {
        let mut clock = TimeDependency::default();
        clock.is_unbounded = conditions.is_none();
        for condition in conditions.iter().flatten() {
            match session.time_dependency(condition, basis.as_of) {
                Ok(read) => clock.extend(read),
                Err(_) => clock.is_unbounded = true,
            }
        }
        if !clock.is_unbounded {
            all.extend(clock);
            keys.push(key);
        }
    }
    let (kept, all) = session.cached_affected_persons(all).await;
    persons |= kept;
    let spans = all.activities();
    let spans: Vec<TimeSpan> = spans
        .map(|(kind, span)| (kind.map(str::to_owned), span))
        .collect();
    if !spans.is_empty() {
        persons |= active(lake, state, &spans).await?;
    }
    match collect(session, &session.affected_queries(&all), &mut persons).await {
        Ok(()) => Ok((keys, persons)),
        // The error is reported where the segments are evaluated.
        Err(_) => Ok((Vec::new(), persons)),
    }
}

async fn collect(
    session: &Session,
    queries: &[AffectedQuery],
    persons: &mut RoaringTreemap,
) -> Result<(), EngineError> {
    for query in queries {
        let mut rows = session.affected_persons(query).await?;
        while let Some(batch) = rows.next_batch().await? {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            persons.extend(ids.iter().flatten().filter_map(|id| u64::try_from(id).ok()));
        }
    }
    Ok(())
}
