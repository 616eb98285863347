//! With the key of one tenant, what another one has answers as what does not exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Caller, persons};
use crate::http::access::created;
use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

/// What only the other tenant has.
const DOMAIN: &str = "secret-b.example";
const SEGMENT: &str = "secret-b";

/// Something of the other tenant, and something of the same form that does not exist.
struct Pair {
    name: &'static str,
    theirs: String,
    absent: String,
}

/// Requests that name something: method, path, body.
fn requests() -> Vec<(&'static str, &'static str, Value)> {
    let preview = json!({"criteria": "in_segment('{key}')"});
    let merge = json!({"a": "{person_id}", "b": 1, "by": "me", "dry_run": true});
    let replaced = json!({"name": "n", "criteria": "in_segment('{key}')", "refresh": "manual"});
    let created =
        json!({"key": "own", "name": "n", "criteria": "in_segment('{key}')", "refresh": "manual"});
    let review = json!({"different": true, "by": "me"});
    vec![
        ("GET", "/v1/segments/{key}", Value::Null),
        ("DELETE", "/v1/segments/{key}", Value::Null),
        ("PUT", "/v1/segments/new", replaced),
        ("POST", "/v1/segments", created),
        ("POST", "/v1/segments/preview", preview),
        ("POST", "/v1/segments/{key}/refresh", json!({})),
        ("GET", "/v1/segments/{key}/members", Value::Null),
        ("GET", "/v1/segments/{key}/members?stream=true", Value::Null),
        (
            "GET",
            "/v1/segments/own-a/members?page_token={token}",
            Value::Null,
        ),
        ("GET", "/v1/segments/{key}/count", Value::Null),
        ("GET", "/v1/segments/{key}/changes", Value::Null),
        ("GET", "/v1/segments/{key}/history", Value::Null),
        ("GET", "/v1/segments/{key}/reach", Value::Null),
        ("GET", "/v1/segments/{key}/calendar", Value::Null),
        ("GET", "/v1/segments/{key}/near-miss", Value::Null),
        ("GET", "/v1/segments/{key}/explain/{person_id}", Value::Null),
        ("GET", "/v1/segments/own-a/explain/{person_id}", Value::Null),
        (
            "POST",
            "/v1/segments/{key}/impact",
            json!({"criteria": "country = 'QQ'"}),
        ),
        ("GET", "/v1/segments/overlap?keys=own-a,{key}", Value::Null),
        ("GET", "/v1/persons/{person_id}", Value::Null),
        ("DELETE", "/v1/persons/{person_id}", Value::Null),
        ("GET", "/v1/persons/{person_id}/timeline", Value::Null),
        ("GET", "/v1/persons?email=p30@{domain}", Value::Null),
        ("POST", "/v1/identity/reviews/{person_id}", review),
        ("POST", "/v1/identity/merges", merge),
        ("DELETE", "/v1/identity/merges/{entry}", Value::Null),
        ("DELETE", "/v1/keys/{prefix}", Value::Null),
        ("DELETE", "/v1/tenants/{tenant}", Value::Null),
        ("POST", "/v1/tenants", json!({"tenant": "{tenant}"})),
        (
            "POST",
            "/v1/keys",
            json!({"name": "k", "role": "viewer", "tenants": ["{tenant}"]}),
        ),
        ("GET", "/v1/audit?who={prefix}", Value::Null),
        ("GET", "/v1/scores/lead?page_token={token}", Value::Null),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select * from {tenant}.people"}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select * from \"{tenant}\".\"persons\""}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select * from '{tenant}/persons'"}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select * from people where email = 'p30@{domain}'"}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select * from identities where identity_id = {person_id}"}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select table_schema, table_name from information_schema.tables"}),
        ),
        (
            "POST",
            "/v1/sql",
            json!({"query": "select 1 where in_segment('{key}')"}),
        ),
    ]
}

/// Routes that name nothing of a tenant: what they list is looked through for what is not theirs.
const LISTS: [&str; 14] = [
    "/v1/segments",
    "/v1/persons?email=nobody@example.com",
    "/v1/identity/stats",
    "/v1/identity/reviews",
    "/v1/tables",
    "/v1/schema",
    "/v1/traits",
    "/v1/audit",
    "/v1/keys",
    "/v1/tenants",
    "/v1/scores/lead",
    "/metrics",
    "/readyz",
    "/healthz",
];

/// Routes that neither name nor list anything of a tenant.
const OTHERS: [&str; 5] = [
    "POST /v1/attribution/runs",
    "POST /v1/ingest/{provider}/{source}",
    "POST /v1/segments/refresh",
    "POST /v1/session",
    "DELETE /v1/session",
];

fn filled(text: &str, pairs: &[Pair], theirs: bool) -> String {
    pairs.iter().fold(text.to_owned(), |text, pair| {
        let value = if theirs { &pair.theirs } else { &pair.absent };
        text.replace(&format!("{{{}}}", pair.name), value)
    })
}

