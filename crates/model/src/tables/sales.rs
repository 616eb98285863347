//! Deals and the stages of pipelines.

use super::{fact, reference};
use crate::table::ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const DEALS: TableDef = fact(
    "deals",
    Some("created_at"),
    "a sales opportunity: open, won or lost",
    &[
        col("organization_id", Text, "external id of the organization"),
        col("pipeline", Text, "external id of the pipeline"),
        col("stage", Text, "stage in the pipeline").with_history(),
        col("status", Text, "open, won or lost")
            .required()
            .dated_by("closed_at"),
        col("lost_reason", Text, "why it was lost").dated_by("closed_at"),
        col("name", Text, "title of the deal"),
        col("value", Decimal, "value of the deal").unit("currency"),
        col("currency", Text, "ISO 4217 code of the value"),
        col("probability", Float, "probability of winning, from 0 to 1"),
        col("owner", Text, "user who is responsible for it"),
        col(
            "expected_close_date",
            Date,
            "day on which it is expected to close",
        ),
        col("is_recurring", Bool, "whether the value recurs"),
        col("custom", Json, "other fields of the source"),
        col("created_at", Time, "when it was opened")
            .required()
            .immutable(),
        col("closed_at", Time, "when it was won or lost").dated_by("closed_at"),
        col("updated_at", Time, "when the source last changed it"),
    ],
);

pub(super) const DEAL_LINES: TableDef = fact(
    "deal_lines",
    None,
    "a product in a deal",
    &[
        col("deal_id", Text, "external id of the deal").required(),
        col("product_id", Text, "external id of the product"),
        col("quantity", Decimal, "quantity").unit("pieces"),
        col("unit_price", Decimal, "price of one piece").unit("currency"),
        col("discount", Decimal, "discount").unit("currency"),
        col("total", Decimal, "quantity × unit price − discount").unit("currency"),
        col("currency", Text, "ISO 4217 code of its amounts"),
    ],
);

pub(super) const DEAL_STAGES: TableDef = fact(
    "deal_stages",
    Some("changed_at"),
    "a move of a deal from one stage to another",
    &[
        col("deal_id", Text, "external id of the deal")
            .required()
            .immutable(),
        col("from_stage", Text, "stage before the move").immutable(),
        col("to_stage", Text, "stage after the move")
            .required()
            .immutable(),
        col("changed_at", Time, "when the deal moved")
            .required()
            .immutable(),
        col("changed_by", Text, "user who moved it").immutable(),
    ],
);

pub(super) const PIPELINES: TableDef = reference(
    "pipelines",
    "a stage of a sales pipeline",
    &[
        col("pipeline", Text, "external id of the pipeline").required(),
        col("stage", Text, "name of the stage").required(),
        col("position", Int, "position of the stage, from 0"),
        col(
            "probability",
            Float,
            "probability of winning a deal in this stage, from 0 to 1",
        ),
        col("is_won", Bool, "whether a deal in this stage is won"),
        col("is_lost", Bool, "whether a deal in this stage is lost"),
    ],
);
