//! Behaviour functions: results and error messages.

use serde_json::{Value, json};

use super::fixture::Fixture;

fn activity(person: i64, kind: &str, at: &str, properties: &Value) -> Value {
    json!({ "person_id": person, "type": kind, "occurred_at": at, "channel": "email",
        "properties": properties.to_string() })
}

fn order(person: i64, id: &str, status: &str, total: &str, placed: &str) -> Value {
    json!({ "person_id": person, "external_id": id, "status": status, "total": total,
        "currency": "EUR", "placed_at": placed })
}

/// Events of persons, seen from noon of 2024-06-30.
fn fixture() -> Fixture {
    let line = |order: &str, sku: &str, category: &str| {
        json!({ "order_id": order, "sku": sku, "category": category,
            "placed_at": "2024-06-01T00:00:00Z" })
    };
    let deal = |person: i64, status: &str, stage: &str, closed: Value| {
        json!({ "person_id": person, "status": status, "stage": stage,
            "created_at": "2024-05-01T00:00:00Z", "closed_at": closed })
    };
    Fixture::with_persons()
        .row(
            "activities",
            activity(1, "clicked", "2024-06-29T12:00:00Z", &json!({"page": "/a"})),
        )
        .row(
            "activities",
            activity(1, "clicked", "2024-06-01T12:00:00Z", &json!({"page": "/b"})),
        )
        .row(
            "activities",
            activity(1, "viewed", "2024-06-02T12:00:00Z", &json!({})),
        )
        .row(
            "activities",
            activity(2, "clicked", "2024-05-31T12:00:00Z", &json!({"page": "/a"})),
        )
        .row(
            "activities",
            activity(2, "viewed", "2024-05-31T12:00:00Z", &json!({})),
        )
        // After `as_of`, so it is hidden.
        .row(
            "activities",
            activity(3, "clicked", "2024-07-01T00:00:00Z", &json!({})),
        )
        .row(
            "orders",
            order(1, "O1", "paid", "600", "2024-06-01T00:00:00Z"),
        )
        .row(
            "orders",
            order(1, "O2", "cancelled", "50", "2024-06-20T00:00:00Z"),
        )
        .row(
            "orders",
            order(2, "O3", "paid", "20", "2024-01-01T00:00:00Z"),
        )
        .row(
            "refunds",
            json!({ "person_id": 1, "order_id": "O1", "amount": "100",
            "refunded_at": "2024-06-10T00:00:00Z" }),
        )
        .row("order_lines", line("O1", "SKU-1", "shoes"))
        .row("order_lines", line("O2", "SKU-2", "hats"))
        .row("order_lines", line("O3", "SKU-1", "shoes"))
        .row(
            "deals",
            deal(1, "won", "done", json!("2024-06-15T00:00:00Z")),
        )
        .row(
            "deals",
            deal(2, "lost", "gone", json!("2024-08-01T00:00:00Z")),
        )
        .row(
            "tickets",
            json!({ "person_id": 3, "status": "open", "priority": "high",
            "opened_at": "2024-06-01T00:00:00Z" }),
        )
        .row(
            "objects",
            json!({ "person_id": 2, "object_type": "request",
            "created_at": "2023-01-01T00:00:00Z",
            "properties": json!({"size": 5}).to_string() }),
        )
}

async fn check(criteria: &str, expected: &[i64]) {
    let session = fixture().session().await;
    let rows = session.people_where(criteria).await;
    let rows = rows.unwrap_or_else(|error| panic!("{criteria}: {error}"));
    assert_eq!(rows.person_ids().await.unwrap(), expected, "{criteria}");
}

#[tokio::test]
async fn activities_are_counted_in_windows() {
    check("did('clicked')", &[1, 2]).await;
    check("not did('clicked')", &[3]).await;
    check("did('clicked', at_least => 2)", &[1]).await;
    check("did('clicked', at_most => 1)", &[2]).await;
    check(
        "did('clicked', at_least => 2, within => interval '30 days')",
        &[1],
    )
    .await;
    check(
        "did('clicked', at_least => 2, within => interval '29 days')",
        &[],
    )
    .await;
    // The window excludes its first moment and includes its last one.
    check("did('viewed', within => interval '28 days')", &[]).await;
    check("did('viewed', within => interval '28 days 1 second')", &[1]).await;
    check(
        "times('clicked') >= 1 and times('viewed', within => interval '29 days') = 0",
        &[2],
    )
    .await;
    check(
        "did('clicked', from => '2024-05-31', until => '2024-06-01')",
        &[2],
    )
    .await;
    check("did('clicked', from => now() - interval '2 days')", &[1]).await;
    check("did('clicked', within => last_month())", &[2]).await;
    check("times('clicked', within => this_month()) = 2", &[1]).await;
    check(
        "did('clicked', within => this_quarter()) and country = 'US'",
        &[2],
    )
    .await;
    check("did('never')", &[]).await;
}

#[tokio::test]
async fn behaviour_times_are_null_without_events() {
    check("first_time('clicked') < '2024-06-01'", &[2]).await;
    check("last_time('clicked') > '2024-06-01'", &[1]).await;
    check("last_time('clicked') is null", &[3]).await;
    check("not (last_time('clicked') > '2024-06-01')", &[2]).await;
    check("last_time('clicked') = last_time('viewed')", &[2]).await;
}

