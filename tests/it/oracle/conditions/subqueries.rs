//! Subqueries in conditions.

use super::{Dice, hold_conditions, person_ids};

const VALUES: [&str; 7] = [
    "country",
    "source",
    "'ads'",
    "'zzz'",
    "people.country",
    "coalesce(source, 'web')",
    "nullif(country, 'DE')",
];
const GIVEN: [&str; 7] = [
    "source_name",
    "o.source_name",
    "status",
    "coalesce(o.source_name, 'DE')",
    "nullif(o.source_name, 'ads')",
    "'ads'",
    "distinct o.source_name",
];
const OWN: [&str; 4] = [
    "country",
    "source",
    "nullif(country, 'DE')",
    "distinct source",
];
const OWN_WHICH: [&str; 4] = ["true", "is_lead", "country is not null", "source = 'ads'"];
const WHICH: [&str; 12] = [
    "true",
    "true",
    "o.person_id = people.person_id",
    "o.person_id = people.person_id",
    "o.person_id = people.person_id and total > 20",
    "total > 69.90",
    "o.source_name = people.source",
    "o.source_name is not null",
    "o.person_id <> people.person_id and status = 'paid'",
    "1 = 0",
    "o.source_name is null",
    "o.person_id > people.person_id",
];
const MORE: [&str; 5] = [
    "o.source_name not in (select country from people p where p.person_id = o.person_id)",
    "o.source_name in (select p.source from people p)",
    "not exists (select 1 from people p where p.country = o.source_name)",
    "o.total >= (select avg(i.total) from orders i where i.person_id = o.person_id)",
    "o.total = (select max(total) from orders)",
];

fn rows(dice: &mut Dice, given: &str) -> String {
    let mut sql = format!("select {given} from orders o where {}", dice.one(&WHICH));
    if dice.roll(6) == 0 {
        sql += " and ";
        sql += dice.one(&MORE);
    }
    sql
}

fn texts(dice: &mut Dice) -> String {
    let given = dice.one(&GIVEN);
    let mut sql = rows(dice, given);
    match dice.roll(12) {
        0 => sql = rows(dice, "max(o.source_name)"),
        1 => sql = rows(dice, "o.source_name") + " group by o.source_name having count(*) > 1",
        2 => sql += " order by 1",
        3 => sql = format!("select * from ({}) as q", rows(dice, "o.source_name")),
        4 => sql = format!("{sql} union all select country from people p"),
        5 => {
            sql = format!(
                "select {} from people where {}",
                dice.one(&OWN),
                dice.one(&OWN_WHICH)
            )
        }
        _ => {}
    }
    sql
}

fn fact(dice: &mut Dice) -> String {
    let value = dice.one(&VALUES);
    match dice.roll(22) {
        0 | 1 => format!("{value} in ({})", texts(dice)),
        2..=5 => format!("{value} not in ({})", texts(dice)),
        6 => format!("not {value} in ({})", texts(dice)),
        7 => format!("not ({value} not in ({}))", texts(dice)),
        8 => format!("({value} in ({})) is null", texts(dice)),
        9 => format!("({value} not in ({})) is not true", texts(dice)),
        10 => format!("coalesce({value} in ({}), true)", texts(dice)),
        11 => format!(
            "case when {value} not in ({}) then is_lead else country is null end",
            texts(dice)
        ),
        12 => format!("exists ({})", texts(dice)),
        13 => format!("not exists ({})", texts(dice)),
        14 => format!("exists ({} limit 1)", rows(dice, "1")),
        15 => format!("exists ({})", rows(dice, "count(*)")),
        16 => format!(
            "{value} {} {} ({})",
            dice.one(&["=", "<>", "<", ">="]),
            dice.one(&["any", "all"]),
            texts(dice)
        ),
        17 => format!(
            "({}) {} {}",
            rows(dice, "count(*)"),
            dice.one(&["=", ">", "<"]),
            dice.roll(3)
        ),
        18 => format!("({}) > 69.90", rows(dice, "sum(total)")),
        19 => format!("{value} = ({})", rows(dice, "min(o.source_name)")),
        20 => format!("({}) is null", rows(dice, "max(total)")),
        _ => format!(
            "person_id {} ({})",
            dice.one(&["in", "not in"]),
            rows(dice, "o.person_id")
        ),
    }
}

fn condition(dice: &mut Dice) -> String {
    let fact_of = fact(dice);
    match dice.roll(8) {
        0 => format!("{fact_of} and is_lead"),
        1 => format!("{fact_of} or country = 'AT'"),
        2 => format!("({fact_of}) = is_lead"),
        3 => format!("not ({fact_of} or {})", fact(dice)),
        4 => format!("{fact_of} and {}", fact(dice)),
        _ => fact_of,
    }
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn subqueries_equal_duckdb() {
    let count = match std::env::var("ROLLBOOK_TEST_SUBQUERIES") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => 120,
    };
    let mut dice = Dice(3);
    let conditions: Vec<_> = (0..count).map(|_| condition(&mut dice)).collect();
    let refused = hold_conditions(&conditions).await;
    assert!(refused * 5 < count, "{refused} of {count} are refused");
}

