//! Keys that are bound to segments or columns see these, and learn nothing of the rest.

use serde_json::{Value, json};

use super::{check_refused, created, lake_with_persons, problem, token};
use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

/// `mine` (persons 1 and 3), `tagged` (2), `french` (2) with the name of another segment in its criteria.
fn lake_with_segments(name: &str) -> OwnLake {
    let lake = lake_with_persons(name);
    let put = |key: &str, options: &[&str]| {
        lake.json(&[&["segment", "put", key], options].concat());
    };
    put("french", &["--criteria", "country = 'FR'"]);
    let criteria = "country = 'US' and not in_segment('french')";
    put("mine", &["--criteria", criteria, "--channel", "email"]);
    put("tagged", &["--criteria", "country = 'FR'", "--tags", "crm"]);
    lake.json(&["segment", "refresh"]);
    lake
}

fn bearer(lake: &OwnLake, role: &str, options: &[&str]) -> String {
    format!("Bearer {}", token(lake, role, options))
}

fn get(server: &Server, bearer: &str, path: &str) -> Answer {
    server.ask_with(&[("authorization", bearer)], "GET", path, None)
}

fn post(server: &Server, bearer: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let headers = [("authorization", bearer)];
    server.ask_with(&headers, "POST", path, Some(("application/json", &body)))
}

