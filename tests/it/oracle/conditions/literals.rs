//! Operators, decimals and intervals.

use super::{Dice, answers, hold_conditions, hold_queries, text};

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn operators_bind_as_in_duckdb() {
    const FACTS: [&str; 12] = [
        "is_lead",
        "country = 'DE'",
        "country is distinct from 'DE'",
        "source is not distinct from country",
        "is_lead is distinct from true",
        "source like 'a%'",
        "country in ('DE', 'AT')",
        "person_id between 2 and 5",
        "country || source = 'DEads'",
        "- - person_id + 2 * - 1 > 3",
        "country is null",
        "source is distinct from country || ''",
    ];
    const BEFORE: [&str; 4] = ["", "", "", "not "];
    const AFTER: [&str; 6] = ["", "", "", "", " is true", " is not false"];
    let mut dice = Dice(5);
    let mut conditions = Vec::new();
    for _ in 0..150 {
        let mut condition = String::new();
        for at in 0..2 + dice.roll(4) {
            if at > 0 {
                condition += dice.one(&[" and ", " or "]);
            }
            condition += dice.one(&BEFORE);
            condition += dice.one(&FACTS);
            condition += dice.one(&AFTER);
        }
        conditions.push(condition);
    }
    let refused = hold_conditions(&conditions).await;
    assert_eq!(refused, 0);
}

