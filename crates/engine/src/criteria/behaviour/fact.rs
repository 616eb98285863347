//! The facts that behaviour is made of, by the names that criteria have for them.

use rollbook_model::Timestamp;

/// Rows of a kind, and which of them are meant.
#[derive(Debug)]
pub(crate) struct Fact {
    /// The view that has them.
    pub(crate) relation: &'static str,
    /// The type of activity, where it is nothing but that.
    pub(crate) kind: Option<String>,
    /// A condition on its columns.
    pub(crate) condition: Option<String>,
    /// Whether the view hides what happens later than the moment that is looked from.
    pub(crate) is_past: bool,
}

/// Types that follow from other tables than `activities`.
const RESERVED: [(&str, &str, bool); 6] = [
    ("order_placed", "_fact_orders_placed", true),
    ("order_paid", "_fact_orders_paid", false),
    ("order_refunded", "_fact_orders_refunded", true),
    ("deal_created", "_fact_deals", false),
    ("deal_won", "_fact_deals_won", false),
    ("deal_lost", "_fact_deals_lost", false),
];

/// What a type of behaviour means.
pub(crate) fn of_type(name: &str) -> Fact {
    match RESERVED.iter().find(|(reserved, ..)| *reserved == name) {
        Some((_, relation, is_past)) => Fact {
            relation,
            kind: None,
            condition: None,
            is_past: *is_past,
        },
        None => Fact {
            relation: "_fact_activities",
            kind: Some(name.to_owned()),
            condition: Some(format!("type = {}", quoted(name))),
            is_past: true,
        },
    }
}

/// Rows of another view, with a condition for each column that has a value.
pub(crate) fn of_view(relation: &'static str, values: &[(&str, Option<String>)]) -> Fact {
    let values = values.iter();
    let conditions: Vec<_> = values
        .filter_map(|(column, value)| Some(format!("{column} = {}", quoted(value.as_ref()?))))
        .collect();
    Fact {
        relation,
        kind: None,
        condition: (!conditions.is_empty()).then(|| conditions.join(" and ")),
        is_past: false,
    }
}

/// A text of SQL.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A moment in SQL.
pub(crate) fn literal(at: Timestamp) -> String {
    // Of the precision of the lake: no moment is out of its range.
    let ty = "Timestamp(Microsecond, Some(\"UTC\"))";
    format!("arrow_cast({}, '{ty}')", at.micros())
}
