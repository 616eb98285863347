//! One person: columns, records, deals, tickets, segments and scores.

pub mod column_order;

use rollbook_engine::Parameter;
use rollbook_model::{SnapshotNumber, Timestamp};
use rollbook_queries::persons::{CAMPAIGNS, DEALS, RECORDS, ROLES, SCORES, TICKETS};
use rollbook_queries::questions;
use serde::Serialize;
use serde_json::Value;

use crate::identity::merged_into;
use crate::rows::objects;
use crate::segments::{PersonChange, changes_of_person};
use crate::{AppError, Workspace};

mod export;
mod requests;
mod timeline;

pub use column_order::columns;
pub use export::{PersonExport, export};
pub use requests::{
    Fulfilled, HeldData, Receipt, RequestKind, Restricted, receipts, request_erasure,
    request_export, request_restriction,
};
pub use timeline::{Timeline, TimelineQuery, timeline};

/// Columns of consent.
const CONSENT: [&str; 5] = [
    "accepts_email_marketing",
    "accepts_sms_marketing",
    "marketing_opt_in_date",
    "gdpr_consent",
    "gdpr_consent_date",
];

/// All that `show` returns of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// The row of `people`, in reading order.
    #[serde(serialize_with = "column_order::serialize")]
    pub person: Value,
    /// Their records.
    #[serde(serialize_with = "column_order::serialize_all")]
    pub records: Vec<Value>,
    /// Their roles: customer, lead, contact, vendor, employee, and the lifecycle stage.
    #[serde(serialize_with = "column_order::serialize")]
    pub roles: Value,
    /// Their deals, newest first.
    #[serde(serialize_with = "column_order::serialize_all")]
    pub deals: Vec<Value>,
    /// Their support tickets, newest first.
    #[serde(serialize_with = "column_order::serialize_all")]
    pub tickets: Vec<Value>,
    /// Campaigns that they interacted with, newest first.
    #[serde(serialize_with = "column_order::serialize_all")]
    pub campaigns: Vec<Value>,
    /// Their current scores.
    #[serde(serialize_with = "column_order::serialize_all")]
    pub scores: Vec<Value>,
    /// Their consents, with dates.
    #[serde(serialize_with = "column_order::serialize")]
    pub consent: Value,
    /// The segments that they are a member of, as of the last refresh of each.
    pub segments: Vec<String>,
    /// When they entered and left segments, oldest first; only on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_changes: Option<Vec<PersonChange>>,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that the traits are computed for.
    pub as_of: Timestamp,
}

/// One person; `with_history` also reads all membership changes.
///
/// # Errors
/// There is no lake; [`AppError::UnknownPerson`]; [`AppError::MergedPerson`]; [`AppError::BoundKey`].
pub async fn show(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
    with_history: bool,
) -> Result<Person, AppError> {
    workspace.require("persons::show")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    workspace.require_person(&lake, &state, person).await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let id = [("person_id", Parameter::Int(person))];
    let found = objects(&session.query_with(questions::PERSON, &id).await?.batches)?;
    let Some(found) = found.into_iter().next() else {
        return Err(missing_person(workspace, person, as_of).await?);
    };
    let records = session.query_with(RECORDS, &id).await?;
    let records = objects(&records.batches)?;
    let listed = async |sql: &str| -> Result<Vec<Value>, AppError> {
        objects(&session.query_with(sql, &id).await?.batches)
    };
    let roles = listed(ROLES).await?.into_iter().next().unwrap_or_default();
    let (deals, tickets) = (listed(DEALS).await?, listed(TICKETS).await?);
    let (campaigns, scores) = (listed(CAMPAIGNS).await?, listed(SCORES).await?);
    let consent = CONSENT
        .iter()
        .map(|name| ((*name).to_owned(), found[*name].clone()));
    let consent = Value::Object(consent.collect());
    let segments = session
        .query_with(questions::SEGMENTS_OF_PERSON, &id)
        .await?;
    let segments = objects(&segments.batches)?;
    let mut segment_changes = match with_history {
        true => Some(changes_of_person(&lake, &state, person.unsigned_abs()).await?),
        false => None,
    };
    let name = |row: &Value| row["segment"].as_str().map(str::to_owned);
    let mut segments: Vec<String> = segments.iter().filter_map(name).collect();
    if workspace.is_bound() {
        let known = workspace.definitions(&lake, &state).await?;
        let is_known = |key: &str| known.iter().any(|known| known.key.as_str() == key);
        segments.retain(|key| is_known(key));
        if let Some(changes) = &mut segment_changes {
            changes.retain(|change| is_known(change.segment.as_str()));
        }
    }
    Ok(Person {
        person: found,
        records,
        roles,
        deals,
        tickets,
        campaigns,
        scores,
        consent,
        segments,
        segment_changes,
        snapshot: state.data,
        as_of,
    })
}

/// The error for an id without a person: it never existed, or was merged into another.
async fn missing_person(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
) -> Result<AppError, AppError> {
    Ok(match merged_into(workspace, person, as_of).await? {
        Some(now) => AppError::MergedPerson { person, now },
        None => AppError::UnknownPerson { person },
    })
}
