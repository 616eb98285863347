//! Time changes memberships: patched refreshes, predicted transition times and freshness agree with
//! it.

use std::fmt::Write;

use rollbook_model::Timestamp;
use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, column};
use crate::support::server::Server;

/// A lake with these rows of `persons`, and forty unaffected persons, so that a refresh patches.
fn lake(name: &str, columns: &str, persons: &[&str]) -> OwnLake {
    let lake = OwnLake::new(name);
    let mut rows = format!("external_id,{columns}\n");
    for person in persons {
        let _ = writeln!(rows, "{person}");
    }
    let commas = ",".repeat(columns.matches(',').count());
    for number in 0..40 {
        let _ = writeln!(rows, "filler{number},2020-06-15{commas}");
    }
    ingest(&lake, "persons", &rows);
    lake
}

fn ingest(lake: &OwnLake, table: &str, rows: &str) {
    let file = lake.write(&format!("sources/{table}.csv"), rows);
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
}

fn orders(lake: &OwnLake, placed: &[&str]) {
    let mut rows = "external_id,person_external_id,status,currency,total,placed_at\n".to_owned();
    for (number, at) in placed.iter().enumerate() {
        let _ = writeln!(rows, "o{number},a,paid,EUR,10,{at}");
    }
    ingest(lake, "orders", &rows);
}

fn activities(lake: &OwnLake, rows: &[(&str, &str)]) {
    let mut all = "external_id,person_external_id,type,occurred_at\n".to_owned();
    for (number, (kind, at)) in rows.iter().enumerate() {
        let _ = writeln!(all, "{number},a,{kind},{at}");
    }
    ingest(lake, "activities", &all);
}

/// Saves criteria as `s00`, `s01` and so on, replacing the earlier ones.
fn apply(lake: &OwnLake, criteria: &[&str]) {
    for (number, text) in criteria.iter().enumerate() {
        let file = format!("segments/{}.sql", key(number));
        lake.write(&file, &format!("-- refresh: manual\n{text}\n"));
    }
    let folder = lake.path("segments");
    lake.json(&["segment", "apply", folder.to_str().unwrap()]);
}

fn key(number: usize) -> String {
    format!("s{number:02}")
}

fn put(lake: &OwnLake, criteria: &str) {
    lake.json(&[
        "segment",
        "put",
        "s",
        "--criteria",
        criteria,
        "--refresh",
        "manual",
    ]);
}

fn refresh(lake: &OwnLake, as_of: &str, more: &[&str]) -> Value {
    let command = ["segment", "refresh", "s", "--as-of", as_of];
    lake.json(&[command.as_slice(), more].concat())
}

fn count(lake: &OwnLake) -> Value {
    lake.json(&["segment", "count", "s"])
}

