//! Names of result columns.

use super::fixture::Fixture;

#[tokio::test]
async fn columns_without_alias_are_named_by_their_sql() {
    let session = Fixture::with_persons().session().await;
    let check = async |sql: &str, expected: &[&str]| {
        let answer = session.query(sql).await.unwrap();
        let names = answer.schema.fields().iter().map(|f| f.name().as_str());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{sql}");
        for batch in &answer.batches {
            assert_eq!(batch.schema(), answer.schema, "{sql}");
        }
    };
    check("select 1", &["1"]).await;
    check(
        "select 1, 'x', 1.5, null, true",
        &["1", "'x'", "1.5", "null", "true"],
    )
    .await;
    check("select -1, 1  +\n 2;", &["-1", "1 + 2"]).await;
    check(
        "select count(*), COUNT(*) + 0 from people",
        &["count(*)", "COUNT(*) + 0"],
    )
    .await;
    check("select sum(order_count) from people", &["sum(order_count)"]).await;
    check(
        "select country, upper(country), count(*) n from people group by 1, 2",
        &["country", "upper(country)", "n"],
    )
    .await;
    check(
        "select distinct coalesce(country, 'x') from people",
        &["coalesce(country, 'x')"],
    )
    .await;
    check(
        "select country is distinct from 'DE', extract(year from created_at) from people",
        &[
            "country is distinct from 'DE'",
            "extract(year from created_at)",
        ],
    )
    .await;
    check(
        "with a as (select 2 as b) select b, b * 2, (select max(b) from a) from a",
        &["b", "b * 2", "(select max(b) from a)"],
    )
    .await;
    check("select 1 union all select 2", &["1"]).await;
    check("(select 1)", &["1"]).await;
    check(
        "select 0, t.*, b + 1 from (select 1 as a, 2 as b) t",
        &["0", "a", "b", "b + 1"],
    )
    .await;
    check(
        "select cast(1 as bigint), 2::bigint from people limit 1",
        &["cast(1 as bigint)", "2::bigint"],
    )
    .await;
    // Two columns never get the same name.
    check("select 2 as \"1\", 1", &["1", "Int64(1)"]).await;
}

#[tokio::test]
async fn result_columns_have_distinct_names() {
    let session = Fixture::with_persons().session().await;
    let check = async |sql: &str, expected: &[&str]| {
        let answer = session.query(sql).await;
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let names = answer.schema.fields().iter().map(|f| f.name().as_str());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{sql}");
        assert!(
            answer.batches.iter().any(|batch| batch.num_rows() > 0),
            "{sql}"
        );
    };
    check("select 1, 1", &["1", "1_2"]).await;
    check("select 1 as \"1_2\", 1, 1", &["1_2", "1", "1_3"]).await;
    check(
        "select created_at, cast(created_at as date) from people",
        &["created_at", "cast(created_at as date)"],
    )
    .await;
    check(
        "select cast(created_at as date), created_at from people order by created_at",
        &["cast(created_at as date)", "created_at"],
    )
    .await;
    check(
        "select count(*), count(*), Count(*) from people",
        &["count(*)", "count(*)_2", "Count(*)"],
    )
    .await;
    check(
        "select country, sum(total_spent), sum(total_spent::double) from people group by country \
         order by sum(total_spent) desc, 1",
        &["country", "sum(total_spent)", "sum(total_spent::double)"],
    )
    .await;
    check(
        "select order_count, order_count, people.order_count from people",
        &["order_count", "order_count_2", "order_count_3"],
    )
    .await;
    check(
        "select a.country, b.country from people a join people b using (person_id)",
        &["country", "country_2"],
    )
    .await;
    check(
        "select x.*, y.*, x.a, x.a + 1 from (select 1 as a) x join (select 1 as a) y on x.a = y.a",
        &["a", "a_3", "a_2", "x.a + 1"],
    )
    .await;
    check(
        "select *, a::text from (select a, a from (select 1 as a)) where a = 1",
        &["a", "a_2", "a::text"],
    )
    .await;
    check(
        "select distinct country, country::text from people order by country",
        &["country", "country::text"],
    )
    .await;
    check(
        "select created_at::date, created_at, count(*) from people group by 1, 2 order by 2",
        &["created_at::date", "created_at", "count(*)"],
    )
    .await;
}
