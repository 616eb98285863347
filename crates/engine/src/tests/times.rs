//! Times of all years, and the calendar of the tenant.

use chrono_tz::Tz;
use serde_json::json;

use super::fixture::{Fixture, lines};
use crate::Session;

/// Persons of the first and the last year, and of days around a change of the clocks.
async fn session(zone: Tz) -> Session {
    let mut fixture = Fixture::new();
    fixture.zone = zone;
    fixture.as_of = "2025-06-15T22:30:00Z";
    let rows = [
        (1, "0001-01-01T00:00:00Z", "9999-12-31"),
        (2, "9999-12-31T23:00:00Z", "0001-01-01"),
        (3, "2025-02-28T23:30:00Z", "2025-07-01"),
        (4, "2025-03-30T00:30:00Z", "2025-05-01"),
        (5, "2025-03-01T00:00:00Z", "2025-06-16"),
    ];
    for (person, created, next) in rows {
        let row = json!({ "person_id": person, "created_at": created, "last_seen_at": created,
            "next_follow_up_date": next });
        fixture = fixture.row("persons", row);
    }
    fixture.session().await
}

async fn persons_where(session: &Session, criteria: &str) -> Vec<i64> {
    let rows = session.people_where(criteria).await;
    let rows = rows.unwrap_or_else(|error| panic!("{criteria}: {error}"));
    let ids = rows.person_ids().await;
    ids.unwrap_or_else(|error| panic!("{criteria}: {error}"))
}

async fn check(zone: Tz, expected: &[(&str, &[i64])]) {
    let session = session(zone).await;
    let mut wrong = Vec::new();
    for (criteria, persons) in expected {
        let found = persons_where(&session, criteria).await;
        if found != *persons {
            wrong.push(format!("{criteria}: {found:?}, not {persons:?}"));
        }
    }
    assert!(wrong.is_empty(), "in {zone}: {wrong:#?}");
}

#[tokio::test]
async fn years_1_and_9999_work() {
    let of_all: &[(&str, &[i64])] = &[
        ("last_seen_at < '1700-01-01'", &[1]),
        (
            "last_seen_at between '2025-01-01' and '9999-12-31'",
            &[3, 4, 5],
        ),
        (
            "last_seen_at not between '0001-01-01' and '2262-12-31'",
            &[2],
        ),
        (
            "last_seen_at in ('9999-12-31T23:00:00Z', '2025-03-01')",
            &[2, 5],
        ),
        ("last_seen_at is distinct from '0001-01-01'", &[2, 3, 4, 5]),
        ("last_seen_at > now()", &[2]),
        ("next_follow_up_date > now()", &[1, 3, 5]),
        ("next_follow_up_date > last_seen_at", &[1, 3, 4, 5]),
        ("date_trunc('year', last_seen_at) = '9999-01-01'", &[2]),
        ("date_trunc('week', last_seen_at) < '0001-01-02'", &[1]),
        (
            "date_bin(interval '1 day', last_seen_at) >= '9999-12-31'",
            &[2],
        ),
        (
            "date_bin(interval '1 month', last_seen_at) = '2025-03-01'",
            &[4, 5],
        ),
        ("extract(year from last_seen_at) in (1, 9999)", &[1, 2]),
        ("cast(last_seen_at as date) = '9999-12-31'", &[2]),
        ("to_char(last_seen_at, '%Y') = '9999'", &[2]),
        ("last_seen_at + interval '1 month' > '9999-12-31'", &[2]),
        ("last_seen_at - interval '1 year' < '0001-01-01'", &[1]),
        (
            "cast(last_seen_at as timestamp) < timestamp '1000-01-01'",
            &[1],
        ),
        ("to_timestamp('9999-12-31') <= last_seen_at", &[2]),
        ("coalesce(last_seen_at, '2025-01-01') > '9000-01-01'", &[2]),
        (
            "case when country = 'X' then last_seen_at else '9999-12-31' end > now()",
            &[1, 2, 3, 4, 5],
        ),
        (
            "greatest(last_seen_at, '9999-01-01') = '9999-01-01'",
            &[1, 3, 4, 5],
        ),
        ("last_seen_at::text like '9999-%'", &[2]),
        ("to_unixtime(last_seen_at) < 0", &[1]),
        ("to_date(cast(last_seen_at as text)) = '0001-01-01'", &[1]),
        (
            "last_seen_at = (select max(last_seen_at) from people)",
            &[2],
        ),
    ];
    check(Tz::UTC, of_all).await;
}

