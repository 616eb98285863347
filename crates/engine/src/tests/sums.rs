//! Overflow of sums, and floats with one zero.

use serde_json::json;

use super::fixture::{Fixture, lines};

#[tokio::test]
async fn overflowing_sum_is_an_error() {
    let mut fixture = Fixture::with_persons();
    for _ in 0..4 {
        let order = json!({ "status": "paid", "currency": "EUR", "total": "999999999999999.9999",
            "placed_at": "2024-06-01T00:00:00Z" });
        fixture = fixture.row("orders", order);
    }
    let session = fixture.session().await;
    let many = "(values (9223372036854775807, 1), (9223372036854775807, 1), (5, 2)) as t (x, g)";
    let both = format!("(select x from {many} union all select x - 1 from {many})");
    for sql in [
        "select sum(total * total) from orders".to_owned(),
        "select avg(total * total) from orders".to_owned(),
        format!("select sum(x) from {many}"),
        format!("select g, sum(x) from {many} group by g"),
        format!("select sum(x) over (order by g) from {many}"),
        format!(
            "select sum(x) over (order by g rows between 1 preceding and current row) from {many}"
        ),
        format!("select sum(distinct x) from {both}"),
        "select 9223372036854775807 + 1".to_owned(),
        format!("select x + g from {many}"),
        format!("select x * 2 from {many}"),
        format!("select 0 - x - 2 from {many}"),
    ] {
        let answer = session.query(&sql).await;
        let error = answer
            .err()
            .unwrap_or_else(|| panic!("{sql} gives a number"));
        let told = error.to_string().to_lowercase();
        assert!(told.contains("overflow"), "{sql}: {error}");
    }
    for (sql, expected) in [
        (format!("select sum(x) from {many} where g = 2"), "5"),
        (
            format!("select sum(x - 9223372036854775800) from {many} where g = 1"),
            "14",
        ),
        (
            "select sum(distinct x) from (values (1), (1), (2)) as t (x)".to_owned(),
            "3",
        ),
        (
            "select sum(x) over (order by x rows between 1 preceding and current row) \
             from (values (1), (2), (4)) as t (x) order by x desc limit 1"
                .to_owned(),
            "6",
        ),
        (
            "select avg(total) from orders".to_owned(),
            "999999999999999.99990000",
        ),
        (
            "select sum(total) from orders where person_id = 7".to_owned(),
            "null",
        ),
        (
            "select total_spent from people where person_id = 1".to_owned(),
            "3999999999999999.9996",
        ),
    ] {
        assert_eq!(lines(&session, &sql).await, [expected], "{sql}");
    }
    let rich = "spent(within => interval '1 year') > 3999999999999999";
    let rich = session.people_where(rich).await.unwrap();
    assert_eq!(rich.person_ids().await.unwrap(), [1]);
}

#[tokio::test]
async fn unconvertible_amounts_are_counted_without_an_error() {
    let order = |person: i64, currency: &str, total: &str| {
        json!({ "person_id": person, "status": "paid", "currency": currency, "total": total,
            "placed_at": "2024-06-01T00:00:00Z" })
    };
    let rate = |currency: &str, rate: f64| json!({ "day": "2024-06-01", "currency": currency, "rate": rate });
    let session = Fixture::with_persons()
        .row("fx_rates", rate("IDR", 1000.0))
        .row("fx_rates", rate("XXX", 1e12))
        .row("orders", order(1, "IDR", "999999999999999.9999"))
        .row("orders", order(2, "XXX", "1.00"))
        .row("orders", order(3, "EUR", "5.00"))
        .session()
        .await;
    let sql = "select total_spent, unconverted_amount_count from people order by person_id";
    assert_eq!(
        lines(&session, sql).await,
        ["0.0000|1", "0.0000|1", "5.0000|0"]
    );
}

