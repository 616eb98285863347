//! Atoms on the columns and traits of `people`, and queries for persons.

use super::{Atom, Draw, Rows};
use crate::oracle::differential::facts;
use crate::oracle::differential::when::When;

pub(super) const FORMS: &[fn(&mut Draw<'_>) -> Atom] = &[
    place,
    distinct,
    place,
    flag,
    distinct,
    label,
    order_trait,
    order_trait,
    money,
    average,
    unconverted,
    deal_trait,
    deal_trait,
    open_tickets,
    last_activity,
    divided,
    newest,
];

pub(super) const ONCE: &[fn(&mut Draw<'_>) -> Atom] = &[of_the_clock, with_a_query];

fn place(draw: &mut Draw<'_>) -> Atom {
    let (column, places) = draw.values.place;
    let (one, other) = (places[0], draw.of(&places[1..]));
    let condition = match draw.below(6) {
        0 => format!("{column} = '{one}'"),
        1 => format!("{column} <> '{other}'"),
        2 => format!("{column} not in ('{one}', '{other}')"),
        3 => format!("{column} is distinct from '{one}'"),
        4 => format!("{column} is null"),
        _ => format!("case when {column} = '{one}' then is_lead else {column} = '{other}' end"),
    };
    Atom::new(condition.clone(), Vec::new(), condition)
}

/// The expression after `from` is only what is compared, and has a higher precedence than `and`.
fn distinct(draw: &mut Draw<'_>) -> Atom {
    let (column, places) = draw.values.place;
    let place = draw.of(places);
    let condition = match draw.below(4) {
        0 => format!("{column} is distinct from '{place}'"),
        1 => format!("{column} is not distinct from '{place}'"),
        2 => "vip_status is distinct from true".to_owned(),
        _ => "is_lead is not distinct from true".to_owned(),
    };
    Atom::new(condition.clone(), Vec::new(), condition)
}

fn flag(draw: &mut Draw<'_>) -> Atom {
    let condition = draw.of(&[
        "is_lead",
        "not is_customer",
        "is_lead is not true",
        "vip_status",
    ]);
    Atom::new(condition, Vec::new(), condition)
}

fn label(draw: &mut Draw<'_>) -> Atom {
    match draw.below(2) {
        0 => {
            let condition = "array_has(tags, 'newsletter')";
            Atom::new(condition, Vec::new(), condition)
        }
        _ => {
            let interval = draw.interval();
            let since = |now: &str| format!("created_at >= {now} - interval '{interval}'");
            Atom::new(since("now()"), Vec::new(), since("{now}"))
        }
    }
}

fn orders(aggregate: &str) -> Vec<String> {
    let rows = facts::of_type("order_placed");
    vec![format!(
        "select person_id, {aggregate} as v from ({rows}) group by person_id"
    )]
}

fn order_trait(draw: &mut Draw<'_>) -> Atom {
    let (interval, number) = (draw.interval(), draw.below(3));
    match draw.below(4) {
        0 => {
            let (criteria, met) = (
                format!("order_count > {number}"),
                format!("coalesce(a.v, 0) > {number}"),
            );
            Atom::new(criteria, orders("count(*)"), met)
        }
        1 => {
            let (criteria, met) = (
                format!("first_order_at >= now() - interval '{interval}'"),
                format!("a.v >= {{now}} - interval '{interval}'"),
            );
            Atom::new(criteria, orders("min(placed_at)"), met)
        }
        2 => {
            let (criteria, met) = (
                format!("last_order_at < now() - interval '{interval}'"),
                format!("a.v < {{now}} - interval '{interval}'"),
            );
            Atom::new(criteria, orders("max(placed_at)"), met)
        }
        _ => {
            let rows = facts::of_type("order_paid");
            let paid = format!("select person_id, count(*) as v from ({rows}) group by person_id");
            let (criteria, met) = (
                format!("paid_order_count <= {number}"),
                format!("coalesce(a.v, 0) <= {number}"),
            );
            Atom::new(criteria, vec![paid], met)
        }
    }
}

fn spent(draw: &Draw<'_>, aggregate: &str) -> Vec<String> {
    let rows = facts::spent(draw.values);
    vec![format!(
        "select person_id, {aggregate} from ({rows}) group by person_id"
    )]
}

fn money(draw: &mut Draw<'_>) -> Atom {
    let compared = draw.of(&["> 150", "= 0", "between 40.25 and 300", "< 90"]);
    let (criteria, met) = (
        format!("total_spent {compared}"),
        format!("coalesce(a.v, 0) {compared}"),
    );
    Atom::new(criteria, spent(draw, "sum(converted) as v"), met)
}

/// Spending of orders that count; unknown without one.
fn average(draw: &mut Draw<'_>) -> Atom {
    let amount = draw.of(&["60.5", "110.5"]);
    let aggregates = "sum(converted) as v, count(*) filter (where is_order) as n";
    let met = format!("coalesce(a.v, 0) > {amount} * nullif(a.n, 0)");
    Atom::new(
        format!("average_order_value > {amount}"),
        spent(draw, aggregates),
        met,
    )
}

fn unconverted(draw: &mut Draw<'_>) -> Atom {
    let aggregate = "count(*) filter (where amount is not null and converted is null) as v";
    let joined = spent(draw, aggregate);
    Atom::new(
        "unconverted_amount_count > 0",
        joined,
        "coalesce(a.v, 0) > 0",
    )
}

fn deal_trait(draw: &mut Draw<'_>) -> Atom {
    let (criteria, aggregate, met) = match draw.below(4) {
        0 => (
            "open_deal_count >= 1",
            "count(*) filter (where is_open)",
            "coalesce(a.v, 0) >= 1",
        ),
        1 => (
            "open_deal_value > 2500",
            "sum(converted) filter (where is_open)",
            "coalesce(a.v, 0) > 2500",
        ),
        2 => (
            "won_deal_value < 5000",
            "sum(converted) filter (where is_won)",
            "coalesce(a.v, 0) < 5000",
        ),
        _ => (
            "unconverted_deal_count = 0",
            "count(*) filter (where value is not null and converted is null)",
            "coalesce(a.v, 0) = 0",
        ),
    };
    let rows = facts::worth(draw.values);
    let joined = format!("select person_id, {aggregate} as v from ({rows}) group by person_id");
    Atom::new(criteria, vec![joined], met)
}

fn open_tickets(_draw: &mut Draw<'_>) -> Atom {
    let rows = facts::tickets();
    let is_open = "closed_at > {now} or (closed_at is null and (status is null or status not in \
                   ('solved', 'closed')))";
    let joined =
        format!("select person_id, count(*) as v from ({rows}) where {is_open} group by person_id");
    Atom::new(
        "open_ticket_count > 0",
        vec![joined],
        "coalesce(a.v, 0) > 0",
    )
}

fn activities(condition: &str) -> Vec<String> {
    vec![format!(
        "select person_id, max(occurred_at) as v from activities where occurred_at <= {{now}}\
         {condition} group by person_id"
    )]
}

fn last_activity(draw: &mut Draw<'_>) -> Atom {
    match draw.below(2) {
        0 => {
            let criteria = "last_activity_at < current_date - interval '20 days'";
            let met = "a.v < date_trunc('day', {now}) - interval '20 days'";
            Atom::new(criteria, activities(""), met)
        }
        _ => {
            let interval = draw.interval();
            let (criteria, met) = (
                format!("last_activity_at > now() - interval '{interval}'"),
                format!("a.v > {{now}} - interval '{interval}'"),
            );
            Atom::new(criteria, activities(""), met)
        }
    }
}

/// Unknown for persons who never ordered.
fn divided(draw: &mut Draw<'_>) -> Atom {
    let mut joined = spent(draw, "sum(converted) as v");
    joined.extend(orders("count(*)"));
    let criteria = "total_spent / nullif(order_count, 0) >= 75.125";
    // No order is not none at all, but nothing to divide by.
    let met = "coalesce(a.v, 0) >= 75.125 * b.v";
    Atom::new(criteria, joined, met)
}

/// Uses of the clock other than as a threshold. In that month the clock concerns all persons, so worlds begin
/// in another month.
fn of_the_clock(draw: &mut Draw<'_>) -> Atom {
    let month = draw.of(&["4", "7"]);
    let condition = |now: &str| format!("date_part('month', {now}) = {month} or is_lead");
    Atom::new(condition("now()"), Vec::new(), condition("{now}"))
}

fn with_a_query(draw: &mut Draw<'_>) -> Atom {
    let number = draw.below(2) + 1;
    let criteria = format!(
        "person_id in (select person_id from orders group by 1 having count(*) > {number})"
    );
    Atom::new(
        criteria,
        orders("count(*)"),
        format!("coalesce(a.v, 0) > {number}"),
    )
}

/// The later of two times, either of which may be missing.
fn newest(draw: &mut Draw<'_>) -> Atom {
    let (kind, interval) = (draw.of(draw.values.activities), draw.interval());
    let criteria =
        format!("coalesce(last_time('{kind}'), last_order_at) >= now() - interval '{interval}'");
    let mut joined = activities(&format!(" and type = '{kind}'"));
    joined.extend(orders("max(placed_at)"));
    let met = format!("coalesce(a.v, b.v) >= {{now}} - interval '{interval}'");
    Atom::new(criteria, joined, met)
}

pub(super) fn selects(draw: &mut Draw<'_>) -> Vec<Atom> {
    let (kind, interval) = (draw.of(draw.values.activities), draw.interval());
    let within = Rows::new(&facts::of_type(kind), &When::Within(interval), None);
    let (column, places) = draw.values.place;
    vec![
        Atom::new(
            format!(
                "select person_id from activities where type = '{kind}' and occurred_at > now() - \
                 interval '{interval}'"
            ),
            vec![within.each("count(*)")],
            "coalesce(a.v, 0) > 0",
        ),
        Atom::new(
            format!("select person_id from people where total_spent > 80 or {column} is null"),
            spent(draw, "sum(converted) as v"),
            format!("coalesce(a.v, 0) > 80 or {column} is null"),
        ),
        Atom::new(
            format!(
                "select o.person_id from orders o join people p using (person_id) where o.total > \
                 100 and p.{column} <> '{}'",
                places[0]
            ),
            vec![format!(
                "select person_id, count(*) as v from ({}) where total > 100 group by person_id",
                facts::of_type("order_placed")
            )],
            format!("a.v > 0 and {column} <> '{}'", places[0]),
        ),
    ]
}