#[test]
fn patched_refresh_sees_every_form_of_now() {
    let lake = lake(
        "clock_patches",
        "created_at,next_follow_up_date",
        &["a,2025-01-01,2025-02-05", "b,2025-01-20,2025-03-01"],
    );
    activities(&lake, &[("x", "2025-01-10T12:00:00Z")]);
    let criteria = [
        "created_at >= \"now\"() - interval '30 days'",
        "created_at >= NOW() - interval '30 days'",
        "created_at >= current_timestamp - interval '30 days'",
        "created_at >= \"current_timestamp\"() - interval '30 days'",
        "created_at >= CURRENT_DATE - interval '30 days'",
        "created_at >= \"today\"() - interval '30 days'",
        "created_at + interval '30 days' >= now()",
        "interval '30 days' + created_at >= now()",
        "created_at < case when now() >= '2025-02-05' then now() end",
        "case when created_at >= now() - interval '30 days' then 'new' else 'old' end = 'new'",
        "(created_at >= now() - interval '30 days') is not true",
        "now() between created_at and created_at + interval '30 days'",
        "not now() - interval '30 days' > created_at",
        "next_follow_up_date in (current_date, current_date - interval '5 days')",
        "next_follow_up_date <= current_date",
        "date_trunc('month', created_at) = date_trunc('month', now())",
        "extract(month from created_at) = extract(month from now())",
        "date_part('month', created_at) + 1 = date_part('month', now())",
        "created_at is distinct from date_trunc('month', now())",
        "did('x', from => now() - interval '30 days')",
        "did('x', from => date_trunc('month', now()))",
        "did('x', where => 'occurred_at >= \"now\"() - interval ''30 days''')",
        "did('x', within => last_month())",
        "coalesce(last_time('x'), created_at) >= now() - interval '30 days'",
        "person_id in (select person_id from activities where occurred_at > now() - interval '30 days')",
    ];
    apply(&lake, &criteria);
    let refresh = |as_of: &str, more: &[&str]| {
        let command = ["segment", "refresh", "--as-of", as_of];
        lake.json(&[command.as_slice(), more].concat())
    };
    let members = || {
        lake.sql(
            "select segment, count(*) as n, sum(person_id * person_id) as ids from segment_members \
             group by 1 order by 1",
        )
    };
    refresh("2025-01-25", &[]);
    let patched = refresh("2025-02-10", &[]);
    let of_patch = members();
    refresh("2025-02-10", &["--full"]);
    let of_all = members();
    assert!(of_all.len() * 2 > criteria.len(), "{of_all:?}");
    for (number, criteria) in criteria.iter().enumerate() {
        let of = |rows: &[Value]| {
            let mut rows = rows.iter();
            rows.find(|row| row["segment"] == json!(key(number)))
                .cloned()
        };
        assert_eq!(of(&of_patch), of(&of_all), "{criteria}");
    }
    // Not because all were evaluated.
    let evaluated = column(&patched, "evaluated");
    let some = evaluated.iter().filter(|one| one.is_number()).count();
    assert!(some > criteria.len() / 2, "{evaluated:?}");
}

/// Compares the explanation of person 1 with the membership just before and at the predicted moment.
fn turns(server: &Server, key: &str, criteria: &str, as_of: &str, expected: &str) {
    let explain = |at: &str| {
        let path = format!("/v1/segments/{key}/explain/1?as_of={at}");
        server.get(&path).json()
    };
    let explained = explain(as_of);
    let turn = match &explained["turns_at"] {
        Value::Null => &explained["turns"],
        at => at,
    };
    assert_eq!(turn, expected, "{criteria} from {as_of}: {explained}");
    if explained["turns_at"].is_string() {
        let at = expected.parse::<Timestamp>().unwrap();
        let before = Timestamp::from_micros(at.micros() - 1);
        let is_member = |at: &str| explain(at)["is_member"].clone();
        assert_eq!(explained["is_member"], is_member(&before.to_string()));
        assert_ne!(explained["is_member"], is_member(expected), "{criteria}");
    }
}