/// The answer without the names that were asked for, which have the same length, and without times.
fn said(answer: &Answer, pairs: &[Pair]) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let is_time = |text: &str| text.len() > 19 && text.starts_with("20") && text.ends_with('Z');
    let parts = body
        .split('"')
        .map(|part| if is_time(part) { "time" } else { part });
    let body = parts.collect::<Vec<_>>().join("\"");
    let body = pairs.iter().fold(body, |body, pair| {
        body.replace(&pair.theirs, "X").replace(&pair.absent, "X")
    });
    format!("{} {body}", answer.status)
}

#[test]
fn everything_of_another_tenant_answers_as_what_does_not_exist() {
    let lake = OwnLake::new("http_tenants_isolation");
    lake.json(&["tenant", "create", "shop-a"]);
    lake.json(&["tenant", "create", "shop-b"]);
    let server = Server::start(&lake, "default");
    let (a, b) = (
        Caller::admin(&lake, &server, "shop-a"),
        Caller::admin(&lake, &server, "shop-b"),
    );
    let of_b = created(&lake, "viewer", &["--tenants", "shop-b"]);
    assert_eq!(a.rows("persons", &[], &persons(3, "a.example")).status, 200);
    assert_eq!(b.rows("persons", &[], &persons(40, DOMAIN)).status, 200);
    for (caller, key) in [(&a, "own-a"), (&b, SEGMENT)] {
        let segment =
            json!({"key": key, "name": key, "criteria": "country = 'QQ'", "refresh": "manual"});
        assert_eq!(caller.post("/v1/segments", &segment).status, 201);
        let refreshed = caller.post(&format!("/v1/segments/{key}/refresh"), &json!({}));
        assert_eq!(refreshed.status, 200);
    }
    let merge = json!({"a": 1, "b": 2, "by": "kim"});
    let merged = b.post("/v1/identity/merges", &merge).json();
    let entry = merged["entry"].as_str().unwrap().to_owned();
    let page = b
        .get(&format!("/v1/segments/{SEGMENT}/members?limit=5"))
        .json();
    let token = page["next_page_token"].as_str().unwrap().to_owned();
    let pair = |name, theirs: &str, absent: &str| {
        assert_eq!(theirs.len(), absent.len());
        let (theirs, absent) = (theirs.to_owned(), absent.to_owned());
        Pair {
            name,
            theirs,
            absent,
        }
    };
    let turned: String = token.chars().rev().collect();
    let pairs = [
        pair("key", SEGMENT, "absent-b"),
        pair("person_id", "30", "99"),
        pair("entry", &entry, "01a1ffda-3712-7255-8c62-cab5ec60ca5d"),
        pair("prefix", of_b["prefix"].as_str().unwrap(), "aaaaaaaaaa"),
        pair("tenant", "shop-b", "shop-c"),
        pair("domain", DOMAIN, "absent-b.example"),
        pair("token", &token, &turned),
    ];
    let mut asked = BTreeSet::new();
    for path in LISTS {
        asked.insert(format!(
            "GET {}",
            path.split('?').next().unwrap().replace("lead", "{kind}")
        ));
        let text = String::from_utf8(a.get(path).body).unwrap();
        for secret in [SEGMENT, DOMAIN, "shop-b", &entry, &pairs[3].theirs] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
    }
    for (method, path, body) in requests() {
        let route = path.split('?').next().unwrap().replace("own-a", "{key}");
        let route = route.replace("/lead", "/{kind}");
        asked.insert(format!("{method} {}", route.replace("/new", "/{key}")));
        let [theirs, absent] = [true, false].map(|theirs| {
            let body = filled(&body.to_string(), &pairs, theirs);
            // Ids are numbers in bodies.
            let body = body.replace("\"30\"", "30").replace("\"99\"", "99");
            let body: Value = serde_json::from_str(&body).unwrap();
            let body = (!body.is_null()).then_some(&body);
            a.ask(method, &filled(path, &pairs, theirs), body)
        });
        let what = format!("{method} {path} {body}");
        assert_eq!(said(&theirs, &pairs), said(&absent, &pairs), "{what}");
        assert!(theirs.status < 500, "{what}: {}", theirs.status);
        let rows = said(&theirs, &pairs).replace("country = 'QQ'", "");
        assert!(!rows.contains("QQ"), "{what}: {rows}");
    }
    asked.extend(OTHERS.map(str::to_owned));
    // Every route was asked.
    let document = server.get("/openapi.json").json();
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace("{identity_id}", "{person_id}");
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(asked, routes);
    // Nothing of the other tenant was changed meanwhile.
    assert_eq!(b.persons(), 39);
    assert_eq!(b.get(&format!("/v1/segments/{SEGMENT}")).status, 200);
    // With both tenants it is the header that counts, not the session or the order of names.
    let both = Caller::admin(&lake, &server, "shop-a,shop-b");
    let count = |tenant: &str| {
        let headers = [
            ("authorization", both.bearer.as_str()),
            ("x-rollbook-tenant", tenant),
        ];
        let query = (
            "application/json",
            r#"{"query": "select count(*) as n from people"}"#,
        );
        let answer = server.ask_with(&headers, "POST", "/v1/sql", Some(query));
        answer.json()["rows"][0]["n"].as_u64().unwrap()
    };
    for _ in 0..3 {
        assert_eq!((count("shop-a"), count("shop-b")), (3, 39));
    }
    assert!(server.stop());
}
