//! How built-in traits are computed from facts.

use serde_json::{Value, json};

use super::fixture::{Fixture, lines};

const REVENUE: &str = "select paid_order_count, total_spent, average_order_value, \
     unconverted_amount_count from people where person_id = 1";

fn order(status: &str, total: &str, extra: Value) -> Value {
    let mut row = json!({ "status": status, "total": total, "currency": "EUR",
        "placed_at": "2024-06-01T10:00:00Z" });
    row.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    row
}

async fn check(fixture: Fixture, sql: &str, expected: &str) {
    let session = fixture.session().await;
    assert_eq!(lines(&session, sql).await, [expected]);
}

#[tokio::test]
async fn revenue_sums_orders_of_six_statuses() {
    for (status, counts) in [
        ("paid", true),
        ("partially_paid", true),
        ("fulfilled", true),
        ("completed", true),
        ("partially_refunded", true),
        ("refunded", true),
        ("pending", false),
        ("cancelled", false),
        ("Paid", false),
    ] {
        let fixture = Fixture::with_persons().row("orders", order(status, "10.00", json!({})));
        let expected = if counts {
            "1|10.0000|10.0000|0"
        } else {
            "0|0.0000|null|0"
        };
        check(fixture, REVENUE, expected).await;
    }
}

#[tokio::test]
async fn order_counts_from_its_payment_time() {
    let paid_later = json!({ "paid_at": "2024-07-01T00:00:00Z" });
    let paid_just_now = json!({ "paid_at": "2024-06-30T12:00:00Z" });
    let fixture = Fixture::with_persons()
        .row("orders", order("paid", "10.00", paid_later))
        .row("orders", order("paid", "20.00", paid_just_now))
        .row(
            "orders",
            order(
                "paid",
                "40.00",
                json!({ "placed_at": "2024-06-30T12:00:01Z" }),
            ),
        );
    check(fixture, REVENUE, "1|20.0000|20.0000|0").await;
}

#[tokio::test]
async fn refunds_reduce_revenue_from_their_own_time() {
    let refund = |order: &str, amount: &str, at: &str, person: i64| {
        json!({ "order_id": order, "amount": amount, "currency": "EUR", "refunded_at": at,
            "person_id": person })
    };
    let fixture = Fixture::with_persons()
        .row("orders", order("partially_refunded", "30.00", json!({})))
        .row("orders", order("refunded", "10.00", json!({})))
        .row("orders", order("cancelled", "99.00", json!({})))
        // The refund names no person: it belongs to the person of its order.
        .row(
            "refunds",
            refund("orders/1", "7.00", "2024-06-10T00:00:00Z", 0),
        )
        .row(
            "refunds",
            refund("orders/1", "5.00", "2024-07-10T00:00:00Z", 1),
        )
        .row(
            "refunds",
            refund("orders/2", "10.00", "2024-06-12T00:00:00Z", 1),
        )
        .row(
            "refunds",
            refund("orders/3", "99.00", "2024-06-12T00:00:00Z", 1),
        )
        // The order does not exist: the refund counts for the person it names, if it names one.
        .row(
            "refunds",
            refund("orders/77", "3.00", "2024-06-12T00:00:00Z", 1),
        )
        .row(
            "refunds",
            refund("orders/77", "8.00", "2024-06-12T00:00:00Z", 0),
        );
    check(fixture, REVENUE, "2|20.0000|10.0000|0").await;
}

#[tokio::test]
async fn foreign_amounts_convert_at_the_daily_rate_or_are_reported() {
    let rate = |day: &str, currency: &str, rate: f64| json!({ "day": day, "currency": currency, "rate": rate });
    let foreign = |currency: Value, at: &str| json!({ "currency": currency, "placed_at": at });
    let fixture = Fixture::with_persons()
        .row("fx_rates", rate("2024-06-01", "USD", 0.92345))
        .row("fx_rates", rate("2024-06-02", "USD", 0.5))
        // 33.33 × 0.92345 = 30.7785885, and the day is that of UTC.
        .row(
            "orders",
            order(
                "paid",
                "33.33",
                foreign(json!("USD"), "2024-06-01T23:59:59Z"),
            ),
        )
        .row(
            "orders",
            order(
                "paid",
                "10.00",
                foreign(json!("USD"), "2024-06-02T01:00:00Z"),
            ),
        )
        // The rate of the day before, no rate, and no currency, which means the tenant's. The last
        // rate is too old for the second refund.
        .row(
            "orders",
            order(
                "paid",
                "50.00",
                foreign(json!("USD"), "2024-06-03T00:00:00Z"),
            ),
        )
        .row(
            "orders",
            order(
                "paid",
                "60.00",
                foreign(json!("GBP"), "2024-06-01T00:00:00Z"),
            ),
        )
        .row(
            "orders",
            order("paid", "1.00", foreign(Value::Null, "2024-06-01T00:00:00Z")),
        )
        .row(
            "refunds",
            json!({ "order_id": "orders/2", "amount": "4.00",
            "refunded_at": "2024-06-02T02:00:00Z" }),
        )
        .row(
            "refunds",
            json!({ "order_id": "orders/2", "amount": "4.00",
            "refunded_at": "2024-06-12T02:00:00Z" }),
        );
    check(fixture, REVENUE, "5|59.7786|11.9557|2").await;
}

