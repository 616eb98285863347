//! Custom traits of a tenant: results and error messages.

use serde_json::json;

use super::fixture::{Fixture, lines};
use crate::{CustomTrait, PersonQuery, Session, is_select};

fn custom_trait(sql: &str, default: Option<&str>) -> CustomTrait {
    CustomTrait {
        name: "vip_score".to_owned(),
        sql: sql.to_owned(),
        default: default.map(str::to_owned),
    }
}

/// Person 1 has two orders, of 10 and 30, person 2 one of 20; two orders belong to nobody.
fn fixture() -> Fixture {
    let order = |person: i64, total: &str| {
        json!({ "person_id": person, "status": "paid", "total": total, "currency": "EUR",
            "placed_at": "2024-06-01T10:00:00Z" })
    };
    Fixture::with_persons()
        .row("orders", order(1, "10.00"))
        .row("orders", order(1, "30.00"))
        .row("orders", order(2, "20.00"))
        .row("orders", order(0, "99.00"))
        .row("orders", order(0, "98.00"))
}

async fn session_with_trait(sql: &str, default: Option<&str>) -> Session {
    fixture()
        .session_with(vec![custom_trait(sql, default)], true)
        .await
}

/// The error of a query that reads the trait.
async fn error_of(sql: &str, default: Option<&str>) -> String {
    let session = session_with_trait(sql, default).await;
    session
        .run_trait("vip_score")
        .await
        .unwrap_err()
        .to_string()
}

const MOST: &str = "select person_id, max(total) as most from orders group by person_id";

#[tokio::test]
async fn custom_trait_is_a_column_of_people() {
    let session = session_with_trait(MOST, None).await;
    let sql = "select person_id, vip_score from people order by 1";
    assert_eq!(
        lines(&session, sql).await,
        ["1|30.0000", "2|20.0000", "3|null"]
    );
    let schema = session.people_schema().await.unwrap();
    let field = schema.field_with_name("vip_score").unwrap();
    assert_eq!(field.data_type().to_string(), "Decimal128(19, 4)");
    let ran = session.run_trait("vip_score").await.unwrap();
    assert_eq!(ran, ("decimal(19, 4)".to_owned(), 2));
    let members = session.people_where("vip_score > 25").await.unwrap();
    assert_eq!(members.person_ids().await.unwrap(), [1]);
    // A trait that the query does not read is not computed.
    let plan = session.explain("select order_count from people").await;
    assert!(!plan.unwrap().contains("_own_vip_score"));
}