#[tokio::test]
async fn where_argument_reads_columns_and_properties() {
    check("did('clicked', where => 'channel = ''email''')", &[1, 2]).await;
    check("did('clicked', where => 'channel = ''sms''')", &[]).await;
    let page = "json_text(properties, ''page'') = ''/b''";
    check(&format!("did('clicked', where => '{page}')"), &[1]).await;
    check(
        "did('clicked', where => 'true or false -- a note')",
        &[1, 2],
    )
    .await;
    check("did('order_placed', where => 'total < 100')", &[1, 2]).await;
    check("spent(where => 'total >= 600') > 0", &[1]).await;
}

#[tokio::test]
async fn behaviour_counts_orders_as_traits_do() {
    check("did('order_placed', at_least => 2)", &[1]).await;
    check("ordered(at_least => 2)", &[1]).await;
    check("did('order_paid', at_least => 2)", &[]).await;
    check("did('order_paid')", &[1, 2]).await;
    check("did('order_refunded', within => interval '30 days')", &[1]).await;
    check("spent() = total_spent", &[1, 2, 3]).await;
    check("spent() = 500", &[1]).await;
    check("spent(within => interval '25 days') = -100", &[1]).await;
    check(
        "spent(from => '2024-01-01', until => '2024-02-01') = 20",
        &[2],
    )
    .await;
    check("bought('SKU-1')", &[1, 2]).await;
    check("bought('hats')", &[]).await;
    check("bought(category => 'shoes', within => last_year())", &[]).await;
    check(
        "bought(category => 'shoes', within => interval '60 days')",
        &[1],
    )
    .await;
}

#[tokio::test]
async fn deals_tickets_and_objects_are_counted_by_state() {
    check("did('deal_won')", &[1]).await;
    check("did('deal_lost')", &[]).await;
    check("did('deal_created', at_least => 1)", &[1, 2]).await;
    check("has_deal(status => 'open')", &[2]).await;
    check("has_deal(stage => 'done')", &[1]).await;
    check("has_ticket(priority => 'high')", &[3]).await;
    check("not has_ticket()", &[1, 2]).await;
    let large = "cast(json_text(properties, ''size'') as int) > 3";
    check(&format!("has_object('request', where => '{large}')"), &[2]).await;
    check("has_object('request', within => interval '1 year')", &[]).await;
}

#[tokio::test]
async fn sequence_matches_events_in_order() {
    check("sequence('clicked', 'viewed')", &[1]).await;
    check("sequence('viewed', 'clicked')", &[1]).await;
    check(
        "sequence('clicked', 'viewed', within => interval '1 day')",
        &[1],
    )
    .await;
    check(
        "sequence('clicked', 'viewed', within => interval '23 hours')",
        &[],
    )
    .await;
    check(
        "sequence('order_placed', 'order_refunded', within => interval '9 days')",
        &[1],
    )
    .await;
    check("sequence('clicked', 'clicked')", &[1]).await;
    check("sequence('clicked', 'viewed', from => '2024-06-02')", &[]).await;
    for (condition, persons) in [("true -- both", &[1][..]), ("person_id > 1", &[])] {
        let sequence = format!("sequence('clicked', 'viewed', where => '{condition}')");
        check(&sequence, persons).await;
    }
}

#[tokio::test]
async fn invalid_behaviour_calls_are_reported() {
    let session = fixture().session().await;
    for (criteria, message) in [
        (
            "did()",
            "`did` at line 1, column 1: it wants a type of behaviour in quotes",
        ),
        ("did(\"x\")", "it wants a type of behaviour in quotes"),
        (
            "did('x', at_lest => 2)",
            "it has no argument `at_lest`: did you mean `at_least`?",
        ),
        ("did('x', at_least => -2)", "`at_least` is a whole number"),
        (
            "did('x', at_least => 3, at_most => 2)",
            "nobody can meet it",
        ),
        ("did('x', within => 30)", "`within` is an interval"),
        (
            "did('x', within => last_mont())",
            "did you mean `last_month()`?",
        ),
        (
            "did('x', within => interval '1 day', from => '2024-01-01')",
            "it has either `within`",
        ),
        (
            "did('x', from => created_at)",
            "`from` is a moment for everybody",
        ),
        ("did('x', 'y')", "one argument comes without a name"),
        ("did('x') over ()", "`did` at line 1, column 1"),
        ("spent('x') > 1", "all of its arguments have names"),
        ("bought()", "it wants a sku or a category"),
        (
            "country = 'DE'\n and did('x', where => 'chanel = 1')",
            "in `where` of `did` at line 2, column 24: unknown column `chanel` at line 1",
        ),
        (
            "did('x', where => 'channel = ')",
            "in `where` of `did` at line 1, column 19",
        ),
        ("did('x', where => 'true) or (true')", "in `where` of `did`"),
        ("did('x', where => 'count(*) > 1')", "in `where` of `did`"),
        ("did('x', where => 'random() > 1')", "`random`"),
        (
            "did('x', where => 'exists (select 1)')",
            "not supported: a query within it",
        ),
        (
            "exists (select 1 from orders where did('x'))",
            "it cannot stand in a query within",
        ),
        ("in_segment('others')", "there is no segment `others`"),
        ("spent()", "must be true or false"),
        ("didd('x')", "did you mean"),
    ] {
        let error = session
            .people_where(criteria)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{criteria}: {error}");
    }
    let error = session
        .query("select did('x') from people")
        .await
        .unwrap_err();
    let message = "`did` at line 1, column 8: it stands in the criteria of a segment";
    assert!(error.to_string().starts_with(message), "{error}");
}
