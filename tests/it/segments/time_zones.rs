//! The tenant's time zone and calendar, times of all years, exchange rates and odd values, through
//! the program and over HTTP.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

fn ingest(lake: &OwnLake, table: &str, rows: &str) {
    let file = lake.write(&format!("sources/{table}.csv"), rows);
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
}

/// A tenant in Berlin with persons created around the first of March there.
fn berlin(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let times = [
        "2025-02-28T22:59:59Z",
        "2025-02-28T23:00:00Z",
        "2025-03-31T21:59:59Z",
        "2025-03-31T22:00:00Z",
    ];
    let mut persons = "external_id,email,created_at\n".to_owned();
    let mut orders = "external_id,person_external_id,status,currency,total,placed_at\n".to_owned();
    for (at, time) in (1..).zip(times) {
        persons += &format!("p{at},p{at}@example.com,{time}\n");
        orders += &format!("o{at},p{at},paid,EUR,1{at},{time}\n");
    }
    ingest(&lake, "persons", &persons);
    ingest(&lake, "orders", &orders);
    lake.json(&["settings", "timezone", "Europe/Berlin"]);
    lake
}

fn count(lake: &OwnLake, criteria: &str, as_of: &str) -> Value {
    let preview = [
        "segment",
        "preview",
        "--criteria",
        criteria,
        "--as-of",
        as_of,
    ];
    lake.json(&preview)["sample"].clone()
}

#[test]
fn all_queries_count_days_in_the_tenant_time_zone() {
    let lake = berlin("calendar_berlin");
    for criteria in [
        "created_at >= '2025-03-01' and created_at < '2025-04-01'",
        "date_trunc('month', created_at) = '2025-03-01'",
        "last_order_at >= date '2025-03-01' and last_order_at < date '2025-04-01'",
        "did('order_placed', from => '2025-03-01', until => '2025-04-01')",
        "did('order_placed', within => last_month())",
        "person_id in (select person_id from orders where cast(placed_at as date) between \
         '2025-03-01' and '2025-03-31')",
    ] {
        assert_eq!(
            count(&lake, criteria, "2025-04-10"),
            json!([2, 3]),
            "{criteria}"
        );
    }
    // The date of `--as-of` begins in Berlin: the second order is seen, the fourth is not.
    let ordered = "did('order_placed')";
    assert_eq!(count(&lake, ordered, "2025-03-01"), json!([1, 2]));
    assert_eq!(count(&lake, ordered, "2025-03-01T00:00:00Z"), json!([1, 2]));
    assert_eq!(
        count(&lake, ordered, "2025-03-31T23:59:59"),
        json!([1, 2, 3])
    );
    let booked = |from: &str, to: &str| {
        let run = [
            "attribution",
            "run",
            "--as-of",
            "2025-05-01",
            "--from",
            from,
            "--to",
            to,
        ];
        lake.json(&run)["booked"].clone()
    };
    assert_eq!(booked("2025-03-01", "2025-04-01"), "25.0000");
    assert_eq!(
        booked("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z"),
        "27.0000"
    );

    let server = Server::start(&lake, "default");
    let ask = |as_of: &str| {
        let question = json!({ "query": "select count(*) as n, max(placed_at) as at from orders",
            "as_of": as_of });
        server.send("POST", "/v1/sql", &question).json()
    };
    let answer = ask("2025-03-01");
    assert_eq!(answer["as_of"], "2025-02-28T23:00:00Z");
    assert_eq!(
        answer["rows"][0],
        json!({ "n": 2, "at": "2025-02-28T23:00:00Z" })
    );
    assert_eq!(ask("2025-03-31T22:00:00Z")["rows"][0]["n"], 4);
    let run = json!({ "from": "2025-03-01", "to": "2025-04-01", "as_of": "2025-05-01" });
    let run = server.send("POST", "/v1/attribution/runs", &run).json();
    assert_eq!(run["booked"], "25.0000");
}

#[test]
fn refresh_follows_days_of_the_tenant_time_zone() {
    let lake = berlin("calendar_refreshes");
    let criteria = "cast(last_order_at as date) = current_date";
    lake.json(&["segment", "put", "today", "--criteria", criteria]);
    for (as_of, expected) in [
        ("2025-02-28T22:59:59Z", json!([1])),
        ("2025-02-28T23:00:00Z", json!([2])),
        ("2025-03-01T22:59:59Z", json!([2])),
        ("2025-03-01T23:00:00Z", json!([])),
        ("2025-03-31T21:59:59Z", json!([3])),
        ("2025-03-31T22:00:00Z", json!([4])),
    ] {
        lake.json(&["segment", "refresh", "today", "--as-of", as_of]);
        let members = lake.json(&["segment", "members", "today"]);
        assert_eq!(members, expected, "{as_of}");
    }
}

