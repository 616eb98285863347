//! Requests of persons about their data, each with a receipt: export, erasure, restriction.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use rollbook_ingest::persons::decide::Decider;
use rollbook_ingest::persons::erase::Forgotten;
use rollbook_ingest::persons::named_in_quarantine;
use rollbook_lake::{Cause, Commit, Lake, State, Update, ValueName};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::export::{PersonExport, export, raw};
use crate::identity::erase;
use crate::retention::{Hold, holds};
use crate::suppressions::{self, ListedSuppression};
use crate::{AppError, Workspace};

/// The reason of a suppression that a request made.
const RESTRICTED: &str = "restricted by request";

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// All data on them.
    Export,
    /// Their personal values are erased.
    Erase,
    /// They are not contacted any more.
    Restrict,
}

/// That a request was fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub request: RequestKind,
    /// The person.
    pub person_id: i64,
    /// Who fulfilled the request.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The snapshot of the data that was exported, or that holds the change.
    pub snapshot: SnapshotNumber,
    /// How many rows were exported, erased or changed.
    pub rows: u64,
    /// The SHA-256 hash of the answer, as printed without blanks.
    pub sha256: String,
}

/// All data on a person, also beyond the rows that belong to them.
#[derive(Debug, Serialize)]
pub struct HeldData {
    /// Their rows.
    #[serde(flatten)]
    pub export: PersonExport,
    /// Rejected rows that name them.
    pub quarantine: Box<RawValue>,
    /// Suppressions of the person; those of addresses and numbers are stored as hashes only.
    pub suppressions: Vec<ListedSuppression>,
    /// The legal holds of the person.
    pub holds: Vec<Hold>,
}

/// The answer to a request, with its receipt.
#[derive(Debug, Serialize)]
pub struct Fulfilled<T> {
    /// The receipt.
    pub receipt: Receipt,
    /// The answer.
    pub answer: T,
}

/// A restriction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restricted {
    /// New entries in the list of suppressions: none if the person was on it.
    pub suppressed: u64,
}

/// All data on a person.
///
/// # Errors
/// There is no lake; [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; the lake cannot be written.
pub async fn request_export(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<Fulfilled<HeldData>, AppError> {
    workspace.require("persons::requests::request_export")?;
    let export = export(workspace, person, decider.at).await?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (quarantine, rejected) =
        rejected_rows(workspace, &lake, &state, person, decider.at).await?;
    let applies = |one: &ListedSuppression| {
        let persons = one.persons.as_ref();
        persons.is_some_and(|persons| persons.contains(&person.unsigned_abs()))
    };
    let mut suppressions = suppressions::list(workspace).await?;
    suppressions.retain(applies);
    let mut all_holds = holds(workspace).await?;
    all_holds.retain(|hold| hold.person_id == person);
    let rows = export.rows.count() + rejected;
    let snapshot = export.snapshot;
    let answer = HeldData {
        export,
        quarantine,
        suppressions,
        holds: all_holds,
    };
    fulfilled(
        workspace,
        RequestKind::Export,
        person,
        (snapshot, rows),
        answer,
        decider,
    )
    .await
}

/// Erases a person.
///
/// # Errors
/// Those of [`erase`].
pub async fn request_erasure(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<Fulfilled<Forgotten>, AppError> {
    workspace.require("persons::requests::request_erasure")?;
    let answer = erase(workspace, person, decider).await?;
    let done = (answer.snapshot, answer.values.values().sum());
    fulfilled(workspace, RequestKind::Erase, person, done, answer, decider).await
}

/// Suppresses a person on all channels.
///
/// # Errors
/// There is no lake; [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; the lake cannot be written.
pub async fn request_restriction(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<Fulfilled<Restricted>, AppError> {
    workspace.require("persons::requests::request_restriction")?;
    super::show(workspace, person, decider.at, false).await?;
    let values = [person.to_string()];
    let added = suppressions::add(workspace, &values, None, Some(RESTRICTED), decider.at);
    let answer = Restricted {
        suppressed: added.await?,
    };
    let snapshot = workspace.lake().await?.head().await?.number;
    let done = (snapshot, answer.suppressed);
    fulfilled(
        workspace,
        RequestKind::Restrict,
        person,
        done,
        answer,
        decider,
    )
    .await
}

/// The receipts of all requests, oldest first.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn receipts(workspace: &Workspace) -> Result<Vec<Receipt>, AppError> {
    workspace.require("persons::requests::receipts")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(lake.documents(&paths(&state)?).await?)
}

fn paths(state: &State) -> Result<Vec<String>, AppError> {
    let paths = state.value(&ValueName::Receipts.to_string())?;
    Ok(paths.unwrap_or_default())
}

/// The rejected rows that name a person, and their number.
async fn rejected_rows(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    person: i64,
    as_of: Timestamp,
) -> Result<(Box<RawValue>, u64), AppError> {
    let ids = named_in_quarantine(lake, state, person).await?;
    let session = workspace.session(lake, state, as_of).await?;
    let mut rows = session.stream("select * from quarantine").await?;
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(batch) = rows.next_batch().await? {
        let failed = |source| AppError::Rows { source };
        let texts =
            arrow::compute::cast(&batch["quarantine_id"], &arrow::datatypes::DataType::Utf8);
        let texts = texts.map_err(failed)?;
        let texts = texts.as_string::<i32>().iter();
        let theirs: BooleanArray = texts
            .map(|id| Some(id.is_some_and(|id| ids.contains(id))))
            .collect();
        count += theirs.true_count() as u64;
        found.push(filter_record_batch(&batch, &theirs).map_err(failed)?);
    }
    Ok((raw(&found)?, count))
}

/// Keeps the receipt of an answer.
async fn fulfilled<T: Serialize>(
    workspace: &Workspace,
    request: RequestKind,
    person: i64,
    (snapshot, rows): (SnapshotNumber, u64),
    answer: T,
    decider: &Decider,
) -> Result<Fulfilled<T>, AppError> {
    let printed = serde_json::to_vec(&answer).map_err(|error| AppError::Rows {
        source: arrow::error::ArrowError::JsonError(error.to_string()),
    })?;
    let receipt = Receipt {
        id: Uuid::now_v7(),
        request,
        person_id: person,
        by: decider.by.clone(),
        at: decider.at,
        snapshot,
        rows,
        sha256: hex::encode(Sha256::digest(&printed)),
    };
    let lake = workspace.lake().await?;
    let path = lake.put_content("_retention/receipt", &receipt).await?;
    let update = |state: Arc<State>| {
        let path = path.clone();
        async move {
            let mut all = paths(&state)?;
            all.push(path);
            let name = ValueName::Receipts.to_string();
            let named = BTreeMap::from([(name.clone(), Some(json!(all)))]);
            let commit = Commit::of_names(Cause::Define { name }, decider.at, named);
            Ok::<_, AppError>(Update::commit(commit, ()))
        }
    };
    lake.update(update).await?;
    Ok(Fulfilled { receipt, answer })
}
