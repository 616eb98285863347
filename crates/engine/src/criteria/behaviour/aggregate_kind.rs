//! Figures that come from the persons and times of rows alone.

/// The views whose rows are kept, and what gives them: the person, the time by which windows take a
/// row, the time from which it is seen at all, and an amount where there is one. None of it depends
/// on the moment that is looked from.
pub(crate) const KEPT: [(&str, &str); 3] = [
    (
        "_fact_orders_placed",
        "select person_id, at, at as seen from _fact_orders_placed \
         where person_id <> 0 order by person_id",
    ),
    (
        "_fact_orders_paid",
        "select person_id, at, greatest(at, placed_at) as seen from _fact_orders_paid \
         where person_id <> 0 order by person_id",
    ),
    (
        "_spending",
        "select person_id, at, greatest(at, placed_at, revenue_at) as seen, converted \
         from _spending where person_id <> 0 order by person_id",
    ),
];

/// What is figured from the rows of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    /// How many there are.
    Count,
    /// The time of the first; null where there is none.
    First,
    /// The time of the last; null where there is none.
    Last,
    /// The sum of their amounts.
    Sum,
}

/// What is figured from the rows of a person in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowAggregate {
    /// From the first moment on, before the second, in microseconds.
    pub(crate) window: [i64; 2],
    pub(crate) aggregate_kind: AggregateKind,
}

/// Whether the rows of a view are kept.
pub(crate) fn is_cached(relation: &str) -> bool {
    KEPT.iter().any(|(kept, _)| *kept == relation)
}
