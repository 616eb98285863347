//! Tenants that are created, suspended and deleted while a server runs.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Caller, persons};
use crate::http::access::{check_refused, token};
use crate::support::own_lake::{OwnLake, column};
use crate::support::personal_values::holds;
use crate::support::polling::{eventually, found};
use crate::support::server::Server;

/// Servers know of a change within this time.
const NOTICE: Duration = Duration::from_millis(1_000);

#[test]
fn suspended_tenants_are_refused_and_come_back() {
    let lake = OwnLake::new("http_tenants_suspended");
    lake.json(&["tenant", "create", "shop"]);
    let server = Server::start(&lake, "default");
    let (shop, other) = (
        Caller::admin(&lake, &server, "shop"),
        Caller::admin(&lake, &server, "default"),
    );
    assert_eq!(
        shop.rows("persons", &[], &persons(2, "s.example")).status,
        200
    );
    assert_eq!(
        other.rows("persons", &[], &persons(3, "o.example")).status,
        200
    );
    let suspended = lake.json(&["tenant", "suspend", "shop"]);
    assert_eq!(suspended["status"], "suspended");
    std::thread::sleep(NOTICE);
    for answer in [
        shop.get("/v1/segments"),
        shop.sql("select 1"),
        shop.rows("persons", &[], &persons(1, "s.example")),
        shop.get("/metrics"),
    ] {
        check_refused(&answer, 403, "tenant_suspended");
    }
    assert_eq!(other.persons(), 3);
    lake.json(&["tenant", "resume", "shop"]);
    std::thread::sleep(NOTICE);
    // What is running ends, too.
    let endless = "select count(*) as n from generate_series(1, 3000000) a, generate_series(1, 3000000) b \
                   where a.value % 7 = b.value % 11";
    std::thread::scope(|scope| {
        let running = scope.spawn(|| shop.sql(endless));
        std::thread::sleep(Duration::from_secs(1));
        let begun = Instant::now();
        lake.json(&["tenant", "suspend", "shop"]);
        check_refused(&running.join().unwrap(), 403, "tenant_suspended");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    });
    // The command line is whoever runs the server.
    let rows = lake.json(&[
        "--tenant",
        "shop",
        "sql",
        "select count(*) as n from people",
    ]);
    assert_eq!(rows, json!([{"n": 2}]));
    lake.json(&["tenant", "resume", "shop"]);
    std::thread::sleep(NOTICE);
    assert_eq!(shop.persons(), 2);
    assert!(server.stop());
}

