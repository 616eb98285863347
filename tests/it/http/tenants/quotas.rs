//! A tenant uses no more than it may, and others do not notice.

use std::time::Duration;

use serde_json::json;

use super::{Caller, persons};
use crate::http::access::{check_refused, problem};
use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

#[test]
fn reached_quotas_are_refused_by_name() {
    let lake = OwnLake::new("http_tenants_quotas");
    let quotas = ["--rows-per-day", "10", "--segments", "2"];
    let shown = lake.json(&[&["tenant", "create", "small"][..], &quotas].concat());
    assert_eq!(shown["max_rows_per_day"], 10);
    assert_eq!(shown["max_storage_bytes"], json!(null));
    let server = Server::start(&lake, "default");
    let (small, other) = (
        Caller::admin(&lake, &server, "small"),
        Caller::admin(&lake, &server, "default"),
    );
    assert_eq!(
        small.rows("persons", &[], &persons(6, "s.example")).status,
        200
    );
    // The request that reaches the quota is taken whole.
    let later = [("prefer", "respond-async")];
    assert_eq!(
        small.rows("persons", &[], &persons(11, "s.example")).status,
        200
    );
    for headers in [&[][..], &later] {
        let refused = small.rows("persons", headers, &persons(1, "s.example"));
        check_refused(&refused, 403, "quota_reached");
        assert!(problem(&refused).2.contains("10 rows a day"));
    }
    // Nor are several at once taken beyond it, or acknowledged ones that are in no snapshot yet.
    lake.json(&["tenant", "limit", "small", "--rows-per-day", "20"]);
    std::thread::sleep(Duration::from_secs(1));
    let statuses = std::thread::scope(|scope| {
        let small = &small;
        let post = |n: usize| {
            let rows = format!("external_id,email,country\nq{n},q{n}@s.example,QQ\n");
            scope.spawn(move || match n % 2 {
                0 => small.rows("persons", &[], &rows).status,
                _ => {
                    small
                        .rows("persons", &[("prefer", "respond-async")], &rows)
                        .status
                }
            })
        };
        let posts: Vec<_> = (0..30).map(post).collect();
        let posts = posts.into_iter().map(|post| post.join().unwrap());
        posts.collect::<Vec<u16>>()
    });
    let taken = statuses.iter().filter(|status| **status < 300).count();
    assert_eq!(taken, 9, "{statuses:?}");
    for n in 0..5 {
        assert_eq!(
            other
                .rows("persons", &[], &persons(6 + n, "o.example"))
                .status,
            200
        );
    }
    let segment = |key: &str| {
        let segment =
            json!({"key": key, "name": key, "criteria": "country = 'QQ'", "refresh": "manual"});
        small.post("/v1/segments", &segment)
    };
    assert_eq!((segment("a").status, segment("b").status), (201, 201));
    check_refused(&segment("c"), 403, "quota_reached");
    let put = json!({"name": "n", "criteria": "country = 'DE'", "refresh": "manual"});
    assert_eq!(small.ask("PUT", "/v1/segments/a", Some(&put)).status, 200);
    check_refused(
        &small.ask("PUT", "/v1/segments/c", Some(&put)),
        403,
        "quota_reached",
    );
    assert_eq!(small.ask("DELETE", "/v1/segments/b", None).status, 204);
    assert_eq!(segment("c").status, 201);
    // What is used is shown, and another server counts the same.
    let line = |listed: serde_json::Value| {
        let lines = listed.as_array().unwrap().clone();
        lines
            .into_iter()
            .find(|line| line["tenant"] == "small")
            .unwrap()
    };
    let (own, all) = (
        small.get("/v1/tenants").json(),
        lake.json(&["tenant", "list"]),
    );
    assert_eq!(line(own)["rows_today"], 20);
    let shown = line(all);
    assert_eq!(
        (&shown["rows_today"], &shown["segments"]),
        (&json!(20), &json!(2))
    );
    assert!(server.stop());
    let server = Server::start(&lake, "default");
    let small = Caller::admin(&lake, &server, "small");
    let refused = small.rows("persons", &[], &persons(1, "s.example"));
    check_refused(&refused, 403, "quota_reached");
    // A raised quota counts within a second.
    lake.json(&["tenant", "limit", "small", "--rows-per-day", "none"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        small.rows("persons", &[], &persons(2, "s.example")).status,
        200
    );
    assert!(server.stop());
}

#[test]
fn a_query_has_the_memory_of_its_tenant() {
    let lake = OwnLake::new("http_tenants_memory");
    lake.json(&["tenant", "create", "small", "--query-mib", "2"]);
    let server = Server::start(&lake, "default");
    let (small, other) = (
        Caller::admin(&lake, &server, "small"),
        Caller::admin(&lake, &server, "default"),
    );
    for caller in [&small, &other] {
        assert_eq!(
            caller.rows("persons", &[], &persons(2, "x.example")).status,
            200
        );
    }
    // The hashed side of a join cannot be written to disk.
    let large = "select count(*) as n from generate_series(1, 600000) a \
                 join generate_series(1, 600000) b on a.value = b.value";
    let answer = small.sql(large);
    check_refused(&answer, 422, "memory_exhausted");
    assert_eq!(other.sql(large).json()["rows"], json!([{"n": 600_000}]));
    assert_eq!(small.persons(), 2);
    assert!(server.stop());
}
