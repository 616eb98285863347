//! Activities, campaigns, tickets and custom objects.

use super::{fact, reference};
use crate::table::ColumnType::{Date, Decimal, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const ACTIVITIES: TableDef = fact(
    "activities",
    Some("occurred_at"),
    "an action of a person, or one of the business to reach them",
    &[
        col(
            "type",
            Text,
            "type, such as email_clicked, page_viewed or form_submitted",
        )
        .required()
        .immutable(),
        col(
            "channel",
            Text,
            "channel, such as email, paid_search or social",
        )
        .immutable(),
        col("campaign_id", Text, "external id of the campaign").immutable(),
        col("direction", Text, "inbound or outbound").immutable(),
        col(
            "thread_id",
            Text,
            "id of the conversation that it belongs to",
        )
        .immutable(),
        col(
            "subject_type",
            Text,
            "type of object that it is about: order, deal, product …",
        )
        .immutable(),
        col(
            "subject_id",
            Text,
            "external id of the object that it is about",
        )
        .immutable(),
        col("occurred_at", Time, "when it happened")
            .required()
            .immutable(),
        col("properties", Json, "other fields of the source").immutable(),
        col(
            "personal_properties",
            Json,
            "those of the properties that a mapping declares personal",
        )
        .personal()
        .immutable(),
    ],
);

pub(super) const CAMPAIGNS: TableDef = reference(
    "campaigns",
    "a marketing campaign, or one variant of it",
    &[
        col("name", Text, "name of the campaign"),
        col("type", Text, "newsletter, promotion, automation …"),
        col(
            "channel",
            Text,
            "channel, such as email, paid_search or social",
        ),
        col("status", Text, "draft, active, ended …"),
        col("starts_at", Time, "when it starts"),
        col("ends_at", Time, "when it ends"),
        col("budget", Decimal, "planned budget").unit("currency"),
        col("currency", Text, "ISO 4217 code of the budget"),
        col("variant", Text, "variant in an A/B test"),
    ],
);

pub(super) const CAMPAIGN_SPEND: TableDef = reference(
    "campaign_spend",
    "the cost of a campaign on a day",
    &[
        col("campaign_id", Text, "external id of the campaign").required(),
        col("day", Date, "the day").required(),
        col("amount", Decimal, "amount spent")
            .unit("currency")
            .required(),
        col("currency", Text, "ISO 4217 code of the amount"),
        col("impressions", Int, "number of times that it was shown"),
        col("clicks", Int, "number of clicks"),
    ],
);

pub(super) const TICKETS: TableDef = fact(
    "tickets",
    Some("opened_at"),
    "a support request",
    &[
        col("status", Text, "open, pending, solved, closed").with_history(),
        col("priority", Text, "low, normal, high, urgent"),
        col("category", Text, "topic"),
        col("opened_at", Time, "when it was opened")
            .required()
            .immutable(),
        col("closed_at", Time, "when it was closed").dated_by("closed_at"),
        col(
            "satisfaction",
            Float,
            "rating by the customer, in the scale of the source",
        ),
    ],
);

pub(super) const OBJECTS: TableDef = fact(
    "objects",
    Some("created_at"),
    "an object of a custom type",
    &[
        col("object_type", Text, "name of the type")
            .required()
            .immutable(),
        col("properties", Json, "fields of the object"),
        col(
            "personal_properties",
            Json,
            "those of the properties that a mapping declares personal",
        )
        .personal(),
        col("associations", Json, "objects that it is linked to"),
        col("created_at", Time, "when it was created")
            .required()
            .immutable(),
        col("updated_at", Time, "when it was last changed"),
    ],
);