/// Conditions on `orders`, compared by the ids of the orders that meet them.
async fn hold_orders(conditions: &[&str]) {
    let queries: Vec<_> = conditions
        .iter()
        .map(|condition| format!("select external_id from orders where {condition}"))
        .collect();
    hold_queries(&queries.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn decimals_are_compared_to_the_last_digit() {
    hold_orders(&[
        "total = 69.90",
        "total >= 69.90",
        "total > 69.90",
        "total <= 69.9",
        "total = 69.9000000000",
        "total > 69.900099999999999999999",
        "total < 69.90010000000000000000000000001",
        "total = 4.07 or total = -4.07",
        "total between 4.07 and 17.99",
        "total in (4.07, 0.1, 33.3333)",
        "total not in (4.07, 0.1, 33.3333)",
        "total is distinct from 0.30",
        "case total when 0.3 then true else false end",
        "total * 10 = 699.0",
        "total + 0.1 = 0.2",
        "0.1 + 0.2 = 0.3 and total = 0.3",
        "total * 0.1 = 6.99",
        "total - 0.01 = 69.89",
        "-total = 4.07",
        "total = cast(69.9 as double)",
        "total >= 69.9e0",
        "total > 1e9",
        "total >= 1e-1",
        "cast(total as double) = 69.9",
        "cast(total as double) = 69.90",
        "cast(total as double) in (69.9, 4.07)",
        "cast(total as double) between 4.07 and 17.99",
        "cast(total as double) > 69.8999999999",
        "person_id > 3.5",
        "person_id = 4.0",
        "person_id in (1.0, 2.5)",
        "person_id between 1.5 and 3.5",
        "round(total, 1) = 69.9",
        "abs(total) = 4.07",
        "floor(total) = 69",
        "ceil(total) = 70",
        "coalesce(total, 0.5) = 0.5",
        "nullif(total, 4.07) is null",
        "greatest(total, 69.9) = 69.9",
        "total / 2 > 34.95",
        "total > 99999999999999999999999999999999999999",
        "total < 123456789012345678901234567890123456789012345678",
        "total > -0.00000000000000000000000000000000000000000001",
    ])
    .await;
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn exponents_and_quotients_give_doubles() {
    hold_queries(&[
        "select 1.5e1 * 2",
        "select 1.0 / 4",
        "select total / 2.5 from orders where external_id in ('o12', 'o7')",
        "select sqrt(2.25)",
        "select power(1.5, 2)",
        "select 1e0 / 4",
        "select 1.5 + 2.25",
        "select 7.5 % 2",
    ])
    .await;
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn ages_are_compared_with_intervals() {
    hold_orders(&[
        "now() - placed_at > interval '30 days'",
        "now() - placed_at >= interval '30 days'",
        "now() - placed_at < interval '30 days'",
        "now() - placed_at <= interval '720 hours'",
        "now() - placed_at = interval '30 days'",
        "now() - placed_at = interval '1 month'",
        "now() - placed_at <> interval '1 month'",
        "now() - placed_at > interval '3 months'",
        "now() - placed_at < interval '1 year'",
        "interval '1 day' >= now() - placed_at",
        "now() - placed_at between interval '1 day' and interval '1 month'",
        "now() - placed_at not between interval '1 day' and interval '1 month'",
        "now() - placed_at in (interval '1 day', interval '1 month')",
        "now() - placed_at not in (interval '24 hours', interval '1 month')",
        "now() - placed_at is distinct from interval '1 month'",
        "case now() - placed_at when interval '30 days' then true else false end",
        "now() - placed_at > case when status = 'paid' then interval '1 month' else interval '1 day' end",
        "now() - placed_at > now() - cast('2024-05-31 12:00:00Z' as timestamp with time zone)",
        "now() - placed_at > 3 * interval '10 days'",
        "now() - placed_at > interval '10 days' * 3",
        "now() - placed_at < interval '1 month' / 2",
        "now() - placed_at > person_id * interval '1 month'",
        "placed_at < now() - 3 * interval '1 month'",
        "placed_at < now() + -1 * interval '1 month'",
        "interval '1 month' = interval '30 days'",
        "interval '1 month' > interval '29 days' and interval '1 year' < interval '366 days'",
        "interval '25 hours' > interval '1 day'",
        "nullif(interval '1 month', interval '30 days') is null",
        "date '2024-06-30' - cast(placed_at as date) > 30",
        "date '2024-06-30' - cast(placed_at as date) = 30",
        "placed_at - interval '1 month' > cast('2024-04-30 12:00:00Z' as timestamp with time zone)",
        "now() - placed_at < (select max(now() - placed_at) from orders where status = 'open')",
        "exists (select 1 from people where now() - orders.placed_at = now() - people.created_at)",
        "now() - placed_at in (select now() - created_at from people)",
        "now() - placed_at > all (select interval '1 day')",
    ])
    .await;
    hold_queries(&[
        "select external_id from orders order by now() - placed_at limit 5",
        "select count(*) from orders group by now() - placed_at",
        "select min(now() - placed_at) < interval '1 day' from orders",
        "select max(now() - placed_at) > interval '4 years' from orders",
        "select sum(now() - placed_at) > interval '10 years' from orders",
        "select max(case when status = 'paid' then interval '1 month' else interval '31 days' end) = interval '31 days' from orders",
        "select min(case when status = 'paid' then interval '1 month' else interval '29 days' end) = interval '29 days' from orders",
        "select external_id from (select external_id, case when status = 'paid' then interval '1 month' else interval '29 days' end as d from orders order by d limit 4)",
        "select o.external_id from orders o join people p on now() - o.placed_at = now() - p.created_at",
    ])
    .await;
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn text_compared_with_numbers_keeps_all_digits() {
    let values = "(values ('0.54'), ('0.5'), ('0.46'), ('5'), ('12.5'), ('-3'), (null)) as t(x)";
    let theirs = "cast(x as decimal(38, 18))";
    for condition in [
        "{x} > 0.5",
        "not ({x} > 0.5)",
        "{x} in (0.5, 9.0)",
        "{x} not in (0.5)",
        "{x} between 0.5 and 1.5",
        "{x} > 0",
        "{x} = 5",
        "{x} in (5, 6)",
        "0.5 < {x}",
        "case when {x} > 0.5 then true else false end",
        "{x} is distinct from 0.5",
    ] {
        let query = |x: &str| {
            let condition = condition.replace("{x}", x);
            format!("select coalesce(x, 'none') from {values} where {condition}")
        };
        let expected = answers(&[query(theirs)]);
        let session = super::session().await;
        let mut ours = text(&session.query(&query("x")).await.unwrap());
        ours.sort();
        assert_eq!(ours, expected[0].clone().unwrap(), "{condition}");
    }
    // Text that is no number is null beside a number, and a value where either is chosen.
    let session = super::session().await;
    for (query, expected) in [
        (
            "select count(*) from (values ('a'), ('1')) as t(x) where x > 0",
            "1",
        ),
        (
            "select count(*) from (values ('a'), ('1')) as t(x) where (x > 0) is null",
            "1",
        ),
        (
            "select min(coalesce(x, 0.0)) from (values ('0.54')) as t(x)",
            "0.54",
        ),
        (
            "select count(*) from (values ('0.5')) as t(x) where 1 > '0.5'",
            "1",
        ),
    ] {
        assert_eq!(
            text(&session.query(query).await.unwrap()),
            [expected],
            "{query}"
        );
    }
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn filter_over_a_join_distinguishes_columns_of_the_same_name() {
    let tables = "(select order_id as k, person_id as p, amount as a from (values ('o1', 1, 1), \
                  ('o1', 1, 1), ('o1', 2, 1), ('o9', 2, 1)) as r(order_id, person_id, amount)) x \
                  right join (select external_id as k, person_id as p, total as t from (values \
                  ('o1', 1, 5), ('o2', 2, 6), ('o3', 3, -6)) as o(external_id, person_id, total)) y";
    let queries: Vec<String> = [
        "on x.k = y.k where (x.p = y.p) is not true and y.t >= 0",
        "on x.k = y.k where coalesce(x.p, 0) + y.p >= 3 and y.t >= 0",
        "on x.k = y.k where coalesce(x.k, '') <> y.k and y.t >= 0",
        "on x.p = y.p and x.a + y.t = 7777 where x.p is not distinct from y.p and y.t >= 0",
    ]
    .map(|rest| {
        format!("select y.k || coalesce(x.k, '-') || coalesce(x.p, 0) from {tables} {rest}")
    })
    .into();
    hold_queries(&queries.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn queries_that_the_planner_gets_wrong_are_refused() {
    let session = super::session().await;
    for query in [
        "select person_id from orders o right join people p using (person_id)",
        "select count(person_id) from orders full join people using (person_id)",
        "select 1 from orders natural full join people",
        "select 1 from (orders right join people using (person_id))",
        "select count(*) from orders tablesample system (0 percent)",
        "select count(*) from orders tablesample bernoulli (0)",
        "select person_id from people where exists (select 1 from orders o where o.person_id = \
         people.person_id and o.total > 99 group by rollup(o.status))",
        "select person_id from people p where person_id not in (select o.person_id from orders o \
         where o.total > p.person_id group by cube(o.person_id))",
    ] {
        let Err(error) = session.query(query).await else {
            panic!("{query} is taken");
        };
        let said = error.to_string();
        assert!(said.starts_with("not supported: "), "{query}: {said}");
    }
    for query in [
        "select person_id from orders o left join people p using (person_id)",
        "select count(*) from orders natural join people",
        "select status from orders group by rollup(status)",
    ] {
        assert!(session.query(query).await.is_ok(), "{query}");
    }
}
