//! Invalid frames of window functions are refused.

use super::fixture::{Fixture, text};
use serde_json::json;

fn orders() -> Fixture {
    let order = |day: u8| json!({"placed_at": format!("2024-01-0{day}T00:00:00Z"), "total": "1.5"});
    Fixture::with_persons()
        .row("orders", order(1))
        .row("orders", order(2))
        .row("orders", order(3))
}

#[tokio::test]
async fn negative_and_backward_frames_are_refused() {
    let session = orders().session().await;
    for (order_by, frame, expected) in [
        (
            "placed_at",
            "range between interval '-1 day' preceding and current row",
            "is negative",
        ),
        (
            "placed_at",
            "range between 1 preceding and current row",
            "intervals",
        ),
        (
            "placed_at",
            "rows between 18446744073709551615 preceding and current row",
            "too large",
        ),
        (
            "placed_at",
            "groups between current row and 18446744073709551615 following",
            "too large",
        ),
        (
            "placed_at",
            "range between interval '1 day' preceding and interval '-1 day' following",
            "is negative",
        ),
        (
            "placed_at",
            "range between interval '-1 day' preceding and interval '-1 day' following",
            "is negative",
        ),
        (
            "placed_at",
            "range between interval '1 month -31 days' preceding and current row",
            "is negative",
        ),
        (
            "cast(placed_at as date)",
            "range between interval '-1' month preceding and current row",
            "is negative",
        ),
        (
            "total",
            "range between '-1' preceding and current row",
            "is negative",
        ),
        (
            "total",
            "range between interval '-1' preceding and current row",
            "is negative",
        ),
        (
            "person_id",
            "rows between -1 preceding and current row",
            "non negative",
        ),
        (
            "placed_at",
            "groups between -1 preceding and current row",
            "non negative",
        ),
        (
            "placed_at",
            "range between interval 'soon' preceding and current row",
            "intervals",
        ),
        (
            "total",
            "range between interval '1 day' preceding and current row",
            "numbers",
        ),
        (
            "status",
            "range between 1 preceding and current row",
            "by a number or a time",
        ),
        (
            "placed_at - placed_at",
            "range between interval '1 day' preceding and current row",
            "by a number or a time",
        ),
        (
            "placed_at",
            "rows between 1 following and 1 preceding",
            "cannot end",
        ),
        (
            "placed_at",
            "rows between current row and 1 preceding",
            "cannot end",
        ),
    ] {
        let sql = format!("select count(*) over (order by {order_by} {frame}) from orders");
        let error = session.query(&sql).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
        // The same inside a subquery.
        let sql = format!("select 1 from people where 1 in ({sql})");
        assert!(session.query(&sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn valid_frames_are_computed() {
    let session = orders().session().await;
    for (order_by, frame, expected) in [
        (
            "placed_at",
            "range between interval '1 day' preceding and current row",
            [1, 2, 2],
        ),
        (
            "placed_at",
            "range between interval '0 days' preceding and interval '1 day' following",
            [2, 2, 1],
        ),
        (
            "placed_at",
            "range between interval '1 month -1 day' preceding and current row",
            [1, 2, 3],
        ),
        (
            "placed_at",
            "rows between 1 preceding and 1 following",
            [2, 3, 2],
        ),
        (
            "placed_at",
            "rows between 2 preceding and 1 preceding",
            [0, 1, 2],
        ),
        (
            "placed_at",
            "groups between current row and 1 following",
            [2, 2, 1],
        ),
        (
            "total",
            "range between 1 preceding and current row",
            [3, 3, 3],
        ),
        (
            "status",
            "range between unbounded preceding and current row",
            [3, 3, 3],
        ),
    ] {
        let sql = format!(
            "select count(*) over (order by {order_by} {frame}) as n from orders order by placed_at"
        );
        let answer = session.query(&sql).await.unwrap();
        let expected = expected.map(|n: i64| n.to_string());
        assert_eq!(text(&answer), expected, "{sql}");
    }
}
