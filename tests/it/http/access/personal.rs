//! Without the right `pii` nobody gets a personal value, whatever others asked before.

use serde_json::{Value, json};

use super::{check_refused, lake_with_persons, problem, token};
use crate::support::polling::eventually;
use crate::support::server::{Answer, Server};

/// Values that only callers with `pii` may see.
const PERSONAL: [&str; 5] = [
    "ann@example.com",
    "bob@example.com",
    "4155552671",
    "Ann",
    "Bob",
];

fn post(server: &Server, headers: &[(&str, &str)], path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    server.ask_with(headers, "POST", path, Some(("application/json", &body)))
}

fn check_no_personal(answer: &Answer) {
    let said = String::from_utf8_lossy(&answer.body);
    for value in PERSONAL {
        assert!(!said.contains(value), "{said}");
    }
}

#[test]
fn personal_values_need_the_right_pii() {
    let lake = lake_with_persons("http_access_pii");
    let admin = token(&lake, "admin", &[]);
    // All rights but one, so that nothing else refuses a request.
    let others = "members,export,segments:write,refresh,sql,ingest,identity,metrics,keys,erase";
    let most = token(&lake, "viewer", &["--rights", others]);
    let with_pii = token(&lake, "marketer", &["--rights", "pii"]);
    let server = Server::start(&lake, "default");
    let bearer = |token: &str| format!("Bearer {token}");
    let (admin, most, with_pii) = (bearer(&admin), bearer(&most), bearer(&with_pii));
    let admin = [("authorization", admin.as_str())];
    // A header of the server's own does not help.
    let most = [
        ("authorization", most.as_str()),
        ("x-rollbook-rights", "pii"),
        ("x-rollbook-only", "typo"),
    ];
    let with_pii = [("authorization", with_pii.as_str())];
    let of_ann = "email = 'ann@example.com'";
    let saved = json!({"key": "ann", "criteria": of_ann});
    assert_eq!(post(&server, &admin, "/v1/segments", &saved).status, 201);
    let named = json!({"key": "of-ann", "criteria": "in_segment('ann')"});
    assert_eq!(post(&server, &admin, "/v1/segments", &named).status, 201);
    let sql = |query: &str| ("/v1/sql", json!({ "query": query }));
    let posts = [
        sql("select email from people"),
        sql("select * from persons"),
        sql("select person_id from people where first_name = 'Ann'"),
        sql("with p as (select * from people) select max(lower(phone)) from p"),
        ("/v1/segments/preview", json!({ "criteria": of_ann })),
        (
            "/v1/segments/preview",
            json!({"criteria": format!("country = 'US' and {of_ann}")}),
        ),
        (
            "/v1/segments/preview",
            json!({"criteria": "select person_id from persons where email is not null"}),
        ),
        ("/v1/segments/lapsed/impact", json!({ "criteria": of_ann })),
        // A segment that reads one.
        (
            "/v1/segments/preview",
            json!({"criteria": "country = 'US' and in_segment('ann')"}),
        ),
        (
            "/v1/segments/lapsed/impact",
            json!({"criteria": "not in_segment('of-ann')"}),
        ),
    ];
    let gets = [
        "/v1/segments/lapsed/members?fields=country,email",
        "/v1/segments/lapsed/members?fields=email&hash=sha256",
        "/v1/segments/lapsed/members?fields=email&format=csv",
        "/v1/segments/lapsed/members?fields=email&stream=true",
        "/v1/segments/ann/explain/1",
        "/v1/segments/ann/near-miss",
        "/v1/persons?email=ann@example.com",
        "/v1/persons?phone=%2B14155552671",
    ];
    // Each question is asked by an administrator first and in between, so that caches have the answer.
    for (path, body) in &posts {
        for _ in 0..2 {
            let answer = post(&server, &admin, path, body);
            assert_eq!(answer.status, 200, "{path} {body}");
            let refused = post(&server, &most, path, body);
            check_refused(&refused, 403, "needs_pii");
            assert!(problem(&refused).2.contains("`pii`"));
            check_no_personal(&refused);
        }
    }
    for path in gets {
        for _ in 0..2 {
            let answer = server.ask_with(&admin, "GET", path, None);
            assert_eq!(answer.status, 200, "{path}");
            let refused = server.ask_with(&most, "GET", path, None);
            check_refused(&refused, 403, "needs_pii");
            check_no_personal(&refused);
        }
    }
    let person = server.ask_with(&most, "GET", "/v1/persons/1", None);
    check_refused(&person, 403, "forbidden");
    for new in [
        json!({"key": "mine", "criteria": of_ann}),
        json!({"key": "mine", "criteria": "in_segment('lapsed') and phone is not null"}),
        json!({"key": "mine", "criteria": "in_segment('ann')"}),
    ] {
        check_refused(
            &post(&server, &most, "/v1/segments", &new),
            403,
            "needs_pii",
        );
    }
    assert_eq!(
        server
            .ask_with(&admin, "GET", "/v1/segments/mine", None)
            .status,
        404
    );
    // The right can be added to a role.
    let fields = "/v1/segments/lapsed/members?fields=email";
    let page = server.ask_with(&with_pii, "GET", fields, None);
    assert!(String::from_utf8_lossy(&page.body).contains("ann@example.com"));
    assert!(server.stop());
}

