//! What several texts mean by the same word, written once: views that every session has.

/// The views by name, each after those that it reads.
pub const VIEWS: [(&str, &str); 6] = [
    ("_rates", include_str!("../views/rates.sql")),
    ("_orders", include_str!("../views/orders.sql")),
    ("_sales", include_str!("../views/sales.sql")),
    ("_spending", include_str!("../views/spending.sql")),
    ("_purchases", include_str!("../views/purchases.sql")),
    ("roles", include_str!("../views/roles.sql")),
];

/// What behaviour functions count, by the name of its view: each row has a person and a time `at`.
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
