//! What persons do, which campaigns reach them, what they ask for.

use super::{fact, reference};
use crate::table::ColumnType::{Date, Decimal, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const ACTIVITIES: TableDef = fact(
    "activities",
    Some("occurred_at"),
    "something that a person did or that was done to reach them",
    &[
        col(
            "type",
            Text,
            "such as email_clicked, page_viewed, form_submitted",
        )
        .required()
        .immutable(),
        col("channel", Text, "such as email, paid_search, social").immutable(),
        col("campaign_id", Text, "external id of the campaign").immutable(),
        col("direction", Text, "inbound or outbound").immutable(),
        col("thread_id", Text, "the conversation it belongs to").immutable(),
        col(
            "subject_type",
            Text,
            "what it is about: order, deal, product …",
        )
        .immutable(),
        col("subject_id", Text, "external id of what it is about").immutable(),
        col("occurred_at", Time, "when").required().immutable(),
        col(
            "properties",
            Json,
            "fields of the source without a column here",
        )
        .immutable(),
        col(
            "personal_properties",
            Json,
            "those of them that a mapping calls personal",
        )
        .personal()
        .immutable(),
    ],
);

pub(super) const CAMPAIGNS: TableDef = reference(
    "campaigns",
    "a marketing campaign, or one variant of it",
    &[
        col("name", Text, "its name"),
        col("type", Text, "newsletter, promotion, automation …"),
        col("channel", Text, "such as email, paid_search, social"),
        col("status", Text, "draft, active, ended …"),
        col("starts_at", Time, "from when it runs"),
        col("ends_at", Time, "until when it runs"),
        col("budget", Decimal, "what it may cost").unit("currency"),
        col("currency", Text, "ISO 4217 code of the budget"),
        col("variant", Text, "the arm of a test that it is"),
    ],
);

pub(super) const CAMPAIGN_SPEND: TableDef = reference(
    "campaign_spend",
    "what a campaign cost on a day",
    &[
        col("campaign_id", Text, "external id of the campaign").required(),
        col("day", Date, "the day").required(),
        col("amount", Decimal, "what was spent")
            .unit("currency")
            .required(),
        col("currency", Text, "ISO 4217 code of the amount"),
        col("impressions", Int, "how often it was shown"),
        col("clicks", Int, "how often it was clicked"),
    ],
);

pub(super) const TICKETS: TableDef = fact(
    "tickets",
    Some("opened_at"),
    "a request for support",
    &[
        col("status", Text, "open, pending, solved, closed").with_history(),
        col("priority", Text, "low, normal, high, urgent"),
        col("category", Text, "what it is about"),
        col("opened_at", Time, "when it was opened")
            .required()
            .immutable(),
        col("closed_at", Time, "when it was closed").dated_by("closed_at"),
        col(
            "satisfaction",
            Float,
            "the rating given, in the source's scale",
        ),
    ],
);

pub(super) const OBJECTS: TableDef = fact(
    "objects",
    Some("created_at"),
    "a record of a type that a tenant defines",
    &[
        col("object_type", Text, "the type").required().immutable(),
        col("properties", Json, "its fields"),
        col(
            "personal_properties",
            Json,
            "those of them that a mapping calls personal",
        )
        .personal(),
        col("associations", Json, "what it is linked to"),
        col("created_at", Time, "when it was made")
            .required()
            .immutable(),
        col("updated_at", Time, "when it was last changed"),
    ],
);
