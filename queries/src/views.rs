//! Views that several statements use; every session has them.

/// The views by name, each after those that it reads.
pub const VIEWS: [(&str, &str); 8] = [
    ("_rates", include_str!("../views/rates.sql")),
    ("_orders", include_str!("../views/orders.sql")),
    ("_sales", include_str!("../views/sales.sql")),
    ("_lost_refunds", include_str!("../views/lost_refunds.sql")),
    (
        "_lost_order_lines",
        include_str!("../views/lost_order_lines.sql"),
    ),
    ("_spending", include_str!("../views/spending.sql")),
    ("_purchases", include_str!("../views/purchases.sql")),
    ("roles", include_str!("../views/roles.sql")),
];

/// The rows that behaviour functions count, by the name of the view: each has a person and a time `at`.
pub const FACTS: [(&str, &str); 10] = [
    ("_fact_activities", include_str!("../facts/activities.sql")),
    (
        "_fact_orders_placed",
        include_str!("../facts/orders_placed.sql"),
    ),
    (
        "_fact_orders_paid",
        include_str!("../facts/orders_paid.sql"),
    ),
    (
        "_fact_orders_refunded",
        include_str!("../facts/orders_refunded.sql"),
    ),
    (
        "_fact_order_lines",
        include_str!("../facts/order_lines.sql"),
    ),
    ("_fact_deals", include_str!("../facts/deals.sql")),
    ("_fact_deals_won", include_str!("../facts/deals_won.sql")),
    ("_fact_deals_lost", include_str!("../facts/deals_lost.sql")),
    ("_fact_tickets", include_str!("../facts/tickets.sql")),
    ("_fact_objects", include_str!("../facts/objects.sql")),
];

/// Rows of the session's persons in tables whose rows count for the persons of orders: the view, the table,
/// and the SQL in a session over all persons.
pub const OWN: [(&str, &str, &str); 2] = [
    ("_own_refunds", "refunds", "select * from refunds"),
    (
        "_own_order_lines",
        "order_lines",
        "select * from order_lines",
    ),
];

/// The orders of the session's persons, whenever they were placed.
pub const STORED_ORDERS: &str = "_stored_orders";

/// The orders of all other persons; none in a session over all persons.
pub const OTHER_ORDERS: &str = "_other_orders";