#[test]
fn predicted_transition_times_are_exact() {
    let lake = lake(
        "clock_turns",
        "created_at,marketing_opt_in_date,next_follow_up_date",
        &["a,2025-01-31T10:00:00Z,2025-06-10,2025-06-10"],
    );
    orders(&lake, &["2025-02-28T12:00:00Z"]);
    activities(&lake, &[("x", "2025-07-30T12:00:00Z")]);
    let cases = [
        (
            "ordered(within => interval '1 month')",
            "2025-03-01",
            "2025-03-28T12:00:00Z",
        ),
        (
            "ordered(within => interval '1 month')",
            "2025-03-28T18:00:00Z",
            "2025-03-29T00:00:00Z",
        ),
        (
            "ordered(within => interval '1 month')",
            "2025-03-29T06:00:00Z",
            "2025-03-29T12:00:00Z",
        ),
        (
            "ordered(within => interval '1 month')",
            "2025-03-31T18:00:00Z",
            "time alone changes nothing",
        ),
        (
            "created_at + interval '1 month' > now()",
            "2025-02-20",
            "2025-02-28T10:00:00Z",
        ),
        (
            "created_at < now() - interval '1 month'",
            "2025-02-20",
            "2025-03-01T00:00:00Z",
        ),
        (
            "marketing_opt_in_date <= now() + interval '7 days'",
            "2025-05-01",
            "2025-06-03T00:00:00Z",
        ),
        (
            "last_order_at - interval '3 days' <= now() - interval '30 days'",
            "2025-03-05",
            "2025-03-27T12:00:00Z",
        ),
        (
            "did('x', within => yesterday())",
            "2025-06-01",
            "2025-07-31T00:00:00Z",
        ),
        (
            "did('x', within => last_year())",
            "2025-08-01",
            "2026-01-01T00:00:00Z",
        ),
        (
            "next_follow_up_date <= current_date",
            "2025-06-01",
            "2025-06-10T00:00:00Z",
        ),
        (
            "next_follow_up_date <= \"today\"()",
            "2025-06-01",
            "2025-06-10T00:00:00Z",
        ),
        (
            "next_follow_up_date < CURRENT_DATE",
            "2025-06-01",
            "2025-06-11T00:00:00Z",
        ),
        (
            "created_at >= date_trunc('month', now()) - interval '1 month'",
            "2025-02-10",
            "2025-03-01T00:00:00Z",
        ),
        (
            "extract(month from now()) = extract(month from created_at)",
            "2025-02-10",
            "2026-01-01T00:00:00Z",
        ),
        (
            "now() >= '2025-04-01'",
            "2025-02-10",
            "2025-04-01T00:00:00Z",
        ),
        (
            "did('x', from => now() - interval '2 days')",
            "2025-08-01",
            "2025-08-01T12:00:00.000001Z",
        ),
        (
            "first_time('x') > now() - interval '1 month'",
            "2025-08-01",
            "2025-08-30T12:00:00Z",
        ),
        (
            "country is null",
            "2025-08-01",
            "time alone changes nothing",
        ),
        (
            "extract(second from now()) = 1",
            "2025-08-01",
            "it uses the current time in a way that cannot be predicted",
        ),
    ];
    apply(&lake, &cases.map(|(criteria, ..)| criteria));
    let server = Server::start(&lake, "default");
    for (number, (criteria, as_of, expected)) in cases.into_iter().enumerate() {
        turns(&server, &key(number), criteria, as_of, expected);
    }
}

#[test]
fn future_created_at_does_not_count_yet() {
    let lake = lake(
        "clock_later",
        "created_at",
        &["a,2025-03-01T00:00:00Z", "b,2025-03-01T00:00:00.000001Z"],
    );
    let criteria = [
        "cast(created_at as date) = current_date",
        "created_at >= date_trunc('day', now())",
        "created_at >= '2025-01-01'",
        "created_at is null",
        "not created_at < '2025-01-01'",
        "person_id in (select person_id from people where created_at >= '2025-01-01')",
    ];
    apply(&lake, &criteria);
    let server = Server::start(&lake, "default");
    let moments = [
        ("2025-02-28T23:59:59.999999Z", [0, 0, 0, 2, 0, 0]),
        ("2025-03-01", [1, 1, 1, 1, 1, 1]),
        ("2025-03-01T00:00:00.000001Z", [2, 2, 2, 0, 2, 2]),
        ("2025-03-02", [0, 0, 2, 0, 2, 2]),
        ("2025-02-01", [0, 0, 0, 2, 0, 0]),
    ];
    for (as_of, expected) in moments {
        lake.json(&["segment", "refresh", "--as-of", as_of]);
        for (number, (criteria, expected)) in criteria.iter().zip(expected).enumerate() {
            let refreshed = lake.json(&["segment", "count", &key(number)]);
            assert_eq!(refreshed["count"], expected, "{criteria} at {as_of}");
            let asked = json!({ "criteria": criteria, "as_of": as_of });
            let previewed = server.send("POST", "/v1/segments/preview", &asked).json();
            assert_eq!(
                previewed["count"], expected,
                "{criteria} at {as_of}, kept in memory"
            );
        }
    }
    turns(
        &server,
        "s02",
        criteria[2],
        "2025-02-01",
        "2025-03-01T00:00:00Z",
    );
    turns(
        &server,
        "s03",
        criteria[3],
        "2025-02-01",
        "2025-03-01T00:00:00Z",
    );
}