#[test]
fn deleted_tenants_are_gone_with_their_keys() {
    let lake = OwnLake::new("http_tenants_deleted");
    let operator = token(&lake, "viewer", &["--rights", "tenants"]);
    let server = Server::start(&lake, "default");
    let operator = Caller::with(&server, &operator);
    let created = operator.post("/v1/tenants", &json!({"tenant": "shop"}));
    assert_eq!(created.status, 201);
    let again = operator.post("/v1/tenants", &json!({"tenant": "shop"}));
    check_refused(&again, 409, "tenant_exists");
    let key = created.json()["first_key"]["token"].clone();
    let shop = Caller::with(&server, key.as_str().unwrap());
    let other = Caller::admin(&lake, &server, "default");
    let later = [("prefer", "respond-async")];
    assert_eq!(
        shop.rows("persons", &[], &persons(5, "secret.example"))
            .status,
        200
    );
    assert_eq!(
        shop.rows("persons", &later, &persons(6, "secret.example"))
            .status,
        202
    );
    assert_eq!(
        other.rows("persons", &[], &persons(3, "o.example")).status,
        200
    );
    assert_eq!(
        column(&operator.get("/v1/tenants").json(), "tenant"),
        ["default", "shop"]
    );
    // A worker of the tenant keeps running after its answer.
    assert_eq!(shop.persons(), 5);
    assert!(lake.path("lake/shop").exists());

    let forbidden = other.ask("DELETE", "/v1/tenants/shop", None);
    check_refused(&forbidden, 403, "forbidden");
    let unknown = operator.ask("DELETE", "/v1/tenants/nobody", None);
    check_refused(&unknown, 404, "unknown_tenant");
    let deleted = operator.ask("DELETE", "/v1/tenants/shop", None);
    assert_eq!(deleted.status, 204);
    check_refused(&shop.get("/v1/segments"), 404, "unknown_tenant");
    check_refused(
        &operator.ask("DELETE", "/v1/tenants/shop", None),
        404,
        "unknown_tenant",
    );
    let again = operator.post("/v1/tenants", &json!({"tenant": "shop"}));
    check_refused(&again, 409, "tenant_deleted");
    let refused = lake.run(&["--tenant", "shop", "serve"]);
    assert!(!refused.status.success());
    // Nothing comes back, also not from a task of the server or a request that was late.
    std::thread::sleep(Duration::from_secs(4));
    assert!(!lake.path("lake/shop").exists());
    assert!(!holds(&lake.path("lake"), "secret.example"));
    assert_eq!(
        column(&operator.get("/v1/tenants").json(), "tenant"),
        ["default"]
    );
    assert_eq!(other.persons(), 3);
    // The record says who deleted it.
    let acts = lake.json(&["audit"]);
    let acts = acts.as_array().unwrap().iter();
    let acts: Vec<_> = acts
        .filter(|act| {
            act["about"] == "tenant shop"
                && ["done", "ok"].contains(&act["result"].as_str().unwrap())
        })
        .map(|act| act["act"].clone())
        .collect();
    assert_eq!(acts, ["POST /v1/tenants", "DELETE /v1/tenants/{tenant}"]);
    assert!(server.stop());
}

#[test]
fn journals_and_segments_of_all_tenants_are_kept_current() {
    let lake = OwnLake::new("http_tenants_tasks");
    let tokens = ["one", "two", "three"].map(|name| token(&lake, "admin", &["--tenants", name]));
    let server = Server::start(&lake, "default");
    let shops = tokens.each_ref().map(|token| Caller::with(&server, token));
    let later = [("prefer", "respond-async")];
    for (at, shop) in shops.iter().enumerate() {
        let rows = persons(at + 1, "x.example");
        assert_eq!(
            shop.rows("persons", &[], "external_id,country\np1,QQ\n")
                .status,
            200
        );
        let segment = json!({"key": "all", "name": "all", "criteria": "country = 'QQ'", "refresh": "on_ingest"});
        assert_eq!(shop.post("/v1/segments", &segment).status, 201);
        assert_eq!(shop.rows("persons", &later, &rows).status, 202);
    }
    for (at, shop) in shops.iter().enumerate() {
        found("a segment is not current", || {
            let counted = shop.get("/v1/segments/all/count");
            let count = match counted.status {
                200 => counted.json()["count"].as_u64(),
                _ => None,
            };
            match count {
                Some(count) if count == at as u64 + 1 => Ok(()),
                other => Err(other),
            }
        });
    }
    // Figures of a tenant are for its own callers.
    let figures = String::from_utf8(shops[0].get("/metrics").body).unwrap();
    assert!(
        figures.contains("rollbook_snapshot{tenant=\"one\"}"),
        "{figures}"
    );
    for other in ["two", "three", "default"] {
        assert!(!figures.contains(&format!("\"{other}\"")), "{figures}");
    }
    assert!(server.stop());
    // What a server left in the journal of any tenant is folded by the next one.
    let server = Server::start(&lake, "default");
    let shop = Caller::with(&server, &tokens[1]);
    assert_eq!(
        shop.rows("persons", &later, &persons(9, "x.example"))
            .status,
        202
    );
    drop(server);
    let server = Server::start(&lake, "default");
    let journal = || lake.json(&["--tenant", "two", "journal"])["objects"] == 0;
    eventually("the journal is not folded", journal);
    let shop = Caller::with(&server, &tokens[1]);
    assert_eq!(shop.persons(), 9);
    assert!(server.stop());
}