#[tokio::test]
async fn default_applies_to_persons_without_a_row_only() {
    let sql = "select person_id, case when max(total) < 25 then max(total) end from orders \
               group by person_id";
    let session = session_with_trait(sql, Some("0")).await;
    let sql = "select person_id, vip_score from people order by 1";
    assert_eq!(
        lines(&session, sql).await,
        ["1|null", "2|20.0000", "3|0.0000"]
    );
    for (ty, default, shown) in [
        ("bigint", "-3", "-3"),
        ("double", "0.5", "0.5"),
        ("varchar", "'none'", "none"),
        ("boolean", "false", "false"),
        ("date", "date '2024-01-31'", "2024-01-31"),
        ("date", "'2024-01-31'", "2024-01-31"),
    ] {
        let sql = format!("select person_id, cast(null as {ty}) from orders where person_id = 7");
        let session = session_with_trait(&sql, Some(default)).await;
        let sql = "select distinct vip_score from people";
        assert_eq!(lines(&session, sql).await, [shown], "{ty}");
    }
    for (ty, default) in [
        ("bigint", "0.5"),
        ("bigint", "'many'"),
        ("bigint", "order_count"),
        ("bigint", "1 + 1"),
        ("varchar", "none"),
        ("timestamp", "now()"),
        ("bigint", "(select 1)"),
    ] {
        let sql = format!("select person_id, cast(null as {ty}) from orders");
        let error = error_of(&sql, Some(default)).await;
        assert!(
            error.contains(&format!("`{default}` is not a literal of the trait's type")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn second_row_of_a_person_is_an_error() {
    let session = session_with_trait("select person_id, total from orders", None).await;
    let twice = "trait `vip_score` has more than one row for person 1";
    let error = session.run_trait("vip_score").await.unwrap_err();
    assert_eq!(error.to_string(), twice);
    assert!(error.hint().unwrap().contains("group by"));
    let error = session.query("select vip_score from people").await;
    assert_eq!(error.unwrap_err().to_string(), twice);
    // Two rows with the same value are an error, too.
    let error = error_of("select person_id, status from orders", None).await;
    assert_eq!(error, twice);
    // Queries about other persons succeed, and queries without the trait.
    let sql = "select vip_score from people where person_id = 2";
    assert_eq!(lines(&session, sql).await, ["20.0000"]);
    let sql = "select order_count from people where person_id = 1";
    assert_eq!(lines(&session, sql).await, ["2"]);
    // Rows that belong to nobody give no person a value.
    let sql = "select nullif(person_id, 1) as person_id, total from orders";
    let session = session_with_trait(sql, None).await;
    assert_eq!(session.run_trait("vip_score").await.unwrap().1, 1);
}

#[tokio::test]
async fn trait_errors_have_positions() {
    for (sql, expected) in [
        (
            "select person_id,\n  max(totl) from orders group by person_id",
            "trait `vip_score`: unknown column `totl` in `orders` at line 2, column 7; did you \
             mean `total`?",
        ),
        (
            "select person_id,\n  total_spent from people",
            "trait `vip_score`: a trait cannot query `people` at line 2, column 20, which contains the \
             trait: query the base tables",
        ),
        (
            "select person_id, random() from orders group by person_id",
            "trait `vip_score`: `random` at line 1, column 19 cannot be used in criteria and \
             traits, because it gives another result each time",
        ),
        (
            "select person_id from orders",
            "trait `vip_score`: a trait's `select` must give two columns, `person_id` of integers \
             and the value, this gives `person_id` (integer)",
        ),
        (
            "select country as person_id, 1 as one from persons",
            "trait `vip_score`: a trait's `select` must give two columns, `person_id` of integers \
             and the value, this gives `person_id` (text), `one` (integer)",
        ),
        (
            "select person_id, null from persons",
            "trait `vip_score`: a trait's `select` must give two columns, `person_id` of integers \
             and the value, this gives `person_id` (integer), `NULL` (Null)",
        ),
        (
            "delete from persons",
            "trait `vip_score`: only queries can be run, and `delete` is not one: write a `select`",
        ),
    ] {
        assert_eq!(error_of(sql, None).await, expected);
    }
    // An invalid trait fails only the queries that read it.
    let session = session_with_trait("select person_id, totl from orders", None).await;
    assert_eq!(lines(&session, "select count(*) from people").await, ["3"]);
    let error = session.people_where("vip_score > 1").await.unwrap_err();
    assert!(
        error.to_string().contains("unknown column `totl`"),
        "{error}"
    );
}

#[tokio::test]
async fn trait_over_personal_columns_is_personal() {
    let sql = "select person_id, 1 as at_example from persons where email like '%@example.com'";
    let session = fixture()
        .session_with(vec![custom_trait(sql, None)], true)
        .await;
    assert_eq!(session.run_trait("vip_score").await.unwrap().1, 2);
    let session = fixture()
        .session_with(vec![custom_trait(sql, None)], false)
        .await;
    for asked in [
        "select vip_score from people",
        "select person_id from people where vip_score = 1",
    ] {
        let error = session.query(asked).await.unwrap_err().to_string();
        assert!(error.contains("`email` of `persons`"), "{error}");
        assert!(error.contains("requires the right `pii`"), "{error}");
    }
    assert!(session.people_where("vip_score = 1").await.is_err());
    assert_eq!(lines(&session, "select count(*) from people").await, ["3"]);
}

#[tokio::test]
async fn now_in_a_trait_equals_as_of() {
    let sql = "select person_id, max(date_diff_days) from (select person_id, \
               cast(extract(day from now() - placed_at) as bigint) as date_diff_days from orders) \
               group by person_id";
    let session = session_with_trait(sql, None).await;
    let sql = "select vip_score from people where person_id = 2";
    assert_eq!(lines(&session, sql).await, ["29"]);
}

#[tokio::test]
async fn custom_traits_named_by_conditions_and_queries_are_found() {
    let session = session_with_trait(MOST, None).await;
    for (criteria, is_named) in [
        ("vip_score > 1 and country = 'DE'", true),
        ("VIP_Score is null", true),
        ("country = 'vip_score'", false),
        ("select person_id from people where vip_score > 1", true),
        ("select person_id from orders", false),
    ] {
        let own = session.own_trait_names();
        let named = match is_select(criteria) {
            true => PersonQuery::parse(criteria, session.limits())
                .unwrap()
                .names_among(own),
            false => session.condition(criteria).unwrap().names_among(own),
        };
        assert_eq!(!named.is_empty(), is_named, "{criteria}");
    }
    assert!(session.is_plain_name("vip_score"));
    for word in ["true", "null", "current_date"] {
        assert!(!session.is_plain_name(word), "{word}");
    }
}