#[test]
fn one_odd_value_does_not_fail_other_persons() {
    let lake = OwnLake::new("calendar_odd");
    let persons = "external_id,email,created_at,next_follow_up_date\n\
                   p1,a@example.com,2025-03-02,2025-07-01\n\
                   p2,b@example.com,0001-01-01,9999-12-31\n\
                   p3,c@example.com,9999-12-31T23:59:59Z,0001-01-01\n";
    ingest(&lake, "persons", persons);
    let orders = "external_id,person_external_id,status,currency,total,placed_at\n\
                  o1,p1,paid,EUR,10,2025-03-05\n\
                  o2,p2,paid,EUR,999999999999999.9999,0001-01-02\n\
                  o3,p2,paid,EUR,999999999999999.9999,2025-01-02\n\
                  o4,p3,paid,XTS,5,2025-01-02\n";
    ingest(&lake, "orders", orders);
    ingest(
        &lake,
        "fx_rates",
        "day,currency,rate\n2025-01-01,XTS,1e30\n",
    );
    lake.json(&["settings", "currency", "EUR"]);
    for (criteria, expected) in [
        (
            "created_at between '2025-01-01' and '9999-12-31'",
            json!([1]),
        ),
        ("next_follow_up_date > now()", json!([1, 2])),
        ("total_spent > 5", json!([1, 2])),
        (
            "spent(from => '0001-01-01', until => '9999-12-31') > 5",
            json!([1, 2]),
        ),
        ("unconverted_amount_count = 1", json!([3])),
        (
            "last_order_at < now() - interval '3 months'",
            json!([1, 2, 3]),
        ),
        ("10 / (person_id - 1) > 6", json!([2])),
        ("cast(email as bigint) = 3 or person_id = 1", json!([1])),
    ] {
        assert_eq!(count(&lake, criteria, "2025-06-15"), expected, "{criteria}");
    }
    let criteria = "10 / (person_id - 1) > 6";
    lake.json(&["segment", "put", "odd", "--criteria", criteria]);
    let outcome = lake.json(&["segment", "refresh", "odd", "--as-of", "2025-06-15"]);
    assert_eq!(outcome[0]["count"], 1);
    let warnings = outcome[0]["warnings"].to_string();
    assert!(warnings.contains("10 / (person_id - 1)"), "{outcome}");
}

#[test]
fn missing_exchange_rate_falls_back_within_fx_days() {
    let lake = OwnLake::new("calendar_rates");
    ingest(
        &lake,
        "persons",
        "external_id,email\np1,a@example.com\np2,b@example.com\n",
    );
    let orders = "external_id,person_external_id,status,currency,total,placed_at\n\
                  o1,p1,paid,USD,10,2025-03-08T12:00:00Z\no2,p2,paid,USD,10,2025-03-09T12:00:00Z\n";
    ingest(&lake, "orders", orders);
    ingest(&lake, "fx_rates", "day,currency,rate\n2025-03-01,USD,0.5\n");
    lake.json(&["settings", "currency", "EUR"]);
    let criteria = "total_spent > 1 and unconverted_amount_count = 0";
    lake.json(&["segment", "put", "known", "--criteria", criteria]);
    let refreshed = |more: &[&str]| {
        let command = ["segment", "refresh", "known", "--as-of", "2025-06-01"];
        lake.json(&[command.as_slice(), more].concat());
        lake.json(&["segment", "members", "known"])
    };
    assert_eq!(refreshed(&[]), json!([1]));
    lake.json(&["settings", "fx_days", "8"]);
    assert_eq!(refreshed(&[]), json!([1, 2]));
    lake.json(&["settings", "fx_days", "0"]);
    assert_eq!(refreshed(&[]), json!([]));
    // A rate that arrives is seen by a patch as by a refresh of everybody.
    ingest(&lake, "fx_rates", "day,currency,rate\n2025-03-09,USD,0.5\n");
    assert_eq!(refreshed(&[]), json!([2]));
    assert_eq!(refreshed(&["--full"]), json!([2]));
    let run = lake.json(&["attribution", "run", "--as-of", "2025-06-01"]);
    assert_eq!(
        (&run["booked"], &run["unconverted"]),
        (&json!("5.0000"), &json!(1))
    );
    lake.json(&["settings", "fx_days", "7"]);
    let run = lake.json(&["attribution", "run", "--as-of", "2025-06-01"]);
    assert_eq!(
        (&run["booked"], &run["earlier_rate"]),
        (&json!("10.0000"), &json!(1))
    );
}