#[test]
fn the_rest_works_without_the_right() {
    let lake = lake_with_persons("http_access_rest");
    let (admin, marketer) = (token(&lake, "admin", &[]), token(&lake, "marketer", &[]));
    let (analyst, blocked) = (token(&lake, "analyst", &[]), "bob@example.com");
    lake.json(&["suppression", "add", blocked]);
    let of_email = json!({"key": "with-email", "criteria": "email is not null"});
    let server = Server::start(&lake, "default");
    let bearer = |token: &str| format!("Bearer {token}");
    let (admin, marketer, analyst) = (bearer(&admin), bearer(&marketer), bearer(&analyst));
    let [admin, marketer, analyst] =
        [&admin, &marketer, &analyst].map(|token| [("authorization", token.as_str())]);
    assert_eq!(post(&server, &admin, "/v1/segments", &of_email).status, 201);
    // Saved criteria are computed whoever asks, and personal values decide who can be reached.
    let refreshed = post(
        &server,
        &marketer,
        "/v1/segments/with-email/refresh",
        &json!({}),
    );
    assert_eq!(refreshed.json()["count"], 2);
    let get = |path: &str| server.ask_with(&marketer, "GET", path, None);
    assert_eq!(
        get("/v1/segments/with-email/members").json()["members"],
        json!([1, 2])
    );
    let reach = get("/v1/segments/with-email/reach?channel=email").json();
    assert_eq!(reach["addressed"], 2, "{reach}");
    assert_eq!(
        get("/v1/segments/with-email/count").json()["status"],
        "fresh"
    );
    let deliverable = get("/v1/segments/with-email/members?deliverable=true&channel=email");
    assert_eq!(deliverable.status, 200);
    check_no_personal(&deliverable);
    let fields = get("/v1/segments/lapsed/members?fields=country").json();
    assert_eq!(fields["persons"][0]["country"], "US");
    assert_eq!(get("/v1/segments/lapsed/explain/1").status, 200);
    assert_eq!(get("/v1/persons/1/timeline").status, 200);
    assert_eq!(
        get("/v1/persons?external=native:P1").json()["persons"],
        json!([1])
    );
    let preview = json!({"criteria": "country = 'US'"});
    let counted = post(&server, &marketer, "/v1/segments/preview", &preview).json();
    assert_eq!(counted["count"], 2);
    let new = json!({"key": "mine", "criteria": "country = 'US'"});
    assert_eq!(post(&server, &marketer, "/v1/segments", &new).status, 201);
    let sql = json!({"query": "select country, count(*) as n from people group by 1 order by 1"});
    let rows = post(&server, &analyst, "/v1/sql", &sql).json();
    assert_eq!(rows["rows"][1], json!({"country": "US", "n": 2}));
    // An export is more than a page.
    let stream = "/v1/segments/lapsed/members?stream=true&format=ndjson";
    assert_eq!(get(stream).status, 200);
    let page = server.ask_with(&analyst, "GET", "/v1/segments/lapsed/members", None);
    assert_eq!(page.status, 200);
    check_refused(
        &server.ask_with(&analyst, "GET", stream, None),
        403,
        "forbidden",
    );
    assert!(server.stop());
}

