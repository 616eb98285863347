//! A key works for its tenants only, and no caller learns whether another one exists.

use super::{check_refused, lake_with_persons, token};
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
        for token in [&own, &both] {
            assert_eq!(ask(token, None, path).status, 200);
            assert_eq!(ask(token, Some("default"), path).status, 200);
        }
        // One that exists, one that does not, none that could exist: one answer but for the name.
        let answers = ["other", "nobody", "_access"].map(|tenant| {
            let answer = ask(&own, Some(tenant), path);
            check_refused(&answer, 404, "unknown_tenant");
            String::from_utf8(answer.body).unwrap().replace(tenant, "X")
        });
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
        // This server serves another tenant of the key.
        check_refused(&ask(&both, Some("other"), path), 404, "unknown_tenant");
        for tenant in [None, Some("default"), Some("other"), Some("nobody")] {
            let answer = ask(&foreign, tenant, path);
            check_refused(&answer, 404, "unknown_tenant");
            let is_named = String::from_utf8_lossy(&answer.body).contains("`default`");
            assert_eq!(is_named, tenant == Some("default"));
        }
    }
    // Keys of other tenants are not listed.
    let listed = ask(&own, None, "/v1/keys").json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        ask(&both, None, "/v1/keys")
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert!(server.stop());
    // A server of the other tenant takes their keys.
    let server = Server::start(&lake, "other");
    for (token, status) in [(&own, 404), (&both, 200), (&foreign, 200)] {
        assert_eq!(
            server.ask(Some(token), "GET", "/v1/tables", None).status,
            status
        );
    }
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