#[tokio::test]
async fn all_zeros_are_equal_and_all_nans_are_equal() {
    let session = Fixture::with_persons().session().await;
    let zeros =
        "(values (cast('-0.0' as double)), (0e0), (round(-4e-1)), (-1e0 * 0), (-(0e0))) as t (x)";
    for (sql, expected) in [
        (
            format!("select count(*) from (select x from {zeros} group by x)"),
            "1",
        ),
        (format!("select count(distinct x) from {zeros}"), "1"),
        (format!("select count(*) from {zeros} where x = 0"), "5"),
        (
            format!("select count(*) from {zeros} where x in (0e0)"),
            "5",
        ),
        (
            format!("select count(*) from {zeros} join (values (0e0)) as u (y) on x = y"),
            "5",
        ),
        (
            "select count(distinct x / x) from (values (0e0), (-0e0)) as t (x)".to_owned(),
            "1",
        ),
    ] {
        assert_eq!(lines(&session, &sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn invalid_value_is_null_for_its_person_only() {
    let session = Fixture::with_persons().session().await;
    for (criteria, expected, part) in [
        ("10 / (person_id - 1) > 6", vec![2], "10 / (person_id - 1)"),
        (
            "10 % (person_id - 1) = 0",
            vec![2, 3],
            "10 % (person_id - 1)",
        ),
        (
            "1.5 / (person_id - 1) > 1",
            vec![2],
            "1.5 / (person_id - 1)",
        ),
        (
            "cast(coalesce(country, '5') as bigint) = 5",
            vec![3],
            "CAST(coalesce(country, '5') AS BIGINT)",
        ),
        (
            "person_id * 4611686018427387904 > 0",
            vec![1],
            "person_id * 4611686018427387904",
        ),
        (
            "9223372036854775806 + person_id > 0",
            vec![1],
            "9223372036854775806 + person_id",
        ),
        (
            "0 < (person_id + 1) * cast(4e18 as bigint)",
            vec![1],
            "(person_id + 1) * CAST(4e18 AS BIGINT)",
        ),
        (
            "cast(person_id as decimal(38,0)) * cast('90000000000000000000000000000000000000' as \
             decimal(38,0)) > 0",
            vec![1],
            "CAST(person_id AS DECIMAL(38,0)) * CAST('90000000000000000000000000000000000000' AS \
             DECIMAL(38,0))",
        ),
        (
            "factorial(person_id * 10) > 1",
            vec![1, 2],
            "factorial(person_id * 10)",
        ),
        (
            "make_date(2147483646 + person_id, 1, 1) is null",
            vec![1, 2, 3],
            "make_date(2147483646 + person_id, 1, 1)",
        ),
        (
            "chr(1114110 + person_id) is not null",
            vec![1],
            "chr(1114110 + person_id)",
        ),
        (
            "to_date(coalesce(country, '2024-01-01')) = '2024-01-01'",
            vec![3],
            "to_date(coalesce(country, '2024-01-01'))",
        ),
        (
            "not (person_id * 4611686018427387904 > 0) or person_id = 3",
            vec![3],
            "person_id * 4611686018427387904",
        ),
        (
            "coalesce(country, '5')::int = 5",
            vec![3],
            "coalesce(country, '5')::INT",
        ),
        // A text compared with a time is converted to a time.
        (
            "coalesce(country, '2001-01-01') < now()",
            vec![3],
            "coalesce(country, '2001-01-01') < now()",
        ),
        (
            "now() > coalesce(country, '2001-01-01')",
            vec![3],
            "now() > coalesce(country, '2001-01-01')",
        ),
        (
            "not coalesce(country, '2001-01-01') = current_date",
            vec![3],
            "coalesce(country, '2001-01-01') = current_date",
        ),
        (
            "coalesce(country, '2001-01-01') between date '2000-01-01' and now()",
            vec![3],
            "coalesce(country, '2001-01-01') BETWEEN DATE '2000-01-01' AND now()",
        ),
    ] {
        let rows = session.people_where(criteria).await.unwrap();
        assert_eq!(rows.person_ids().await.unwrap(), expected, "{criteria}");
        let uncomputed = session.uncomputed().take();
        assert!(uncomputed.contains_key(part), "{criteria}: {uncomputed:?}");
        assert!(session.uncomputed().take().is_empty());
    }
    let wrong = session
        .people_where("date_trunc('bogus', created_at) is null")
        .await;
    assert!(wrong.is_err() || wrong.unwrap().person_ids().await.is_err());
    for criteria in ["10 / 5 = 2", "cast('7' as int) = 7", "total_spent / 2 = 0"] {
        let rows = session.people_where(criteria).await.unwrap();
        assert_eq!(rows.person_ids().await.unwrap(), [1, 2, 3], "{criteria}");
        assert!(session.uncomputed().take().is_empty(), "{criteria}");
    }
}