#[test]
fn failures_do_not_reveal_values() {
    let lake = lake_with_persons("http_access_values");
    let (admin, marketer) = (token(&lake, "admin", &[]), token(&lake, "marketer", &[]));
    let server = Server::start(&lake, "default");
    let (admin, marketer) = (format!("Bearer {admin}"), format!("Bearer {marketer}"));
    let [admin, marketer] = [&admin, &marketer].map(|token| [("authorization", token.as_str())]);
    let criteria = "select person_id from persons where first_name::bigint > 4";
    // A query that fails for nobody yet.
    let new = json!({"key": "typo", "criteria": "select person_id from persons where coalesce(nullif(phone, ''), '1')::bigint > 4"});
    assert_eq!(
        post(&server, &admin, "/v1/segments", &new).status,
        201,
        "{criteria}"
    );
    let rows = "external_id,phone\nP4,(415) 555-9876 or later\n";
    let rows = Some(("text/csv", rows));
    let taken = server.ask_with(&admin, "POST", "/v1/ingest/native/persons", rows);
    assert_eq!(taken.status, 200);
    for path in ["/v1/segments/typo/refresh", "/v1/segments/refresh"] {
        let answer = post(&server, &marketer, path, &json!({"full": true}));
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(said.contains("cannot"), "{said}");
        assert!(!said.contains("555-9876"), "{said}");
        let answer = post(&server, &admin, path, &json!({"full": true}));
        assert!(String::from_utf8_lossy(&answer.body).contains("555-9876"));
    }
    eventually("the failure is recorded", || {
        let shown = server.ask_with(&marketer, "GET", "/v1/segments/typo", None);
        let reason = shown.json()["reason"].to_string();
        assert!(!reason.contains("555-9876"), "{reason}");
        reason.contains("cannot")
    });
    assert!(server.stop());
}

/// The planner drops a condition that cannot matter before 2030, with the personal column in it. Computed later, or as
/// of then, the members would tell the value.
#[test]
fn segments_are_computed_with_the_rights_of_their_author() {
    let lake = lake_with_persons("http_access_authors");
    let (admin, marketer) = (token(&lake, "admin", &[]), token(&lake, "marketer", &[]));
    let server = Server::start(&lake, "default");
    let (admin, marketer) = (format!("Bearer {admin}"), format!("Bearer {marketer}"));
    let [admin, marketer] = [&admin, &marketer].map(|token| [("authorization", token.as_str())]);
    let later = "now() > timestamp '2030-01-01T00:00:00Z' and email = 'ann@example.com'";
    let selected = format!("select person_id from people where {later}");
    let as_of = json!({"as_of": "2031-01-01T00:00:00Z"});
    for (key, criteria) in [("hidden", later), ("hidden-query", &selected)] {
        let new = json!({"key": key, "criteria": criteria});
        let saved = post(&server, &marketer, "/v1/segments", &new);
        if saved.status == 201 {
            for caller in [&marketer, &admin] {
                let path = format!("/v1/segments/{key}/refresh");
                check_refused(&post(&server, caller, &path, &as_of), 403, "needs_pii");
            }
        } else {
            check_refused(&saved, 403, "needs_pii");
        }
        // The same criteria, saved by somebody with the right.
        let new = json!({ "criteria": criteria }).to_string();
        let body = Some(("application/json", new.as_str()));
        let path = format!("/v1/segments/{key}");
        assert_eq!(server.ask_with(&admin, "PUT", &path, body).status, 200);
        let refreshed = post(&server, &marketer, &format!("{path}/refresh"), &as_of);
        assert_eq!(refreshed.json()["count"], 1);
    }
    let all = post(&server, &marketer, "/v1/segments/refresh", &json!({}));
    assert_eq!(all.json().as_array().unwrap().len(), 4);
    // A segment of theirs that needs no personal value is computed with all others, in order.
    let own = json!({"key": "own", "criteria": "country = 'US'"});
    assert_eq!(post(&server, &marketer, "/v1/segments", &own).status, 201);
    let all = post(&server, &admin, "/v1/segments/refresh", &json!({})).json();
    let keys: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["segment"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["big-spenders", "hidden", "hidden-query", "lapsed", "own"]
    );
    assert_eq!(all[4]["count"], 2);
    assert!(server.stop());
}
