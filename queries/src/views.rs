//! What several texts mean by the same word, written once: views that every session has.

/// The views by name, each after those that it reads.
pub const VIEWS: [(&str, &str); 4] = [
    ("_rates", include_str!("../views/rates.sql")),
    ("_orders", include_str!("../views/orders.sql")),
    ("_sales", include_str!("../views/sales.sql")),
    ("_purchases", include_str!("../views/purchases.sql")),
];
