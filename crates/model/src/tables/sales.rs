//! Deals and the stages that they pass.

use super::{fact, reference};
use crate::table::ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const DEALS: TableDef = fact(
    "deals",
    Some("created_at"),
    "a sale that is being worked on, was won or was lost",
    &[
        col("organization_id", Text, "external id of the organization"),
        col("pipeline", Text, "external id of the pipeline"),
        col("stage", Text, "stage in the pipeline").with_history(),
        col("status", Text, "open, won or lost")
            .required()
            .dated_by("closed_at"),
        col("lost_reason", Text, "why it was lost").dated_by("closed_at"),
        col("name", Text, "its title"),
        col("value", Decimal, "what it is worth").unit("currency"),
        col("currency", Text, "ISO 4217 code of the value"),
        col("probability", Float, "chance of winning, 0 to 1"),
        col("owner", Text, "the user who works on it"),
        col("expected_close_date", Date, "when it should close"),
        col("is_recurring", Bool, "whether the value comes again"),
        col("custom", Json, "fields of the source without a column here"),
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
        col("quantity", Decimal, "how many").unit("pieces"),
        col("unit_price", Decimal, "price of one").unit("currency"),
        col("discount", Decimal, "what was taken off").unit("currency"),
        col("total", Decimal, "quantity × unit price less discount").unit("currency"),
        col("currency", Text, "ISO 4217 code of its amounts"),
    ],
);

pub(super) const DEAL_STAGES: TableDef = fact(
    "deal_stages",
    Some("changed_at"),
    "a deal's move from one stage to another",
    &[
        col("deal_id", Text, "external id of the deal")
            .required()
            .immutable(),
        col("from_stage", Text, "before").immutable(),
        col("to_stage", Text, "after").required().immutable(),
        col("changed_at", Time, "when").required().immutable(),
        col("changed_by", Text, "the user who moved it").immutable(),
    ],
);

pub(super) const PIPELINES: TableDef = reference(
    "pipelines",
    "a stage of a sales pipeline",
    &[
        col("pipeline", Text, "the pipeline").required(),
        col("stage", Text, "the stage").required(),
        col("position", Int, "its place, from 0"),
        col("probability", Float, "chance of winning from here, 0 to 1"),
        col("is_won", Bool, "whether reaching it wins the deal"),
        col("is_lost", Bool, "whether reaching it loses the deal"),
    ],
);
