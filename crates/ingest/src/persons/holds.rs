//! Legal holds: as long as a person is under one, nothing of them is deleted by erasure or retention.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{Cause, Commit, Lake, State, Update, ValueName};
use rollbook_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::IngestError;
use crate::persons::decisions::Decider;
use crate::persons::owners::{Owners, records_of};

/// A person under legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The id as given.
    pub person_id: i64,
    /// Why.
    pub reason: Option<String>,
    /// Who said so.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
    /// Their records then: the hold follows them if they are moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<i64>,
}

/// The holds at a snapshot, in order of time.
///
/// # Errors
/// [`IngestError::Lake`] where they cannot be read.
pub async fn holds(lake: &Lake, state: &State) -> Result<Vec<Hold>, IngestError> {
    let path = state.value::<String>(&ValueName::LegalHolds.to_string())?;
    Ok(match path {
        Some(path) => lake.document(&path).await?,
        None => Vec::new(),
    })
}

/// The persons who are under legal hold at a snapshot, by the ids that they have there.
///
/// # Errors
/// [`IngestError::Lake`] where the holds or the table `identities` cannot be read.
pub async fn held(lake: &Lake, state: &State) -> Result<RoaringTreemap, IngestError> {
    let all = holds(lake, state).await?;
    if all.is_empty() {
        return Ok(RoaringTreemap::new());
    }
    let owners = Owners::at(lake, state).await?;
    let of = |hold: &Hold| owners.of(hold.person_id.unsigned_abs(), &hold.records, hold.at);
    Ok(all.iter().map(of).fold(RoaringTreemap::new(), |a, b| a | b))
}

/// Puts a person under legal hold; replaces the reason of one who is.
///
/// # Errors
/// [`IngestError::NoPerson`] where the person has no records; [`IngestError::Lake`] where the lake cannot be
/// read or written, or other writers were faster 10 times.
pub async fn hold(
    lake: &Lake,
    person: i64,
    reason: Option<&str>,
    decider: &Decider,
) -> Result<Hold, IngestError> {
    let update = |base: Arc<State>| async move {
        let mut records = match person {
            0 => BTreeMap::new(),
            person => records_of(lake, &base, &[person]).await?,
        };
        let records = records.remove(&person);
        let records = records.ok_or(IngestError::NoPerson { person })?;
        let hold = Hold {
            person_id: person,
            reason: reason.map(str::to_owned),
            by: decider.by.clone(),
            at: decider.at,
            records,
        };
        let mut all = holds(lake, &base).await?;
        all.retain(|one| one.person_id != person);
        all.push(hold.clone());
        if decider.dry_run {
            return Ok(Update::Keep(hold));
        }
        let commit = commit_of(lake, &all, decider.at).await?;
        Ok::<_, IngestError>(Update::commit(commit, hold))
    };
    lake.update(update).await
}

/// Ends the legal holds that apply to a person; returns how many there were.
///
/// # Errors
/// [`IngestError::Lake`] where the lake cannot be read or written, or other writers were faster 10 times.
pub async fn release(lake: &Lake, person: i64, decider: &Decider) -> Result<u64, IngestError> {
    let update = |base: Arc<State>| async move {
        let mut all = holds(lake, &base).await?;
        let before = all.len();
        let owners = Owners::at(lake, &base).await?;
        all.retain(|one| {
            let applies = owners.of(one.person_id.unsigned_abs(), &one.records, one.at);
            one.person_id != person && !applies.contains(person.unsigned_abs())
        });
        let ended = (before - all.len()) as u64;
        if ended == 0 || decider.dry_run {
            return Ok(Update::Keep(ended));
        }
        let commit = commit_of(lake, &all, decider.at).await?;
        Ok::<_, IngestError>(Update::commit(commit, ended))
    };
    lake.update(update).await
}

async fn commit_of(lake: &Lake, all: &[Hold], at: Timestamp) -> Result<Commit, IngestError> {
    let name = ValueName::LegalHolds.to_string();
    let value = match all.is_empty() {
        true => None,
        false => Some(json!(lake.put_content("_identity/holds", &all).await?)),
    };
    let named = BTreeMap::from([(name.clone(), value)]);
    Ok(Commit::of_names(Cause::Define { name }, at, named))
}
