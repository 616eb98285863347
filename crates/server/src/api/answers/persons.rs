//! Answers about one person: columns, records, events.

use rollbook_app::persons;
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{People, SegmentChange, typed};
use crate::api::scalars::{Amount, Key, PredictedKind, Time};
use crate::problem::Problem;

/// A person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Person {
    /// All columns of `people`.
    #[serde(serialize_with = "rollbook_app::persons::column_order::serialize")]
    #[schema(value_type = People)]
    person: Value,
    /// Their records.
    records: Vec<Record>,
    roles: Roles,
    /// Their deals, newest first.
    deals: Vec<Deal>,
    /// Their support tickets, newest first.
    tickets: Vec<Ticket>,
    /// Campaigns that they interacted with, newest first.
    campaigns: Vec<Campaign>,
    /// Their current scores.
    scores: Vec<PersonScore>,
    consent: Consent,
    /// The segments that they are a member of, as of the last refresh of each.
    #[schema(value_type = Vec<Key>)]
    segments: Vec<String>,
    /// When they entered and left segments, oldest first; only with `history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_changes: Option<Vec<SegmentChange>>,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
}

/// A record of a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    identity_id: i64,
    provider: String,
    external_id: String,
    #[schema(value_type = Option<Time>)]
    first_seen_at: Option<String>,
    #[schema(value_type = Option<Time>)]
    last_seen_at: Option<String>,
}

/// Roles of a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roles {
    person_id: i64,
    is_customer: bool,
    is_lead: bool,
    is_contact: bool,
    is_vendor: bool,
    is_employee: bool,
    /// visitor, lead, contact, customer or evangelist.
    lifecycle_stage: String,
}

/// A deal of a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deal {
    provider: String,
    external_id: String,
    name: Option<String>,
    pipeline: Option<String>,
    stage: Option<String>,
    status: Option<String>,
    #[schema(value_type = Option<Amount>)]
    value: Option<String>,
    currency: Option<String>,
    /// The probability of winning it, 0 to 1.
    probability: Option<f64>,
    #[schema(value_type = Option<Time>)]
    created_at: Option<String>,
    #[schema(value_type = Option<Time>)]
    closed_at: Option<String>,
}

/// A support ticket of a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ticket {
    provider: String,
    external_id: String,
    status: Option<String>,
    priority: Option<String>,
    category: Option<String>,
    #[schema(value_type = Option<Time>)]
    opened_at: Option<String>,
    #[schema(value_type = Option<Time>)]
    closed_at: Option<String>,
    satisfaction: Option<f64>,
}

/// A campaign that a person interacted with.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Campaign {
    provider: String,
    campaign_id: String,
    /// Null if the campaign is not in the lake.
    name: Option<String>,
    channel: Option<String>,
    /// Number of interactions.
    activities: u64,
    #[schema(value_type = Option<Time>)]
    first_at: Option<String>,
    #[schema(value_type = Option<Time>)]
    last_at: Option<String>,
}

/// A score of a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonScore {
    #[schema(value_type = PredictedKind)]
    kind: String,
    person_id: i64,
    /// Log-odds.
    score: f64,
    #[schema(minimum = 0, maximum = 1)]
    probability: f64,
}

/// Consents of a person, with dates.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consent {
    accepts_email_marketing: Option<bool>,
    accepts_sms_marketing: Option<bool>,
    #[schema(value_type = Option<Time>)]
    marketing_opt_in_date: Option<String>,
    gdpr_consent: Option<bool>,
    #[schema(value_type = Option<Time>)]
    gdpr_consent_date: Option<String>,
}

impl TryFrom<persons::Person> for Person {
    type Error = Problem;

    fn try_from(found: persons::Person) -> Result<Self, Problem> {
        let changes = found
            .segment_changes
            .map(|changes| changes.into_iter().map(SegmentChange::from).collect());
        Ok(Self {
            person: found.person,
            records: typed(Value::Array(found.records))?,
            roles: typed(found.roles)?,
            deals: typed(Value::Array(found.deals))?,
            tickets: typed(Value::Array(found.tickets))?,
            campaigns: typed(Value::Array(found.campaigns))?,
            scores: typed(Value::Array(found.scores))?,
            consent: typed(found.consent)?,
            segments: found.segments,
            segment_changes: changes,
            snapshot: found.snapshot,
            as_of: found.as_of,
        })
    }
}

/// A page of events of a person, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Timeline {
    events: Vec<Event>,
    /// Token of the next page; null on the last one.
    next: Option<String>,
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
}

impl Timeline {
    /// The number of its events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// An event.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// Its position on the timeline, from 1.
    place: u64,
    #[schema(value_type = Option<Time>)]
    at: Option<String>,
    #[serde(rename = "type")]
    kind: EventType,
    /// What happened: a status, a stage, a type of activity, a category or an action.
    what: Option<String>,
    #[schema(value_type = Option<Amount>)]
    amount: Option<String>,
    currency: Option<String>,
    provider: String,
    external_id: String,
}

/// The type of an event.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventType {
    Order,
    Refund,
    Deal,
    DealStage,
    Activity,
    Ticket,
    Identity,
}

impl EventType {
    /// Its name in the timeline query.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Refund => "refund",
            Self::Deal => "deal",
            Self::DealStage => "deal_stage",
            Self::Activity => "activity",
            Self::Ticket => "ticket",
            Self::Identity => "identity",
        }
    }
}

impl TryFrom<persons::Timeline> for Timeline {
    type Error = Problem;

    fn try_from(found: persons::Timeline) -> Result<Self, Problem> {
        Ok(Self {
            events: typed(Value::Array(found.events))?,
            next: found.next,
            snapshot: found.snapshot,
        })
    }
}
