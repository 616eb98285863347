//! One person as the lake knows them.

use rollbook_engine::Parameter;
use rollbook_model::{SnapshotNumber, Timestamp};
use rollbook_queries::persons::{CAMPAIGNS, DEALS, RECORDS, ROLES, SCORES, TICKETS};
use rollbook_queries::questions;
use serde::Serialize;
use serde_json::Value;

use crate::identity::became;
use crate::rows::objects;
use crate::segments::{PersonChange, of_person};
use crate::{AppError, Workspace};

mod export;
pub mod reading;
mod timeline;

pub use export::export;
pub use rollbook_engine::columns_of_people as columns;
pub use timeline::{Timeline, TimelineAsked, timeline};

/// The columns that say what somebody agreed to.
const CONSENT: [&str; 5] = [
    "accepts_email_marketing",
    "accepts_sms_marketing",
    "marketing_opt_in_date",
    "gdpr_consent",
    "gdpr_consent_date",
];

/// One person: their columns and traits, and where they belong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// The columns of `people`, as people read them.
    #[serde(serialize_with = "reading::serialize")]
    pub person: Value,
    /// The records that they are known by.
    pub records: Vec<Value>,
    /// What they are to the business: customer, lead, contact, vendor, employee, and the stage.
    pub roles: Value,
    /// Their deals, the latest first.
    pub deals: Vec<Value>,
    /// Their requests for support, the latest first.
    pub tickets: Vec<Value>,
    /// The campaigns that they had to do with, the latest first.
    pub campaigns: Vec<Value>,
    /// Their scores, where there are any.
    pub scores: Vec<Value>,
    /// What they agreed to, and when.
    pub consent: Value,
    /// The segments that they belong to, as of each one's last refresh.
    pub segments: Vec<String>,
    /// When they came to segments and left them, oldest first, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_changes: Option<Vec<PersonChange>>,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that the traits were computed for.
    pub as_of: Timestamp,
}

/// What is known of a person; `with_history` also reads the whole ledger of segments.
pub async fn show(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
    with_history: bool,
) -> Result<Person, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, as_of).await?;
    let id = [("person_id", Parameter::Int(person))];
    let found = objects(&session.query_with(questions::PERSON, &id).await?.batches)?;
    let Some(found) = found.into_iter().next() else {
        return Err(unknown(workspace, person, as_of).await?);
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
    let segment_changes = match with_history {
        true => Some(of_person(&lake, &state, person.unsigned_abs()).await?),
        false => None,
    };
    let name = |row: &Value| row["segment"].as_str().map(str::to_owned);
    Ok(Person {
        person: found,
        records,
        roles,
        deals,
        tickets,
        campaigns,
        scores,
        consent,
        segments: segments.iter().filter_map(name).collect(),
        segment_changes,
        snapshot: state.data,
        as_of,
    })
}

/// Why there is no person of an id: nobody ever had it, or they are another by now.
async fn unknown(
    workspace: &Workspace,
    person: i64,
    as_of: Timestamp,
) -> Result<AppError, AppError> {
    Ok(match became(workspace, person, as_of).await? {
        Some(now) => AppError::BecameAnother { person, now },
        None => AppError::UnknownPerson { person },
    })
}