fn keys_of(answer: &Answer) -> Vec<String> {
    let listed = answer.json();
    let keys = listed.as_array().unwrap().iter();
    keys.map(|one| one["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn other_segments_are_answered_like_none() {
    let lake = lake_with_segments("http_access_bounds");
    let admin = bearer(&lake, "admin", &[]);
    let mine = bearer(&lake, "admin", &["--segments", "mine"]);
    let tagged = bearer(&lake, "marketer", &["--tags", "crm,none"]);
    let email = bearer(&lake, "viewer", &["--channels", "email"]);
    let both = bearer(
        &lake,
        "viewer",
        &["--segments", "mine,french", "--tags", "crm"],
    );
    let server = Server::start(&lake, "default");
    let listed = |bearer: &str| keys_of(&get(&server, bearer, "/v1/segments"));
    assert_eq!(listed(&admin).len(), 5);
    assert_eq!(listed(&mine), ["mine"]);
    assert_eq!(listed(&tagged), ["tagged"]);
    assert_eq!(listed(&email), ["mine"]);
    assert_eq!(listed(&both), [""; 0]);

    // What there is, and what there is not, are one answer.
    for path in [
        "/v1/segments/KEY",
        "/v1/segments/KEY/members",
        "/v1/segments/KEY/members?stream=true&format=csv",
        "/v1/segments/KEY/members?fields=country",
        "/v1/segments/KEY/count",
        "/v1/segments/KEY/changes",
        "/v1/segments/KEY/history",
        "/v1/segments/KEY/reach",
        "/v1/segments/mine/members?or=KEY",
        "/v1/segments/mine/members?and=KEY",
        "/v1/segments/mine/members?not=KEY",
        "/v1/segments/mine/members?stream=true&format=csv&or=KEY",
        "/v1/segments/overlap?keys=mine,KEY",
    ] {
        let answer = |key: &str| get(&server, &mine, &path.replace("KEY", key));
        let own = answer("mine");
        assert_eq!(own.status, 200, "{path}: {:?}", problem(&own));
        let nowhere = answer("nobody");
        check_refused(&nowhere, 404, "unknown_segment");
        for other in ["french", "frenchh"] {
            let body = String::from_utf8(answer(other).body).unwrap();
            let expected = String::from_utf8(nowhere.body.clone()).unwrap();
            assert_eq!(body, expected.replace("nobody", other), "{path}");
        }
    }
    let page = get(&server, &mine, "/v1/segments/mine/members").json();
    assert_eq!(page["members"], json!([1, 3]));
    // The criteria may name what must not be known; so may the reason why something is not fresh.
    let shown = get(&server, &mine, "/v1/segments/mine").json();
    assert_eq!(
        (&shown["criteria"], &shown["masked"]),
        (&Value::Null, &json!(["criteria"]))
    );
    let whole = get(&server, &admin, "/v1/segments/mine").json();
    assert_eq!(
        whole["criteria"],
        "country = 'US' and not in_segment('french')"
    );
    assert_eq!(whole["masked"], Value::Null);
    assert_eq!(
        server
            .ask_with(
                &[("authorization", admin.as_str())],
                "DELETE",
                "/v1/segments/french",
                None
            )
            .status,
        204
    );
    let why = |bearer: &str| get(&server, bearer, "/v1/segments/mine").json()["reason"].to_string();
    assert!(why(&admin).contains("french"), "{}", why(&admin));
    for path in ["", "/count", "/members"] {
        let answer = get(&server, &mine, &format!("/v1/segments/mine{path}"));
        let said = String::from_utf8(answer.body).unwrap();
        assert!(
            said.contains("not up to date") && !said.contains("french"),
            "{said}"
        );
    }
    let overlap = get(&server, &mine, "/v1/segments/overlap").json();
    assert_eq!(overlap["segments"], json!([["mine", 2]]), "{overlap}");
    // Whom a channel reaches is for keys of this channel.
    let reach = |channel: &str| {
        get(
            &server,
            &email,
            &format!("/v1/segments/mine/reach{channel}"),
        )
    };
    assert_eq!(reach("").json()["addressed"], 1);
    check_refused(&reach("?channel=sms"), 403, "forbidden");
    assert!(server.stop());
}

#[test]
fn pages_of_others_do_not_go_on_with_a_bound_key() {
    let lake = lake_with_segments("http_access_bounds_pages");
    let admin = bearer(&lake, "admin", &[]);
    let mine = bearer(&lake, "marketer", &["--segments", "mine"]);
    let server = Server::start(&lake, "default");
    let first = |bearer: &str, options: &str| {
        let path = format!("/v1/segments/mine/members?limit=1{options}");
        let page = get(&server, bearer, &path).json();
        page["next_page_token"].as_str().unwrap().to_owned()
    };
    let path = "/v1/segments/mine/members?limit=1&page_token=";
    let own = first(&mine, "");
    let next = get(&server, &mine, &format!("{path}{own}")).json();
    assert_eq!(next["members"], json!([3]));
    // It may hold members of other segments.
    let others = first(&admin, "&or=french");
    assert_eq!(get(&server, &admin, &format!("{path}{others}")).status, 200);
    for (bearer, token) in [(&mine, &others), (&admin, &own)] {
        let refused = get(&server, bearer, &format!("{path}{token}"));
        check_refused(&refused, 400, "invalid_page_token");
    }
    assert!(server.stop());
}

#[test]
fn masked_columns_are_null_and_named() {
    let lake = lake_with_segments("http_access_bounds_columns");
    let folder = lake.path("traits");
    lake.write(
        "traits/shout.sql",
        "select person_id, upper(country) as shout from persons",
    );
    lake.json(&["traits", "apply", folder.to_str().unwrap()]);
    let options = ["--segments", "mine", "--columns", "country,shout,email"];
    let bound = bearer(&lake, "marketer", &options);
    let with_pii = bearer(
        &lake,
        "marketer",
        &[&options[..], &["--rights", "pii"]].concat(),
    );
    let free = bearer(&lake, "admin", &[]);
    let server = Server::start(&lake, "default");
    let members = |bearer: &str, query: &str| {
        get(
            &server,
            bearer,
            &format!("/v1/segments/mine/members?{query}"),
        )
    };
    let page = members(&bound, "fields=country,first_name,order_count").json();
    assert_eq!(page["masked"], json!(["first_name", "order_count"]));
    assert_eq!(
        page["persons"],
        json!([
            {"person_id": 1, "country": "US", "first_name": null, "order_count": null},
            {"person_id": 3, "country": "US", "first_name": null, "order_count": null},
        ])
    );
    // A custom trait is computed by a worker, which has the same bounds.
    let page = members(&bound, "fields=shout,order_count,first_name").json();
    assert_eq!(page["masked"], json!(["order_count", "first_name"]));
    assert_eq!(page["persons"][0]["shout"], "US");
    assert_eq!(page["persons"][0]["first_name"], Value::Null);
    let other = get(&server, &bound, "/v1/segments/french/members?fields=shout");
    check_refused(&other, 404, "unknown_segment");
    for query in ["format=csv", "format=csv&stream=true"] {
        let csv = members(&bound, &format!("fields=first_name,country&{query}"));
        assert_eq!(csv.header("x-masked-columns"), "first_name");
        let text = String::from_utf8(csv.body).unwrap();
        assert_eq!(text, "person_id,first_name,country\n1,,US\n3,,US\n");
    }
    // Only masked ones, and none.
    let page = members(&bound, "fields=last_name").json();
    assert_eq!(
        page["persons"][1],
        json!({"person_id": 3, "last_name": null})
    );
    let page = members(&bound, "fields=country").json();
    assert_eq!(page["masked"], Value::Null);
    // A personal column still takes the right, and then it is shown.
    check_refused(&members(&bound, "fields=email"), 403, "needs_pii");
    let page = members(&with_pii, "fields=email,phone&hash=sha256").json();
    assert_eq!(page["persons"][0]["email"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&page["persons"][0]["phone"], &page["masked"]),
        (&Value::Null, &json!(["phone"]))
    );
    check_refused(&members(&bound, "fields=nothing"), 422, "unknown_column");
    assert_eq!(
        members(&free, "fields=first_name").json()["masked"],
        Value::Null
    );
    // What is known of a person is more than columns.
    for path in ["/v1/persons/1", "/v1/persons/1/timeline"] {
        check_refused(&get(&server, &with_pii, path), 403, "forbidden");
    }
    assert!(server.stop());
}

#[test]
fn persons_outside_the_segments_are_answered_like_none() {
    let lake = lake_with_segments("http_access_bounds_persons");
    let bound = bearer(&lake, "admin", &["--segments", "mine"]);
    let admin = bearer(&lake, "admin", &[]);
    let server = Server::start(&lake, "default");
    let shown = get(&server, &bound, "/v1/persons/1?history=true").json();
    assert_eq!(shown["segments"], json!(["mine"]), "{shown}");
    let changes = shown["segment_changes"].as_array().unwrap().iter();
    assert!(
        changes
            .map(|change| &change["segment"])
            .all(|key| key == "mine")
    );
    assert_eq!(get(&server, &bound, "/v1/persons/3/timeline").status, 200);
    for path in ["/v1/persons/ID", "/v1/persons/ID/timeline"] {
        let answer = |id: &str| get(&server, &bound, &path.replace("ID", id));
        let nobody = answer("99");
        check_refused(&nobody, 404, "unknown_person");
        let expected = String::from_utf8(nobody.body).unwrap().replace("99", "2");
        assert_eq!(String::from_utf8(answer("2").body).unwrap(), expected);
        assert_eq!(get(&server, &admin, &path.replace("ID", "2")).status, 200);
    }
    // With a session the bounds are the same.
    let start = post(&server, &bound, "/v1/session", &json!({}));
    let cookie = start.header("set-cookie");
    let cookie = cookie.split(';').next().unwrap();
    let by_session = |path: &str| server.ask_with(&[("cookie", cookie)], "GET", path, None);
    assert_eq!(by_session("/v1/segments/mine").status, 200);
    check_refused(&by_session("/v1/segments/french"), 404, "unknown_segment");
    check_refused(&by_session("/v1/persons/2"), 404, "unknown_person");
    assert!(server.stop());
}

#[test]
fn keys_do_no_more_than_who_creates_revokes_or_rotates_them() {
    let lake = lake_with_segments("http_access_bounds_keys");
    let admin = created(&lake, "admin", &[]);
    let lesser = bearer(&lake, "viewer", &["--rights", "keys,members"]);
    let viewer = created(&lake, "viewer", &[]);
    let bound = created(
        &lake,
        "analyst",
        &["--segments", "mine,mine", "--columns", "country"],
    );
    assert_eq!(bound["segments"], json!(["mine"]));
    assert_eq!(bound["columns"], json!(["country"]));
    for wrong in [
        &["--segments", "mine", "--rights", "sql"][..],
        &["--columns", "country", "--rights", "keys"],
        &["--tags", ""],
    ] {
        let create = ["api-key", "create", "--name", "x", "--role", "viewer"];
        let refused = lake.run(&[&create, wrong].concat());
        assert!(!refused.status.success(), "{wrong:?}");
    }
    let server = Server::start(&lake, "default");
    let create = |bearer: &str, new: Value| post(&server, bearer, "/v1/keys", &new);
    let revoke = |bearer: &str, key: &Value| {
        let path = format!("/v1/keys/{}", key["prefix"].as_str().unwrap());
        server.ask_with(&[("authorization", bearer)], "DELETE", &path, None)
    };
    // Not what one does not have, neither for a new key nor taken from an old one.
    let refused = create(&lesser, json!({"name": "n", "role": "analyst"}));
    check_refused(&refused, 403, "forbidden");
    assert!(problem(&refused).2.contains("`sql`"));
    let refused = revoke(&lesser, &admin);
    check_refused(&refused, 403, "forbidden");
    assert!(
        problem(&refused).2.contains("right `"),
        "{:?}",
        problem(&refused)
    );
    let of_admin = format!("Bearer {}", admin["token"].as_str().unwrap());
    assert_eq!(get(&server, &of_admin, "/v1/keys").status, 200);
    assert_eq!(revoke(&lesser, &viewer).status, 204);
    // An analyst who is bound has no SQL, so that a viewer with `members` has as much.
    let new = json!({"name": "n", "role": "analyst", "segments": ["mine"], "channels": ["email"]});
    let issued = create(&lesser, new);
    assert_eq!(issued.status, 201);
    assert_eq!(issued.json()["channels"], json!(["email"]));
    let listed = get(&server, &of_admin, "/v1/keys").json();
    let listed = listed.as_array().unwrap().iter();
    let found = listed.filter(|key| key["segments"] == json!(["mine"]));
    assert_eq!(found.count(), 2);
    let new = json!({"name": "n", "role": "viewer", "segments": ["mine"], "rights": ["erase"]});
    check_refused(&create(&of_admin, new), 422, "invalid_bounds");
    assert_eq!(revoke(&lesser, &bound).status, 204);
    assert!(server.stop());
}
