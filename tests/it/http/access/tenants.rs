//! A key works for its tenants only, and no caller learns whether another one exists.

use super::{check_refused, lake_with_persons, token};
use crate::support::own_lake::column;
use crate::support::server::Server;

#[test]
fn other_tenants_are_unknown() {
    let lake = lake_with_persons("http_access_tenants");
    let rows = lake.path("persons.csv");
    lake.json(&[
        "--tenant",
        "other",
        "ingest",
        "native",
        rows.to_str().unwrap(),
    ]);
    let own = token(&lake, "admin", &[]);
    let both = token(&lake, "admin", &["--tenants", "default,other"]);
    let foreign = token(&lake, "admin", &["--tenants", "other"]);
    let server = Server::start(&lake, "default");
    let ask = |token: &str, tenant: Option<&str>, path: &str| {
        let bearer = format!("Bearer {token}");
        let tenant = tenant.map(|tenant| ("x-rollbook-tenant", tenant));
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(tenant);
        server.ask_with(&headers, "GET", path, None)
    };
    for path in ["/v1/segments", "/v1/tables", "/v1/persons/1", "/v1/keys"] {
        assert_eq!(ask(&own, None, path).status, 200);
        assert_eq!(ask(&own, Some("default"), path).status, 200);
        // A key with several tenants names one.
        check_refused(&ask(&both, None, path), 400, "tenant_needed");
        for tenant in ["default", "other"] {
            assert_eq!(ask(&both, Some(tenant), path).status, 200);
        }
        // The tenant of the key, not that of the server's command.
        for tenant in [None, Some("other")] {
            assert_eq!(ask(&foreign, tenant, path).status, 200);
        }
        // One that exists, one that does not, none that could exist: one answer but for the name.
        for (token, names) in [
            (&own, ["other", "nobody", "_access"]),
            (&foreign, ["default", "nobody", "_access"]),
            (&both, ["third", "nobody", "_access"]),
        ] {
            let answers = names.map(|tenant| {
                let answer = ask(token, Some(tenant), path);
                check_refused(&answer, 404, "unknown_tenant");
                String::from_utf8(answer.body).unwrap().replace(tenant, "X")
            });
            assert!(
                answers.iter().all(|answer| *answer == answers[0]),
                "{answers:?}"
            );
        }
    }
    // Two names are one too many.
    let bearer = format!("Bearer {both}");
    let twice = [
        ("authorization", bearer.as_str()),
        ("x-rollbook-tenant", "default"),
        ("x-rollbook-tenant", "other"),
    ];
    let answer = server.ask_with(&twice, "GET", "/v1/tables", None);
    check_refused(&answer, 404, "unknown_tenant");
    // Keys of other tenants are not listed.
    let prefixes = |token: &str, tenant: Option<&str>| {
        let listed = ask(token, tenant, "/v1/keys").json();
        listed.as_array().unwrap().len()
    };
    assert_eq!(prefixes(&own, None), 1);
    assert_eq!(prefixes(&foreign, None), 1);
    assert_eq!(prefixes(&both, Some("other")), 3);
    // What is about no tenant needs no name.
    let tenants = |token: &str| {
        let listed = ask(token, None, "/v1/tenants").json();
        column(&listed, "tenant")
    };
    assert_eq!(tenants(&own), ["default"]);
    assert_eq!(tenants(&foreign), ["other"]);
    assert_eq!(tenants(&both), ["default", "other"]);
    assert!(server.stop());
}

#[test]
fn without_keys_other_tenants_are_unknown_too() {
    let lake = lake_with_persons("http_access_no_keys");
    let server = Server::start(&lake, "default");
    let ask = |tenant: &str| {
        let headers = [("x-rollbook-tenant", tenant)];
        server.ask_with(&headers, "GET", "/v1/segments", None)
    };
    assert_eq!(ask("default").status, 200);
    check_refused(&ask("other"), 404, "unknown_tenant");
    assert!(server.stop());
}
