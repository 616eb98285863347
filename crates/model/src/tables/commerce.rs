//! Orders, payments, refunds, shipments, products, carts and subscriptions.

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
        money("discount", "discount on the order"),
        money("tax", "tax charged"),
        money("shipping", "shipping charged"),
        money("total", "amount that the buyer has to pay"),
        col("placed_at", Time, "when it was placed")
            .required()
            .immutable(),
        col("paid_at", Time, "when it was paid").dated_by("paid_at"),
        col("cancelled_at", Time, "when it was cancelled").dated_by("cancelled_at"),
        col("source_name", Text, "sales channel, such as web or pos").immutable(),
        col(
            "campaign_id",
            Text,
            "external id of the campaign to which the source credits the order",
        ),
    ],
);

pub(super) const ORDER_STATUS_HISTORY: TableDef = fact(
    "order_status_history",
    Some("changed_at"),
    "a change of an order's status",
    &[
        col("order_id", Text, "external id of the order").required(),
        col("from_status", Text, "status before the change").immutable(),
        col("to_status", Text, "status after the change")
            .required()
            .immutable(),
        col("changed_at", Time, "when the status changed")
            .required()
            .immutable(),
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
        col("line", Int, "number of the line in the order, from 1").immutable(),
        col("product_id", Text, "external id of the product").immutable(),
        col("sku", Text, "stock keeping unit").immutable(),
        col(
            "title",
            Text,
            "name of the product at the time, as in the shop",
        )
        .immutable(),
        col("category", Text, "category of the product at the time").immutable(),
        col("quantity", Decimal, "quantity ordered")
            .unit("pieces")
            .immutable(),
        money("unit_price", "price of one piece").immutable(),
        money("discount", "discount on the line").immutable(),
        money("total", "quantity × unit price − discount").immutable(),
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
        money("amount", "amount paid").required().immutable(),
        col("currency", Text, "ISO 4217 code of the amount").immutable(),
        col("installments", Int, "number of installments").immutable(),
        col(
            "at",
            Time,
            "when it was paid; empty if neither the source nor the order has a time",
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
            "external id of the order line, if the source names one",
        )
        .immutable(),
        money("amount", "amount refunded").required().immutable(),
        col("currency", Text, "ISO 4217 code of the amount").immutable(),
        col("refunded_at", Time, "when it was refunded")
            .required()
            .immutable(),
        col(
            "is_time_estimated",
            Bool,
            "true if the source has no time for the refund itself",
        )
        .immutable(),
    ],
);

pub(super) const SHIPMENTS: TableDef = fact(
    "shipments",
    Some("shipped_at"),
    "a shipment of goods",
    &[
        col("order_id", Text, "external id of the order").immutable(),
        col("carrier", Text, "carrier, such as DHL"),
        col("status", Text, "status as in the source"),
        col("shipped_at", Time, "when it was shipped")
            .required()
            .immutable(),
        col("delivered_at", Time, "when it was delivered").dated_by("delivered_at"),
    ],
);

pub(super) const CARTS: TableDef = fact(
    "carts",
    Some("created_at"),
    "a shopping cart: open, abandoned or recovered",
    &[
        col("status", Text, "open, abandoned or recovered"),
        money("value", "value of its content"),
        col("currency", Text, "ISO 4217 code of the value"),
        col(
            "order_id",
            Text,
            "external id of the order that was made from it",
        ),
        col("created_at", Time, "when it was created")
            .required()
            .immutable(),
        col("abandoned_at", Time, "when it was abandoned").dated_by("abandoned_at"),
    ],
);

pub(super) const PRODUCTS: TableDef = reference(
    "products",
    "a product for sale; a variant refers to its parent product",
    &[
        col(
            "parent_id",
            Text,
            "external id of the product of which it is a variant",
        ),
        col("name", Text, "name of the product"),
        col("sku", Text, "stock keeping unit"),
        col("category", Text, "category of the product"),
        money("price", "list price"),
        col("currency", Text, "ISO 4217 code of the price"),
        col("is_active", Bool, "whether it can be bought"),
        col("properties", Json, "other fields of the source"),
    ],
);

pub(super) const SUBSCRIPTIONS: TableDef = fact(
    "subscriptions",
    Some("started_at"),
    "a subscription: a recurring contract",
    &[
        col("plan", Text, "name of the plan"),
        col("status", Text, "active, paused, cancelled …").with_history(),
        money("amount", "amount charged per interval"),
        col("currency", Text, "ISO 4217 code of the amount"),
        col("interval", Text, "month, year …"),
        col("started_at", Time, "when it started")
            .required()
            .immutable(),
        col("renews_at", Time, "when it renews and is charged next"),
        col("cancelled_at", Time, "when it was cancelled").dated_by("cancelled_at"),
    ],
);
