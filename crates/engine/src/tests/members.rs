//! Members of segments, by condition and by `select`.

use std::collections::BTreeMap;

use serde_json::json;

use super::fixture::Fixture;
use crate::Clause;

fn fixture() -> Fixture {
    Fixture::with_persons()
        .row(
            "orders",
            json!({ "person_id": 1, "status": "paid", "total": "600", "currency": "EUR",
            "placed_at": "2024-06-01T00:00:00Z" }),
        )
        .row(
            "orders",
            json!({ "person_id": 2, "status": "paid", "total": "20", "currency": "EUR",
            "placed_at": "2024-01-01T00:00:00Z" }),
        )
}

async fn check(criteria: &str, expected: &[i64]) {
    let session = fixture().session().await;
    let rows = session.people_where(criteria).await;
    let rows = rows.unwrap_or_else(|error| panic!("{criteria}: {error}"));
    assert_eq!(rows.person_ids().await.unwrap(), expected, "{criteria}");
}

async fn check_select(sql: &str, expected: &[i64]) {
    let session = fixture().session().await;
    let rows = session.people_of(sql).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.person_ids().await.unwrap(), expected, "{sql}");
}

#[tokio::test]
async fn person_with_null_result_is_no_member() {
    check("country = 'DE'", &[1]).await;
    check("country <> 'DE'", &[2]).await;
    check("not (country = 'DE')", &[2]).await;
    check("country is distinct from 'DE'", &[2, 3]).await;
    check("country is null", &[3]).await;
    check("null", &[]).await;
    check("last_order_at < now() - interval '90 days'", &[2]).await;
    check(
        "last_order_at < now() - interval '90 days' or last_order_at is null",
        &[2, 3],
    )
    .await;
    check("true", &[1, 2, 3]).await;
}

#[tokio::test]
async fn conditions_use_traits_and_subqueries() {
    check("total_spent > 500 and last_order_at >= '2024-06-01'", &[1]).await;
    check(
        "person_id in (select person_id from orders where total < 100)",
        &[2],
    )
    .await;
    check(
        "not exists (select 1 from orders o where o.person_id = people.person_id)",
        &[3],
    )
    .await;
    check("total_spent >= (select max(total) from orders)", &[1]).await;
    check("  -- spenders\n total_spent > 500 ", &[1]).await;
}

#[tokio::test]
async fn select_returns_each_known_person_once() {
    check_select("select person_id from orders", &[1, 2]).await;
    check_select(
        "select person_id from orders union all select person_id from orders",
        &[1, 2],
    )
    .await;
    check_select(
        "select * from (values (0), (2), (99), (null), (2)) as t (person_id)",
        &[2],
    )
    .await;
    check_select(
        "with t as (select 3 as person_id) select person_id from t",
        &[3],
    )
    .await;
    check_select("select person_id from persons", &[1, 2, 3]).await;
    check_select(
        "select p.person_id from people p order by p.total_spent desc limit 1",
        &[1],
    )
    .await;
}

#[tokio::test]
async fn select_without_persons_is_refused() {
    let session = fixture().session().await;
    for (sql, found) in [
        ("select country from people", "`country`"),
        (
            "select person_id, country from people",
            "`person_id`, `country`",
        ),
        ("select country as person_id from people", "`person_id`"),
    ] {
        let error = session.people_of(sql).await.unwrap_err().to_string();
        assert!(
            error.contains("one column `person_id` of integers"),
            "{error}"
        );
        assert!(error.ends_with(found), "{error}");
    }
    let sql = "select person_id from people where random() < 0.5";
    let error = session.people_of(sql).await.unwrap_err().to_string();
    assert!(
        error.starts_with("`random` at line 1, column 36 cannot be used"),
        "{error}"
    );
}

#[test]
fn select_is_distinguished_from_condition() {
    for (text, expected) in [
        ("select person_id from people", true),
        (
            "-- note\n /* more */ WITH t as (select 1) select person_id from t",
            true,
        ),
        ("(select person_id from people)", true),
        ("country = 'select'", false),
        ("(country = 'DE')", false),
        ("'open", false),
        ("  -- nothing", false),
    ] {
        assert_eq!(crate::is_select(text), expected, "{text}");
    }
}

#[tokio::test]
async fn clauses_combined_equal_the_condition() {
    let session = fixture().session().await;
    for (condition, expected) in [
        (
            "(country is distinct from 'DE') or total_spent > 500",
            &[1, 2, 3][..],
        ),
        ("country is distinct from 'DE' and order_count = 0", &[3]),
        (
            "order_count = 0 or country is distinct from 'DE' and country = 'US'",
            &[2, 3],
        ),
        (
            "not country is distinct from 'US' and total_spent = 20.00",
            &[2],
        ),
        (
            "(country = 'DE' or order_count = 0) and total_spent > - -1",
            &[1],
        ),
        ("not (country = 'DE' or - -total_spent >= 20)", &[]),
    ] {
        let parsed = session.condition(condition).unwrap();
        let clauses = Clause::of(&parsed);
        for text in [condition, &clauses.text()] {
            let rows = session.people_where(text).await.unwrap();
            assert_eq!(rows.person_ids().await.unwrap(), expected, "{text}");
        }
        let parts = clauses.condition();
        let rows = session.people_where_with(&parts, BTreeMap::new()).await;
        let ids = rows.unwrap().person_ids().await;
        assert_eq!(ids.unwrap(), expected, "the clauses of {condition}");
    }
}

#[tokio::test]
async fn functions_of_other_databases_are_refused_with_a_suggestion() {
    let session = fixture().session().await;
    for (condition, part) in [
        (
            "age(created_at) > interval '30 days'",
            "write now() - created_at",
        ),
        (
            "datediff('day', created_at, now()) > 30",
            "write current_date - ",
        ),
        (
            "now() - created_at > 30",
            "a number is compared with a length of time",
        ),
        (
            "current_date - cast(created_at as date) > interval '30 days'",
            "a number is compared with a length of time",
        ),
        ("order_count ^ 2 > 4", "write power(a, b)"),
    ] {
        let rows = match session.people_where(condition).await {
            Ok(rows) => rows.person_ids().await,
            Err(error) => Err(error),
        };
        let error = rows.unwrap_err().to_string();
        assert!(error.contains(part), "{condition}: {error}");
    }
}