#[tokio::test]
async fn rates_of_two_sources_count_an_order_once() {
    let rate = json!({ "day": "2024-06-01", "currency": "USD", "rate": 0.5 });
    let fixture = Fixture::with_persons()
        .row("fx_rates", rate.clone())
        .row("fx_rates", rate)
        .row(
            "orders",
            order("paid", "10.00", json!({ "currency": "USD" })),
        );
    check(fixture, REVENUE, "1|5.0000|5.0000|0").await;
}

#[tokio::test]
async fn tenant_without_currency_sums_amounts_without_currency_only() {
    let mut fixture = Fixture::with_persons()
        .row(
            "orders",
            order("paid", "10.00", json!({ "currency": null })),
        )
        .row("orders", order("paid", "10.00", json!({})));
    fixture.currency = None;
    check(fixture, REVENUE, "2|10.0000|5.0000|1").await;
}

#[tokio::test]
async fn guest_orders_belong_to_nobody() {
    let fixture =
        Fixture::with_persons().row("orders", order("paid", "10.00", json!({ "person_id": 0 })));
    let session = fixture.session().await;
    let sql = "select person_id, order_count, total_spent from people order by person_id";
    let expected = ["1|0|0.0000", "2|0|0.0000", "3|0|0.0000"];
    assert_eq!(lines(&session, sql).await, expected);
    assert_eq!(lines(&session, "select count(*) from orders").await, ["1"]);
}

#[tokio::test]
async fn order_count_and_times_include_every_status() {
    let fixture = Fixture::with_persons()
        .row(
            "orders",
            order(
                "cancelled",
                "10.00",
                json!({ "placed_at": "2024-01-05T00:00:00Z" }),
            ),
        )
        .row("orders", order("pending", "10.00", json!({})));
    let sql = "select order_count, first_order_at, last_order_at from people where person_id = 1";
    check(fixture, sql, "2|2024-01-05T00:00:00Z|2024-06-01T10:00:00Z").await;
}

#[tokio::test]
async fn deals_show_their_state_at_as_of() {
    let deal = |status: &str, value: &str, closed_at: Value| {
        json!({ "status": status, "value": value, "currency": "EUR", "closed_at": closed_at,
            "created_at": "2024-05-01T00:00:00Z" })
    };
    let fixture = Fixture::with_persons()
        .row("deals", deal("open", "1.00", Value::Null))
        .row("deals", deal("won", "2.00", json!("2024-07-01T00:00:00Z")))
        .row("deals", deal("lost", "4.00", json!("2024-07-01T00:00:00Z")))
        .row("deals", deal("won", "8.00", json!("2024-06-01T00:00:00Z")))
        .row(
            "deals",
            deal("lost", "16.00", json!("2024-06-01T00:00:00Z")),
        )
        .row("deals", deal("won", "32.00", Value::Null))
        .row(
            "deals",
            json!({ "status": "open", "value": "64.00", "currency": "USD",
            "created_at": "2024-05-01T00:00:00Z" }),
        );
    let sql = "select open_deal_count, open_deal_value, won_deal_value, unconverted_deal_count \
         from people where person_id = 1";
    check(fixture, sql, "4|7.0000|40.0000|1").await;
}

#[tokio::test]
async fn tickets_and_activities_show_their_state_at_as_of() {
    let ticket = |status: Value, closed_at: Value| json!({ "status": status, "closed_at": closed_at, "opened_at": "2024-05-01T00:00:00Z" });
    let activity = |at: &str| json!({ "type": "page_viewed", "occurred_at": at });
    let fixture = Fixture::with_persons()
        .row("tickets", ticket(json!("open"), Value::Null))
        .row("tickets", ticket(Value::Null, Value::Null))
        .row(
            "tickets",
            ticket(json!("closed"), json!("2024-07-01T00:00:00Z")),
        )
        .row(
            "tickets",
            ticket(json!("closed"), json!("2024-06-01T00:00:00Z")),
        )
        .row("tickets", ticket(json!("solved"), Value::Null))
        .row("activities", activity("2024-06-05T00:00:00Z"))
        .row("activities", activity("2024-06-04T00:00:00Z"))
        .row("activities", activity("2024-07-04T00:00:00Z"));
    let sql = "select open_ticket_count, last_activity_at from people where person_id = 1";
    check(fixture, sql, "3|2024-06-05T00:00:00Z").await;
}

#[tokio::test]
async fn person_without_facts_has_zeros_and_nulls() {
    let sql = "select order_count, paid_order_count, total_spent, average_order_value, \
         unconverted_amount_count, open_deal_count, open_deal_value, won_deal_value, \
         unconverted_deal_count, open_ticket_count, first_order_at, last_activity_at \
         from people where person_id = 2";
    check(
        Fixture::with_persons(),
        sql,
        "0|0|0.0000|null|0|0|0.0000|0.0000|0|0|null|null",
    )
    .await;
}

#[tokio::test]
async fn amounts_stay_decimal() {
    let session = Fixture::with_persons().session().await;
    let schema = session.people_schema().await.unwrap();
    for name in [
        "total_spent",
        "average_order_value",
        "open_deal_value",
        "won_deal_value",
    ] {
        let found = schema
            .field_with_name(name)
            .unwrap()
            .data_type()
            .to_string();
        assert_eq!(found, "Decimal128(29, 4)", "{name}");
    }
    // The schema of the result equals the schema of the plan.
    let answer = session.query("select * from people").await.unwrap();
    for (promised, given) in schema.fields().iter().zip(answer.schema.fields()) {
        assert_eq!(promised.name(), given.name());
        assert_eq!(
            promised.data_type(),
            given.data_type(),
            "{}",
            promised.name()
        );
    }
}
