//! Texts that once exhausted the engine: each fails in time, and the session remains usable.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{Fixture, lines};
use crate::{EngineError, Session};

async fn limited(change: impl FnOnce(&mut Fixture)) -> Session {
    let mut fixture = Fixture::with_persons();
    for person in 10..210 {
        fixture = fixture.row("persons", json!({ "person_id": person }));
    }
    change(&mut fixture);
    fixture.session().await
}

/// Runs a text that must fail, and a simple query after it.
async fn refuse(session: &Session, sql: &str) -> EngineError {
    let started = Instant::now();
    let error = session.query(sql).await.unwrap_err();
    let most = session.limits().time + Duration::from_secs(5);
    assert!(started.elapsed() < most, "took {:?}", started.elapsed());
    assert_eq!(lines(session, "select 1").await, ["1"]);
    error
}

#[tokio::test]
async fn too_many_terms_are_refused_before_planning() {
    let session = limited(|_| {}).await;
    let or = vec!["1 = 1"; 10_000].join(" or ");
    let plus = vec!["1"; 5_000].join(" + ");
    let union = vec!["select 1"; 4_000].join(" union all ");
    let nested = format!("select {}1{}", "(".repeat(1_000), ")".repeat(1_000));
    let cases = format!(
        "select {}1{}",
        "case when true then ".repeat(900),
        " end".repeat(900)
    );
    let not = format!("select {} true", "not ".repeat(1_900));
    let minus = format!("select {}1", "- ".repeat(1_900));
    let joins = format!(
        "select 1 from people a {}",
        "join people b on true ".repeat(300)
    );
    let subqueries = format!(
        "select 1 from {}",
        vec!["(select 1) as a"; 3_000].join(", ")
    );
    for sql in [
        format!("select {or}"),
        format!("select {plus}"),
        union,
        nested,
        minus,
        joins,
        subqueries,
    ] {
        let error = refuse(&session, &sql).await;
        assert!(
            matches!(error, EngineError::TooComplex { .. }),
            "{error}: {}",
            &sql[..60]
        );
    }
    // The parser refuses these by itself.
    refuse(&session, &cases).await;
    refuse(&session, &not).await;
    let error = session.people_where(&or).await.unwrap_err();
    let message = "the query has too many operators at line 1, column 9003: at most 2000";
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn texts_within_the_limits_run() {
    let session = limited(|fixture| fixture.limits.time = Duration::from_secs(120)).await;
    let or = vec!["person_id = 1"; 900].join(" or ");
    let sql = format!("select count(*) from people where {or}");
    assert_eq!(lines(&session, &sql).await, ["1"]);
    let many: Vec<_> = (0..200)
        .map(|id| format!("order_count + {id} = 5"))
        .collect();
    let ids = session
        .people_where(&many.join(" or "))
        .await
        .unwrap()
        .person_ids()
        .await;
    assert_eq!(ids.unwrap().len(), 203);
    let list: Vec<_> = (0..10_000).map(|id: i64| id.to_string()).collect();
    let sql = format!(
        "select count(*) from people where person_id in ({})",
        list.join(",")
    );
    assert_eq!(lines(&session, &sql).await, ["203"]);
    let plus = vec!["person_id"; 250].join(" + ");
    let sql = format!("select {plus} from people where person_id = 2");
    assert_eq!(lines(&session, &sql).await, ["500"]);
    let union = vec!["select 1 as one"; 150].join(" union all ");
    let sql = format!("select sum(one) from ({union})");
    assert_eq!(lines(&session, &sql).await, ["150"]);
    let nested = format!("select {}1{}", "(".repeat(90), ")".repeat(90));
    assert_eq!(lines(&session, &nested).await, ["1"]);
}

#[tokio::test]
async fn exponentially_growing_plan_is_refused() {
    let session = limited(|fixture| fixture.limits.time = Duration::from_secs(20)).await;
    let mut steps = String::from("t0 as (select 1 as one)");
    for step in 1..40 {
        let before = step - 1;
        steps +=
            &format!(", t{step} as (select * from t{before} union all select * from t{before})");
    }
    let message = "the query has too many tables and subqueries: at most 200";
    let sql = format!("with {steps} select count(*) from t39");
    assert_eq!(refuse(&session, &sql).await.to_string(), message);
    let within = format!("select * from (with {steps} select 1 from t39)");
    assert_eq!(refuse(&session, &within).await.to_string(), message);
    let criteria = format!("person_id in (with {steps} select 1 from t39)");
    let error = session.people_where(&criteria).await.unwrap_err();
    assert_eq!(error.to_string(), message);
    let mut sums = String::from("t0 as (select 1 as one)");
    for step in 1..100 {
        sums += &format!(", t{step} as (select one + one as one from t{})", step - 1);
    }
    let sql = format!("with {sums} select one > 5 from t{}", 50);
    assert_eq!(lines(&session, &sql).await, ["true"]);
}

#[tokio::test]
async fn recursion_and_length_are_refused() {
    let session = limited(|_| {}).await;
    let sql = "with recursive t as (select 1 as n union all select n + 1 from t) select * from t";
    let error = refuse(&session, sql).await;
    let message = "`with recursive` at line 1, column 6 is not available, because it may never end";
    assert_eq!(error.to_string(), message);
    let error = refuse(&session, &format!("select '{}'", "x".repeat(100_000))).await;
    assert_eq!(
        error.to_string(),
        "the SQL has 100009 characters, but the limit is 100000"
    );
}

#[tokio::test]
async fn text_functions_with_huge_results_are_refused() {
    let session = limited(|_| {}).await;
    let error = refuse(&session, "select repeat('x', 600000000)").await;
    let message = "the computation failed for a value: `repeat` gives more than 10000 characters";
    assert_eq!(error.to_string(), message);
    refuse(&session, "select repeat(repeat('x', 9000), 9000)").await;
    refuse(&session, "select lpad('x', 600000000)").await;
    refuse(&session, "select array_repeat(1, 600000000)").await;
    assert_eq!(
        lines(&session, "select repeat('ab', 3), lpad('7', 3, '0')").await,
        ["ababab|007"]
    );
}

#[tokio::test]
async fn cross_join_stops_at_the_time_limit() {
    let session = limited(|fixture| fixture.limits.time = Duration::from_secs(1)).await;
    let sql = "select count(*) from generate_series(1, 30000) a (x) \
         join generate_series(1, 30000) b (y) on a.x < b.y";
    let error = refuse(&session, sql).await;
    assert_eq!(
        error.to_string(),
        "the query took longer than 1 s and was stopped"
    );
}

#[tokio::test]
async fn query_stops_at_the_memory_limit() {
    let session = limited(|fixture| {
        fixture.limits.memory = 4 << 20;
        fixture.limits.disk = 1 << 20;
    })
    .await;
    // A series is sorted and grouped as a stream: keys in random order use memory.
    let sql = "select x * 7919 % 3000017 as k, count(*) from generate_series(1, 3000000) a (x) group by k order by k";
    let error = refuse(&session, sql).await;
    assert!(
        matches!(
            error,
            EngineError::MemoryExhausted { .. } | EngineError::DiskExhausted { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn results_stop_at_the_row_limit_and_report_it() {
    let session = limited(|fixture| fixture.limits.rows = 100).await;
    let answer = session
        .query("select * from generate_series(1, 100)")
        .await
        .unwrap();
    assert_eq!(
        (super::fixture::text(&answer).len(), answer.truncated),
        (100, false)
    );
    let answer = session
        .query("select * from generate_series(1, 101)")
        .await
        .unwrap();
    assert_eq!(
        (super::fixture::text(&answer).len(), answer.truncated),
        (100, true)
    );
    let mut rows = session
        .stream("select * from generate_series(1, 50000)")
        .await
        .unwrap();
    let mut count = 0;
    while let Some(batch) = rows.next_batch().await.unwrap() {
        count += batch.num_rows();
    }
    assert_eq!(count, 50_000);
}