#[tokio::test]
async fn times_without_zone_use_the_tenant_zone() {
    let in_berlin: &[(&str, &[i64])] = &[
        (
            "created_at >= '2025-03-01' and created_at < '2025-03-02'",
            &[3, 5],
        ),
        (
            "created_at >= date '2025-03-01' and created_at < date '2025-03-02'",
            &[3, 5],
        ),
        ("created_at = '2025-03-01 01:00'", &[5]),
        ("created_at = timestamp '2025-03-01 01:00:00'", &[5]),
        (
            "created_at = cast('2025-03-01T01:00:00' as timestamp with time zone)",
            &[5],
        ),
        ("created_at = '2025-03-01T00:00:00Z'", &[5]),
        ("created_at = '2025-03-01T00:00:00+00:00'", &[5]),
        (
            "created_at >= '2025-03-01' at time zone 'UTC' and created_at < '2025-03-02'",
            &[5],
        ),
        (
            "created_at >= timestamp '2025-02-28 18:30' at time zone 'America/New_York' \
             and created_at < '2025-03-02'",
            &[3, 5],
        ),
        ("date_trunc('month', created_at) = '2025-03-01'", &[3, 4, 5]),
        (
            "date_trunc('month', created_at at time zone 'UTC') = '2025-03-01T00:00:00Z'",
            &[4, 5],
        ),
        (
            "extract(day from created_at) = 1 and extract(month from created_at) = 3",
            &[3, 5],
        ),
        ("cast(created_at as date) = '2025-03-01'", &[3, 5]),
        ("cast(created_at as date) = date '2025-03-01'", &[3, 5]),
        ("to_char(created_at, '%H:%M') = '00:30'", &[3]),
        (
            "cast(created_at as timestamp) = timestamp '2025-03-01 00:30:00'",
            &[3],
        ),
        // It is half past midnight of the 16th in Berlin.
        ("next_follow_up_date = current_date", &[5]),
        ("next_follow_up_date = today()", &[5]),
        ("next_follow_up_date <= now()", &[2, 4, 5]),
        ("date_trunc('day', now()) = '2025-06-16'", &[1, 2, 3, 4, 5]),
        (
            "date_trunc('month', now()) - interval '3 months' = '2025-03-01'",
            &[1, 2, 3, 4, 5],
        ),
        // The clocks skip half past two, which therefore means three o'clock: half an hour after
        // half past one.
        (
            "created_at + interval '30 minutes' = '2025-03-30 02:30'",
            &[4],
        ),
        (
            "created_at < '2025-03-30 02:10' and created_at > '2025-03-29'",
            &[4],
        ),
    ];
    check(Tz::Europe__Berlin, in_berlin).await;
    let in_utc: &[(&str, &[i64])] = &[
        (
            "created_at >= '2025-03-01' and created_at < '2025-03-02'",
            &[5],
        ),
        ("cast(created_at as date) = '2025-02-28'", &[3]),
        ("next_follow_up_date = current_date", &[]),
    ];
    check(Tz::UTC, in_utc).await;
}

#[tokio::test]
async fn comparisons_and_behaviour_windows_use_the_same_calendar() {
    let mut fixture = Fixture::new();
    fixture.zone = Tz::Europe__Berlin;
    fixture.as_of = "2025-04-10T12:00:00Z";
    let times = [
        "2025-02-28T22:59:59Z",
        "2025-02-28T23:00:00Z",
        "2025-03-01T00:00:00Z",
        "2025-03-31T21:59:59Z",
        "2025-03-31T22:00:00Z",
        // The clocks changed on the next day: the same local time twelve days before `as_of` is
        // 13:00 UTC.
        "2025-03-29T12:59:00Z",
        "2025-03-29T13:01:00Z",
    ];
    for (person, at) in (1..).zip(times) {
        let seen = json!({ "person_id": person, "type": "seen", "occurred_at": at });
        fixture = fixture
            .row("persons", json!({ "person_id": person }))
            .row("activities", seen);
    }
    let session = fixture.session().await;
    let month: [&str; 5] = [
        "did('seen', within => last_month())",
        "did('seen', from => '2025-03-01', until => '2025-04-01')",
        "did('seen', from => date_trunc('month', now()) - interval '1 month', \
         until => date_trunc('month', now()))",
        "did('seen', where => 'at >= ''2025-03-01'' and at < ''2025-04-01''')",
        "person_id in (select person_id from activities \
         where date_trunc('month', occurred_at) = '2025-03-01')",
    ];
    let days: [&str; 3] = [
        "did('seen', within => interval '12 days')",
        "did('seen', from => '2025-03-29T14:00:00.000001')",
        "person_id in (select person_id from activities \
         where occurred_at > now() - interval '12 days')",
    ];
    for criteria in month {
        assert_eq!(
            persons_where(&session, criteria).await,
            [2, 3, 4, 6, 7],
            "{criteria}"
        );
    }
    for criteria in days {
        assert_eq!(
            persons_where(&session, criteria).await,
            [4, 5, 7],
            "{criteria}"
        );
    }
    // Local times are those of Berlin; results are in UTC.
    let sql =
        "select max(occurred_at) as at, cast(max(occurred_at) as text) as shown from activities";
    let shown = "2025-03-31T22:00:00Z|2025-04-01T00:00:00+02:00";
    assert_eq!(lines(&session, sql).await, [shown]);
}

#[tokio::test]
async fn amounts_convert_at_the_rate_of_the_tenants_local_day() {
    let rate = |day: &str, rate: f64| json!({ "day": day, "currency": "USD", "rate": rate });
    let order = json!({ "status": "paid", "total": "10.00", "currency": "USD",
        "placed_at": "2024-06-01T23:00:00Z" });
    let mut fixture = Fixture::with_persons()
        .row("fx_rates", rate("2024-06-01", 2.0))
        .row("fx_rates", rate("2024-06-02", 3.0))
        .row("orders", order);
    fixture.zone = Tz::Europe__Berlin;
    let session = fixture.session().await;
    let sql = "select total_spent from people where person_id = 1";
    assert_eq!(lines(&session, sql).await, ["30.0000"]);
}

#[tokio::test]
async fn invalid_time_text_is_an_error_or_null() {
    let session = session(Tz::UTC).await;
    let rows = session.people_where("created_at > 'soon'").await;
    let found = match rows {
        Ok(rows) => rows.person_ids().await,
        Err(error) => Err(error),
    };
    assert!(found.unwrap_err().to_string().contains("soon"));
    let sql = "select try_cast('soon' as timestamp) as a, try_cast('2025-02-30' as date) as b";
    assert_eq!(lines(&session, sql).await, ["null|null"]);
    let union = "select created_at from people where person_id = 1 union all select '9999-12-31'";
    assert_eq!(lines(&session, union).await.len(), 2);
}
