//! Erasing a person: identifying values are deleted, facts stay without a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_lake::{Cause, Commit, IdentityChange, Lake, State, Update};
use rollbook_model::SnapshotNumber;
use serde::Serialize;
use serde_json::json;

use crate::IngestError;
use crate::persons::decisions::Decider;
use crate::persons::erasure::{Erasure, Return};
use crate::persons::holds;

/// What an erasure deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The person.
    pub person_id: i64,
    /// Records that were theirs.
    pub records: u64,
    /// Deleted rows of personal values, by table.
    pub values: BTreeMap<&'static str, u64>,
    /// Redacted texts: criteria, blocked values, and rows that wait or were refused. A dry run does not count
    /// them.
    pub texts: u64,
    /// The snapshot of it.
    pub snapshot: SnapshotNumber,
}

/// Erases a person: deletes the values that identify them, and keeps their orders and other facts as those of
/// an anonymous person. With `decider.dry_run` it only counts what would be deleted.
///
/// # Errors
/// [`IngestError::NoPerson`] where the person has no records; [`IngestError::Held`] where they are under legal
/// hold; [`IngestError::Lake`] where the lake or its vault cannot be read or written, or other writers were
/// faster 10 times.
pub async fn erase(lake: &Lake, person: i64, decider: &Decider) -> Result<Forgotten, IngestError> {
    let update = |base: Arc<State>| async move {
        let erasure = Erasure::of(lake, &base, &[person]).await?;
        if erasure.records.is_empty() {
            return Err(IngestError::NoPerson { person });
        }
        if holds::held(lake, &base)
            .await?
            .contains(person.unsigned_abs())
        {
            return Err(IngestError::Held { person });
        }
        let mut forgotten = Forgotten {
            person_id: person,
            records: erasure.records.len() as u64,
            values: erasure.values(lake, &base).await?,
            texts: 0,
            snapshot: base.number,
        };
        if decider.dry_run {
            return Ok(Update::Keep((forgotten, None)));
        }
        let evidence = json!({ "by": decider.by });
        let changes = erasure.changes(lake, &base, Return::Refused, &evidence, decider.at);
        let (tables, named) = changes.await?;
        let commit = Commit {
            cause: Cause::Identity {
                done: format!("person {person} erased"),
                change: IdentityChange::Erasure,
            },
            at: decider.at,
            tables,
            touched: [person.unsigned_abs()].into_iter().collect(),
            named,
            idempotency_keys: Vec::new(),
        };
        forgotten.snapshot = base.number.next();
        Ok(Update::commit(commit, (forgotten, Some((base, erasure)))))
    };
    let (mut forgotten, rest) = lake.update(update).await?;
    if let Some((base, erasure)) = rest {
        forgotten.texts = erasure.finish(lake, &base).await?;
    }
    Ok(forgotten)
}