#[test]
fn sequence_matches_any_two_events_within_months() {
    let lake = lake("clock_sequence", "created_at", &["a,2020-01-01"]);
    let preview = |within: &str| {
        let criteria = format!("sequence('x', 'y', within => interval '{within}')");
        let found = lake.json(&["segment", "preview", "--criteria", &criteria]);
        found["count"].clone()
    };
    activities(
        &lake,
        &[
            ("x", "2025-01-30T12:00:00Z"),
            ("x", "2025-01-31T00:00:00Z"),
            ("y", "2025-02-28T06:00:00Z"),
        ],
    );
    // From the 30th at noon a month goes to the 28th at noon, from the 31st to its midnight.
    assert_eq!(preview("1 month"), json!(1));
    assert_eq!(preview("28 days"), json!(0));
    assert_eq!(preview("28 days 6 hours"), json!(1));
}

#[test]
fn criteria_are_explained_in_any_letter_case() {
    let lake = lake(
        "clock_case",
        "created_at,loyalty_points",
        &["a,2020-01-01,5"],
    );
    activities(&lake, &[("x", "2025-01-01")]);
    for (criteria, value, bound) in [
        ("did('x', AT_LEAST => 1)", "1", json!("1")),
        (
            "DID('x', At_Least => 2, WITHIN => interval '1 year')",
            "1",
            json!("2"),
        ),
        ("ordered(At_Most => 3, at_least => 0)", "0", Value::Null),
        (
            "Ordered(where => 'total > 1', AT_LEAST => 0)",
            "0",
            json!("0"),
        ),
    ] {
        put(&lake, criteria);
        let explained = lake.json(&["segment", "explain", "s", "1", "--as-of", "2025-06-01"]);
        assert_eq!(explained["why"]["value"], value, "{criteria}");
        assert_eq!(explained["why"]["bound"], bound, "{criteria}");
        lake.json(&["segment", "near-miss", "s", "--as-of", "2025-06-01"]);
    }
}

/// The status of a segment in an answer.
fn of(answer: &Value) -> Value {
    json!([answer["status"], answer["reason"], answer["since"]])
}

/// The status of `s` in every answer of the program.
fn standings(lake: &OwnLake) -> Value {
    let counted = count(lake);
    assert_eq!(of(&lake.json(&["segment", "show", "s"])), of(&counted));
    let members = lake.run(&["segment", "members", "s"]);
    let message = String::from_utf8_lossy(&members.stderr);
    let is_told = message.contains("segment `s` is stale");
    assert_eq!(is_told, counted["status"] == "stale", "{message}");
    of(&counted)
}

