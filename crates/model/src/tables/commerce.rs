//! What persons order, pay, return and receive.

use super::{fact, reference};
use crate::table::ColumnType::{Bool, Decimal, Int, Json, Text, Time};
use crate::table::{ColumnDef, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

const fn money(name: &'static str, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, Decimal, meaning).unit("currency")
}

pub(super) const ORDERS: TableDef = fact(
    "orders",
    Some("placed_at"),
    "an order",
    &[
        col(
            "status",
            Text,
            "paid, partially_paid, fulfilled, completed, refunded, pending …",
        )
        .with_history(),
        col("currency", Text, "ISO 4217 code of its amounts").immutable(),
        money("subtotal", "lines before tax and shipping"),
        money("discount", "what was taken off"),
        money("tax", "tax"),
        money("shipping", "shipping charged"),
        money("total", "what the buyer owes"),
        col("placed_at", Time, "when it was placed")
            .required()
            .immutable(),
        col("paid_at", Time, "when it was paid").dated_by("paid_at"),
        col("cancelled_at", Time, "when it was cancelled").dated_by("cancelled_at"),
        col("source_name", Text, "the sales channel, such as web or pos").immutable(),
        col(
            "campaign_id",
            Text,
            "external id of the campaign it is credited to by the source",
        ),
    ],
);

pub(super) const ORDER_STATUS_HISTORY: TableDef = fact(
    "order_status_history",
    Some("changed_at"),
    "a change of an order's status",
    &[
        col("order_id", Text, "external id of the order").required(),
        col("from_status", Text, "before").immutable(),
        col("to_status", Text, "after").required().immutable(),
        col("changed_at", Time, "when").required().immutable(),
    ],
);

pub(super) const ORDER_LINES: TableDef = fact(
    "order_lines",
    Some("placed_at"),
    "a line of an order",
    &[
        col("order_id", Text, "external id of the order")
            .required()
            .immutable(),
        col("line", Int, "its place in the order, from 1").immutable(),
        col("product_id", Text, "external id of the product").immutable(),
        col("sku", Text, "stock keeping unit").immutable(),
        col("title", Text, "what was bought, in the shop's words").immutable(),
        col(
            "category",
            Text,
            "the product's category when it was bought",
        )
        .immutable(),
        col("quantity", Decimal, "how many")
            .unit("pieces")
            .immutable(),
        money("unit_price", "price of one").immutable(),
        money("discount", "what was taken off the line").immutable(),
        money("total", "quantity × unit price less discount").immutable(),
        col("currency", Text, "ISO 4217 code of its amounts").immutable(),
        col("placed_at", Time, "when its order was placed")
            .required()
            .immutable(),
    ],
);

pub(super) const PAYMENTS: TableDef = fact(
    "payments",
    Some("at"),
    "a payment for an order",
    &[
        col("order_id", Text, "external id of the order")
            .required()
            .immutable(),
        col("method", Text, "card, voucher, transfer …").immutable(),
        money("amount", "what was paid").required().immutable(),
        col("currency", Text, "ISO 4217 code of the amount").immutable(),
        col("installments", Int, "in how many parts it is paid").immutable(),
        col(
            "at",
            Time,
            "when; empty where neither the source nor the order tells",
        )
        .immutable(),
    ],
);

pub(super) const REFUNDS: TableDef = fact(
    "refunds",
    Some("refunded_at"),
    "money given back for an order",
    &[
        col("order_id", Text, "external id of the order")
            .required()
            .immutable(),
        col(
            "line_id",
            Text,
            "external id of the line, where the source names one",
        )
        .immutable(),
        money("amount", "what was given back")
            .required()
            .immutable(),
        col("currency", Text, "ISO 4217 code of the amount").immutable(),
        col("refunded_at", Time, "when").required().immutable(),
        col(
            "is_time_estimated",
            Bool,
            "true where the source has no time for the refund itself",
        )
        .immutable(),
    ],
);

pub(super) const SHIPMENTS: TableDef = fact(
    "shipments",
    Some("shipped_at"),
    "goods on their way",
    &[
        col("order_id", Text, "external id of the order").immutable(),
        col("carrier", Text, "who carries it"),
        col("status", Text, "status in the source's words"),
        col("shipped_at", Time, "when it left")
            .required()
            .immutable(),
        col("delivered_at", Time, "when it arrived").dated_by("delivered_at"),
    ],
);

pub(super) const CARTS: TableDef = fact(
    "carts",
    Some("created_at"),
    "a cart that was left without an order",
    &[
        col("status", Text, "open, abandoned or recovered"),
        money("value", "value of what is in it"),
        col("currency", Text, "ISO 4217 code of the value"),
        col("order_id", Text, "external id of the order it became"),
        col("created_at", Time, "when it was begun")
            .required()
            .immutable(),
        col("abandoned_at", Time, "when it was given up").dated_by("abandoned_at"),
    ],
);

pub(super) const PRODUCTS: TableDef = reference(
    "products",
    "something that is sold; variants name their parent",
    &[
        col(
            "parent_id",
            Text,
            "external id of the product it is a variant of",
        ),
        col("name", Text, "its name"),
        col("sku", Text, "stock keeping unit"),
        col("category", Text, "its category"),
        money("price", "list price"),
        col("currency", Text, "ISO 4217 code of the price"),
        col("is_active", Bool, "whether it is on sale"),
        col(
            "properties",
            Json,
            "fields of the source without a column here",
        ),
    ],
);

pub(super) const SUBSCRIPTIONS: TableDef = fact(
    "subscriptions",
    Some("started_at"),
    "a recurring contract",
    &[
        col("plan", Text, "what is subscribed to"),
        col("status", Text, "active, paused, cancelled …").with_history(),
        money("amount", "charged per interval"),
        col("currency", Text, "ISO 4217 code of the amount"),
        col("interval", Text, "month, year …"),
        col("started_at", Time, "when it began")
            .required()
            .immutable(),
        col("renews_at", Time, "when it is charged next"),
        col("cancelled_at", Time, "when it was cancelled").dated_by("cancelled_at"),
    ],
);