#[tokio::test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
async fn typical_subqueries_equal_duckdb() {
    let own = "o.person_id = people.person_id";
    let conditions = [
        "source not in (select source_name from orders)".to_owned(),
        "source not in (select source_name from orders where source_name is not null)".to_owned(),
        "'zzz' not in (select source_name from orders)".to_owned(),
        "null not in (select source_name from orders where 1 = 0)".to_owned(),
        "country not in (select source_name from orders where 1 = 0)".to_owned(),
        format!("'ads' not in (select source_name from orders o where {own})"),
        "source not in (select o.source_name from orders o where o.source_name = people.source)"
            .to_owned(),
        format!("country not in (select o.source_name from orders o where {own})"),
        format!("0 in (select count(*) from orders o where {own})"),
        format!("0 not in (select count(*) from orders o where {own})"),
        format!("exists (select count(*) from orders o where {own})"),
        format!("not exists (select max(total) from orders o where {own} and total > 1e12)"),
        format!("exists (select 1 from orders o where {own} limit 0)"),
        format!("exists (select 1 from orders o where {own} order by total)"),
        format!(
            "exists (select status from orders o where {own} group by status having count(*) > 1)"
        ),
        format!("(select count(*) from orders o where {own}) = 0"),
        format!("country = all (select source_name from orders o where {own})"),
        format!("country <> all (select source_name from orders o where {own})"),
        format!("country = any (select source_name from orders o where {own})"),
        "person_id = (select max(person_id) from orders)".to_owned(),
        // Both sides are of one table, and neither has another name.
        "country in (select country from people where is_lead)".to_owned(),
        "country not in (select country from people where is_lead)".to_owned(),
        "not (country in (select country from people where source is null))".to_owned(),
        "(source in (select source from people where is_lead)) is not true".to_owned(),
        "coalesce(source in (select source from people where country = 'DE'), false)".to_owned(),
        "person_id = any (select person_id from people where is_lead)".to_owned(),
        "country >= all (select country from people where country is not null)"
            .to_owned(),
        "country <> all (select country from people where country is not null and is_lead)"
            .to_owned(),
        "person_id in (select person_id from orders where total not in (select total from orders where status = 'paid'))"
            .to_owned(),
        "country not in ('DE', null)".to_owned(),
        "person_id not in (select person_id from orders where person_id is not null)".to_owned(),
    ];
    let refused = hold_conditions(&conditions).await;
    assert_eq!(refused, 0);
}

#[test]
fn condition_may_begin_with_a_subquery() {
    for (text, expected) in [
        ("select person_id from orders", true),
        ("with o as (select 1) select person_id from o", true),
        ("(select person_id from orders)", true),
        ("((select person_id from orders)) -- all", true),
        ("(select person_id from orders) union (select 1)", true),
        (
            "(select person_id from orders where (total > 1)) order by 1 limit 3;",
            true,
        ),
        ("(select count(*) from orders) > 1", false),
        ("((select max(total) from orders) > 1) and is_lead", false),
        ("((select count(*) from orders) > 1)", false),
        ("((select 1) union (select 2))", true),
        ("(select (1) from orders) is not null", false),
        ("(is_lead) and country = 'DE'", false),
        ("is_lead", false),
    ] {
        assert_eq!(rollbook_engine::is_select(text), expected, "{text}");
    }
}

#[tokio::test]
async fn query_can_group_by_a_subquery() {
    let session = super::session().await;
    let among = |outer: &str, inner: &str| {
        format!(
            "select {outer}country in (select {inner}country from people {inner_name} where is_lead) as a, \
             count(*) as n from people {outer_name} group by 1",
            inner_name = inner.trim_end_matches('.'),
            outer_name = outer.trim_end_matches('.'),
        )
    };
    let error = session.query(&among("", "")).await.unwrap_err().to_string();
    assert!(error.contains("give its table another name"), "{error}");
    let sums = |sql: &str| format!("select sum(n) as n from ({sql})");
    let all = session
        .query("select count(*) as n from people")
        .await
        .unwrap();
    let grouped = session.query(&sums(&among("o.", "i."))).await.unwrap();
    assert_eq!(grouped.batches[0].columns(), all.batches[0].columns());
}

#[tokio::test]
async fn subqueries_that_cannot_become_joins_are_refused() {
    let session = super::session().await;
    let own = "o.person_id = people.person_id";
    for condition in [
        format!("exists (select 1 from orders o where {own} offset 1)"),
        format!("country in (select source_name from orders o where {own} limit 1)"),
        format!("country = (select status from orders o where {own} order by placed_at limit 1)"),
        format!(
            "exists (select 1 from (select * from orders o where {own} limit 2) where total > 9)"
        ),
        format!("exists (select count(*) from orders o where {own} having count(*) = 0)"),
        format!(
            "exists (select 1 from people p left join (select * from orders o where {own}) i \
             on i.person_id = p.person_id where i.total is null)"
        ),
        format!(
            "exists (select 1 from (select row_number() over (order by total) as n from orders o \
             where {own}) where n = 2)"
        ),
    ] {
        let rows = person_ids(&session, &condition).await;
        let error = rows.map_or_else(|error| error.to_string(), |ids| format!("{ids:?}"));
        assert!(
            error.starts_with("not supported: ")
                || error.starts_with("the query cannot be planned"),
            "{condition}: {error}"
        );
    }
    // More than one row where one is wanted.
    let several = "country = (select source_name from orders)";
    assert!(person_ids(&session, several).await.is_err());
}
