//! Visibility of rows and personal columns, and computation of only what a query reads.

use std::sync::Arc;

use datafusion::physical_plan::displayable;
use rollbook_model::tables::table;
use serde_json::json;

use super::fixture::{Fixture, lines};
use crate::session::plan::plan;
use crate::session::request::Request;
use crate::{EngineError, Session, SessionOptions, TableSource};

async fn plan_text(session: &Session, sql: &str) -> String {
    let request = Request::Query(sql.to_owned(), None);
    let (plan, _) = plan(session.state(), &request, session.limits())
        .await
        .unwrap();
    displayable(plan.as_ref()).indent(true).to_string()
}

#[tokio::test]
async fn now_equals_as_of() {
    let session = Fixture::with_persons().session().await;
    let sql = "select now(), current_date, date_trunc('month', now())";
    let expected = ["2024-06-30T12:00:00Z|2024-06-30|2024-06-01T00:00:00Z"];
    assert_eq!(lines(&session, sql).await, expected);
    // Again, later by the clock.
    assert_eq!(lines(&session, sql).await, expected);
    assert_eq!(session.as_of().to_string(), "2024-06-30T12:00:00Z");
}

#[tokio::test]
async fn facts_after_as_of_are_hidden() {
    let activity = |at: &str| json!({ "type": "page_viewed", "occurred_at": at });
    let fixture = Fixture::with_persons()
        .row("activities", activity("2024-06-30T12:00:00Z"))
        .row("activities", activity("2024-06-30T12:00:00.000001Z"));
    let session = fixture.session().await;
    assert_eq!(
        lines(&session, "select count(*) from activities").await,
        ["1"]
    );
    let sql = "select count(*) from activities where occurred_at > now()";
    assert_eq!(lines(&session, sql).await, ["0"]);
}

#[tokio::test]
async fn the_vault_is_read_only_for_personal_columns() {
    let session = Fixture::with_persons().session().await;
    let joins = |text: &str| text.matches("HashJoinExec").count();
    let without = plan_text(&session, "select person_id, country from persons").await;
    assert_eq!(joins(&without), 0, "{without}");
    for sql in [
        "select email from persons",
        "select person_id from persons where email like '%example.com'",
        "select person_id from people where email = 'ada@example.com'",
    ] {
        let with = plan_text(&session, sql).await;
        assert_eq!(joins(&with), 1, "{with}");
    }
    let sql = "select person_id, email from people order by person_id";
    let expected = ["1|ada@example.com", "2|bob@example.com", "3|null"];
    assert_eq!(lines(&session, sql).await, expected);
    let sql = "select person_id from people where email = 'ada@example.com'";
    assert_eq!(lines(&session, sql).await, ["1"]);
}

#[tokio::test]
async fn only_requested_traits_are_computed() {
    let session = Fixture::with_persons().session().await;
    for (sql, joins, aggregates) in [
        ("select person_id, country from people", 0, 0),
        ("select count(*) from people", 0, 1),
        ("select person_id, order_count from people", 1, 1),
        (
            "select person_id from people where last_activity_at is null",
            1,
            1,
        ),
        (
            "select person_id from people where order_count = 0 and open_ticket_count = 0",
            2,
            2,
        ),
    ] {
        let text = plan_text(&session, sql).await;
        let found = text.matches("JoinExec").count();
        assert_eq!(found, joins, "{sql}\n{text}");
        let found = text.matches("AggregateExec: mode=").count();
        assert!(
            found >= aggregates && found <= 2 * aggregates,
            "{sql}\n{text}"
        );
    }
    assert_eq!(lines(&session, "select count(*) from people").await, ["3"]);
}

#[tokio::test]
async fn filters_are_pushed_down_to_the_table() {
    let session = Fixture::with_persons().session().await;
    let sql = "select order_count from people where person_id = 2";
    let text = plan_text(&session, sql).await;
    // One filter on the persons, one inside the group that counts orders.
    assert_eq!(text.matches("person_id@0 = 2").count(), 2, "{text}");
}

#[tokio::test]
async fn views_can_be_joined_with_themselves_and_others() {
    let session = Fixture::with_persons().session().await;
    let sql = "select a.person_id, b.country from people a join people b \
         on a.person_id = b.person_id + 1 where a.total_spent = 0 order by 1";
    assert_eq!(lines(&session, sql).await, ["2|DE", "3|US"]);
    let sql = "select tags from people where array_has(tags, 'vip') limit 1";
    assert_eq!(lines(&session, sql).await, ["[vip]"]);
    let sql = "select person_id from people where total_spent >= 0 order by person_id desc limit 1";
    assert_eq!(lines(&session, sql).await, ["3"]);
}

#[tokio::test]
async fn personal_columns_are_null_without_a_vault() {
    let address = json!({ "entity_type": "person", "city": "Ulm" });
    let session = Fixture::with_persons()
        .row("addresses", address)
        .session()
        .await;
    let sql = "select city, line1 from addresses";
    assert_eq!(lines(&session, sql).await, ["Ulm|null"]);
}

#[tokio::test]
async fn tables_without_rows_can_be_queried() {
    let session = Fixture::new().session().await;
    for def in rollbook_model::tables::TABLES {
        let sql = format!("select * from {}", def.name);
        let answer = session.query(&sql).await.unwrap();
        let names: Vec<_> = answer
            .schema
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        let expected: Vec<_> = def.all_columns().map(|column| column.name).collect();
        assert_eq!(names, expected, "{}", def.name);
    }
    assert_eq!(lines(&session, "select count(*) from people").await, ["0"]);
}

#[tokio::test]
async fn provider_without_a_defined_column_is_refused() {
    let session = Session::new(SessionOptions {
        as_of: "2024-06-30".parse().unwrap(),
        currency: None,
        zone: chrono_tz::Tz::UTC,
        fx_days: 7,
        limits: rollbook_model::config::Limits::default(),
        spill_dir: None,
        personal: true,
        rules: Vec::new(),
    })
    .unwrap();
    let def = table("orders").unwrap();
    let other = table("deals").unwrap().stored_schema();
    let stored = Arc::new(datafusion::datasource::empty::EmptyTable::new(other));
    let error = session
        .add_table(TableSource {
            def,
            stored,
            vault: None,
            authority: None,
        })
        .unwrap_err();
    assert!(
        matches!(error, EngineError::TableLacksColumn { .. }),
        "{error}"
    );
    session.finish().await.unwrap();
    assert!(matches!(
        session.finish().await,
        Err(EngineError::TableExists { .. })
    ));
}

#[tokio::test]
async fn json_functions_read_and_write_documents() {
    let activity = json!({ "type": "page_viewed", "occurred_at": "2024-06-01T00:00:00Z",
        "properties": "{\"utm\": {\"source\": \"mail\"}}" });
    let session = Fixture::with_persons()
        .row("activities", activity)
        .session()
        .await;
    let sql =
        "select json_text(properties, 'utm.source'), json_object('type', type) from activities";
    assert_eq!(
        lines(&session, sql).await,
        [r#"mail|{"type":"page_viewed"}"#]
    );
}
