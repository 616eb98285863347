//! Errors in SQL texts: the name, the position and the suggestion.

use std::collections::BTreeMap;

use super::fixture::Fixture;
use crate::Clause;

async fn check(sql: &str, expected: &str) {
    let session = Fixture::with_persons().session().await;
    let error = session.query(sql).await.unwrap_err();
    assert_eq!(error.to_string(), expected, "{sql}\n{error:?}");
}

async fn check_criteria(criteria: &str, expected: &str) {
    let session = Fixture::with_persons().session().await;
    let error = session.people_where(criteria).await.unwrap_err();
    assert_eq!(error.to_string(), expected, "{criteria}\n{error:?}");
}

#[tokio::test]
async fn unknown_names_have_positions_and_suggestions() {
    check(
        "select person_id,\n  contry from people",
        "unknown column `contry` in `people` at line 2, column 3; did you mean `country`?",
    )
    .await;
    check(
        "select p.total_spend from people p where p.country = 'DE'",
        "unknown column `total_spend` in `p` at line 1, column 8; did you mean `total_spent`?",
    )
    .await;
    check(
        "select * from peopel",
        "unknown table `peopel` at line 1, column 15; did you mean `people`?",
    )
    .await;
    check(
        "select cuont(*) from people",
        "unknown function `cuont` at line 1, column 8; did you mean `count`?",
    )
    .await;
    check(
        "select zzz from people",
        "unknown column `zzz` in `people` at line 1, column 8",
    )
    .await;
    check(
        "select person_id from people a, people b",
        "column `person_id` at line 1, column 8 is in more than one table: write `table.person_id`",
    )
    .await;
}

#[tokio::test]
async fn syntax_errors_have_positions() {
    check(
        "select * fro people\nwhere",
        "syntax error at line 1, column 10: expected end of statement, found fro",
    )
    .await;
    check(
        "select country from people where",
        "syntax error at line 1, column 33: expected an expression, found the end of the text",
    )
    .await;
    check(
        "selct 1",
        "syntax error at line 1, column 1: expected an SQL statement, found selct",
    )
    .await;
    check(
        "select 'open",
        "syntax error at line 1, column 8: unterminated string literal",
    )
    .await;
}

#[tokio::test]
async fn only_a_single_select_is_accepted() {
    for (sql, statement) in [
        ("drop table people", "drop"),
        ("insert into persons values (1)", "insert"),
        ("create table t as select 1", "create"),
        (
            "create external table t stored as csv location '/etc/passwd'",
            "create",
        ),
        ("copy people to '/tmp/people.csv'", "copy"),
        ("set datafusion.execution.batch_size = 1", "set"),
        ("show tables", "show"),
        ("explain select 1", "explain"),
        ("delete from persons", "delete"),
    ] {
        let expected =
            format!("only queries can be run, and `{statement}` is not one: write a `select`");
        check(sql, &expected).await;
    }
    check(
        "select 1;\n drop table people",
        "there is more than one statement: run them one by one",
    )
    .await;
    check(" -- nothing\n", "there is no SQL to run").await;
    check(" ; ", "there is no SQL to run").await;
    check(
        "select * from '/etc/passwd'",
        "unknown table `/etc/passwd` at line 1, column 15",
    )
    .await;
    let session = Fixture::with_persons().session().await;
    assert_eq!(
        super::fixture::lines(&session, "select 1 as one;").await,
        ["1"]
    );
    for sql in [
        "select 1 into t",
        "with t as (select 1) insert into persons select * from t",
    ] {
        assert!(session.query(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn type_errors_use_sql_type_names() {
    let session = Fixture::with_persons().session().await;
    for (sql, parts) in [
        (
            "select country + 1 from people where country > interval '1 day'",
            ["text", "integer"],
        ),
        (
            "select total_spent + last_order_at from people",
            ["decimal(29, 4)", "time"],
        ),
        (
            "select date_trunc(1, last_order_at) from people",
            ["date_trunc", "integer"],
        ),
    ] {
        let error = session.query(sql).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the types do not fit: "), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(
            !message.contains("Utf8") && !message.contains("Int64"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn errors_of_computation_name_their_cause() {
    let session = Fixture::with_persons().session().await;
    let error = session
        .query("select 1 / (person_id - 1) from people")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the computation failed for a value: division by zero"
    );
    let error = session
        .query("select cast(country as bigint) from people")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the computation failed for a value: cannot cast string 'DE' to value of integer type"
    );
    for sql in [
        "select count(*) from people where country ~ '('",
        "select regexp_replace(country, '(', 'x') from people",
        "select regexp_like('x', '(')",
    ] {
        let expected = "the computation failed for a value: a regular expression cannot be read: \
                        unclosed group";
        check(sql, expected).await;
    }
}

#[tokio::test]
async fn criteria_errors_have_positions_in_their_text() {
    check_criteria(
        "country = 'DE'\n  and totl_spent > 5",
        "unknown column `totl_spent` in `people` at line 2, column 7; did you mean `total_spent`?",
    )
    .await;
    check_criteria(
        "country = 'DE' and",
        "syntax error at line 1, column 19: expected an expression, found the end of the text",
    )
    .await;
    check_criteria(
        "country = 'DE' order by country",
        "syntax error at line 1, column 16: expected end of expression, found order",
    )
    .await;
    check_criteria(
        "order_count > 1 as many",
        "syntax error at line 1, column 20: expected the end of the criteria, found `many`",
    )
    .await;
    check_criteria(
        "order_count > 1; drop table people",
        "syntax error at line 1, column 16: expected end of expression, found ;",
    )
    .await;
    check_criteria(
        "total_spent",
        "criteria must be true or false, this gives decimal(29, 4)",
    )
    .await;
    check_criteria(
        "total_spent + 1",
        "criteria must be true or false, this gives decimal(30, 4)",
    )
    .await;
    check_criteria(
        "order_count > 1 and random() < 0.5",
        "`random` at line 1, column 21 cannot be used in criteria and traits, because it gives \
         another result each time",
    )
    .await;
    check_criteria(
        "total_spent > avg(total_spent)",
        "`avg` at line 1, column 15 needs many rows, but criteria are evaluated for one person at a time",
    )
    .await;
    check_criteria(
        "row_number() over (order by total_spent) < 10",
        "`row_number` at line 1, column 1 needs many rows, but criteria are evaluated for one person at a time",
    )
    .await;
}

#[tokio::test]
async fn double_quoted_text_is_reported_as_a_column() {
    let session = Fixture::with_persons().session().await;
    let error = session.people_where("country = \"US\"").await.unwrap_err();
    assert!(error.hint().unwrap().contains("single quotes"), "{error}");
    assert_eq!(error.position().map(|p| (p.line, p.column)), Some((1, 11)));
}

#[tokio::test]
async fn errors_of_a_clause_have_positions_in_the_whole_text() {
    let session = Fixture::with_persons().session().await;
    let text = "country = 'DE'\n and (country is null or contry = 'US')\n and total_spnt < 3";
    let condition = session.condition(text).unwrap();
    let mut positions = Vec::new();
    for clause in Clause::of(&condition).conjuncts() {
        let clause = clause.condition();
        let rows = session.people_matching(vec![clause], BTreeMap::new()).await;
        let position = rows.err().and_then(|error| error.position());
        positions.push(position.map(|position| (position.line, position.column)));
    }
    assert_eq!(positions, [None, Some((2, 26)), Some((3, 6))]);
}