#[test]
fn segment_is_stale_once_time_can_have_changed_it() {
    let lake = lake(
        "clock_fresh",
        "created_at,next_follow_up_date,country",
        &["a,2025-01-01T08:00:00Z,2025-06-10,DE"],
    );
    orders(
        &lake,
        &["2025-01-01T12:00:00Z", "2025-02-01T12:00:00Z", "2099-01-01"],
    );
    activities(
        &lake,
        &[("x", "2025-02-01T06:00:00Z"), ("y", "2025-02-01T05:00:00Z")],
    );
    let stale = |since: &str| json!(["stale", "because time passed", since]);
    let fresh = json!(["fresh", null, null]);
    let cases = [
        ("country = 'DE'", fresh.clone()),
        ("did('x')", fresh.clone()),
        ("total_spent > 1", fresh.clone()),
        ("created_at < now() - interval '3 days'", fresh.clone()),
        (
            "not did('x', from => '2025-01-01', until => '2025-03-01')",
            fresh.clone(),
        ),
        (
            "did('x', within => interval '30 days')",
            stale("2025-03-03T06:00:00Z"),
        ),
        (
            "sequence('x', 'y', from => now() - interval '30 days')",
            stale("2025-03-03T05:00:00.000001Z"),
        ),
        ("did('never', within => interval '30 days')", fresh.clone()),
        (
            "ordered(within => interval '30 days')",
            stale("2025-03-03T12:00:00Z"),
        ),
        (
            "did('x', within => this_month())",
            stale("2025-03-01T00:00:00Z"),
        ),
        (
            "last_order_at < now() - interval '30 days'",
            stale("2025-03-03T12:00:00.000001Z"),
        ),
        (
            "created_at >= now() - interval '60 days'",
            stale("2025-03-02T08:00:00.000001Z"),
        ),
        (
            "next_follow_up_date <= current_date",
            stale("2025-06-10T00:00:00Z"),
        ),
        (
            "extract(year from created_at) = extract(year from now()) - 1",
            stale("2026-01-01T00:00:00Z"),
        ),
        ("now() < '2025-04-01'", stale("2025-04-01T00:00:00Z")),
        ("now() < '2099-04-01'", fresh.clone()),
        (
            "select person_id from people where created_at > now() - interval '1 day'",
            stale("2025-02-10T00:00:00.000001Z"),
        ),
        (
            "select person_id from people where country = 'DE'",
            fresh.clone(),
        ),
    ];
    let criteria: Vec<&str> = cases.iter().map(|(criteria, _)| *criteria).collect();
    apply(&lake, &criteria);
    lake.json(&["segment", "refresh", "--as-of", "2025-02-10"]);
    let listed = lake.json(&["segment", "list"]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), cases.len());
    for (listed, (criteria, expected)) in listed.iter().zip(&cases) {
        assert_eq!(of(listed), *expected, "{criteria}");
    }
    // Named by another, and refreshed for the present.
    put(&lake, "did('x', within => interval '30 days')");
    lake.json(&[
        "segment",
        "put",
        "outer",
        "--criteria",
        "not in_segment('s')",
    ]);
    lake.json(&["segment", "refresh", "--as-of", "2025-02-10"]);
    let outer = lake.json(&["segment", "count", "outer"]);
    assert_eq!(outer["since"], "2025-03-03T06:00:00Z");
    lake.json(&["segment", "refresh"]);
    assert_eq!(standings(&lake), fresh);
    // Other settings.
    lake.json(&["settings", "timezone", "Asia/Tokyo"]);
    assert_eq!(count(&lake)["reason"], "the settings were changed since");
    lake.json(&["segment", "refresh"]);
    assert_eq!(standings(&lake), fresh);
}

#[test]
fn server_reports_staleness_by_time_in_every_answer() {
    let lake = lake(
        "clock_server",
        "created_at",
        &["a,2025-01-01T08:00:00Z", "b,2025-01-02"],
    );
    put(&lake, "created_at >= now() - interval '60 days'");
    refresh(&lake, "2025-02-10", &[]);
    let server = Server::start(&lake, "default");
    let since = "2025-03-02T08:00:00.000001Z";
    let stale = json!(["stale", "because time passed", since]);
    for path in [
        "/v1/segments/s",
        "/v1/segments/s/count",
        "/v1/segments/s/members?limit=1",
    ] {
        assert_eq!(of(&server.get(path).json()), stale, "{path}");
    }
    assert_eq!(of(&server.get("/v1/segments").json()[0]), stale);
    let token = server.get("/v1/segments/s/members?limit=1").json()["next_page_token"].clone();
    let next = format!(
        "/v1/segments/s/members?limit=1&page_token={}",
        token.as_str().unwrap()
    );
    assert_eq!(of(&server.get(&next).json()), stale);
    let whole = server.get("/v1/segments/s/members?stream=true&format=csv");
    assert_eq!(whole.header("x-status"), "stale");
    assert_eq!(whole.header("x-since"), since);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("rollbook_segments{tenant=\"default\",status=\"stale\"} 1"),
        "{metrics}"
    );
}
