//! The audit names who did what, and nothing that was answered is missing in it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{check_refused, created, lake_with_persons};
use crate::support::own_lake::OwnLake;
use crate::support::personal_values::holds;
use crate::support::polling::eventually;
use crate::support::server::{Server, raw};

/// Number of kills; `ROLLBOOK_TEST_KILLS` sets more.
const KILLS: u64 = 3;
/// Callers at the same time.
const CALLERS: u64 = 4;

/// A key with its prefix and its header.
struct Key {
    prefix: String,
    bearer: String,
}

impl Key {
    fn new(lake: &OwnLake, role: &str) -> Self {
        let key = created(lake, role, &[]);
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        Self {
            prefix: text("prefix"),
            bearer: format!("Bearer {}", text("token")),
        }
    }

    fn header(&self) -> [(&str, &str); 1] {
        [("authorization", &self.bearer)]
    }
}

/// The acts of a caller: what, about which segment, rows, result.
fn acts_of(acts: &Value, caller: &str) -> Vec<(String, Value, Value, String)> {
    let acts = acts.as_array().unwrap().iter();
    let acts = acts.filter(|act| act["caller"] == caller);
    acts.map(|act| {
        let text = |name: &str| act[name].as_str().unwrap().to_owned();
        (
            text("act"),
            act["segment"].clone(),
            act["rows"].clone(),
            text("result"),
        )
    })
    .collect()
}

#[test]
fn acts_of_all_callers_are_recorded() {
    let lake = lake_with_persons("http_access_audit");
    let [viewer, marketer, analyst, admin] =
        ["viewer", "marketer", "analyst", "admin"].map(|role| Key::new(&lake, role));
    let server = Server::start(&lake, "default");
    let json = |body: Value| body.to_string();
    let members = "/v1/segments/lapsed/members";
    let get = |key: &Key, path: &str| server.ask_with(&key.header(), "GET", path, None);
    let post = |key: &Key, path: &str, body: &str| {
        server.ask_with(
            &key.header(),
            "POST",
            path,
            Some(("application/json", body)),
        )
    };
    assert_eq!(get(&viewer, "/v1/segments").status, 200);
    // The checksum of a small segment tells its ids.
    let counted = |key: &Key| get(key, "/v1/segments/lapsed/count").json()["checksum"].clone();
    assert_eq!(counted(&viewer), Value::Null);
    assert!(counted(&marketer).is_string());
    check_refused(&get(&viewer, members), 403, "forbidden");
    assert_eq!(get(&marketer, members).json()["members"], json!([1, 3]));
    let streamed = get(&marketer, &format!("{members}?stream=true&format=csv"));
    assert_eq!(streamed.status, 200);
    assert_eq!(streamed.header("x-rollbook-answered"), "");
    let new = json(json!({"key": "mine", "criteria": "country = 'FR'"}));
    assert_eq!(post(&marketer, "/v1/segments", &new).status, 201);
    let query =
        json(json!({"query": "select person_id from people where country = 'FR' or 7 = 8"}));
    assert_eq!(post(&analyst, "/v1/sql", &query).status, 200);
    let wrong = json(json!({"query": "select email from people where email = 'ann@example.com'"}));
    check_refused(&post(&analyst, "/v1/sql", &wrong), 403, "needs_pii");
    check_refused(
        &server.ask(None, "GET", members, None),
        401,
        "unauthenticated",
    );
    // Neither a page of another site nor a method of any length escapes, or fills the lake.
    let foreign = [
        ("authorization", admin.bearer.as_str()),
        ("origin", "http://evil.example"),
    ];
    let page = server.ask_with(&foreign, "GET", "/v1/persons/1", None);
    check_refused(&page, 403, "cross_site");
    let long = format!(
        "{} /v1/keys HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        "M".repeat(100_000),
        server.address
    );
    assert!(raw(&server.address, long.as_bytes()).starts_with("HTTP/1.1 401"));
    assert_eq!(get(&admin, "/v1/persons/2").status, 200);
    let key = json(json!({"name": "by admin", "role": "viewer"}));
    let issued = post(&admin, "/v1/keys", &key).json();
    let erased = server.ask_with(&admin.header(), "DELETE", "/v1/persons/2", None);
    assert_eq!(
        erased.status,
        200,
        "{}",
        String::from_utf8_lossy(&erased.body)
    );

    let acts = get(&admin, "/v1/audit").json();
    let of = |key: &Key| acts_of(&acts, &format!("key:{}", key.prefix));
    let act = |name: &str, segment: Value, rows: Value, result: &str| {
        (name.to_owned(), segment, rows, result.to_owned())
    };
    let of_members = "GET /v1/segments/{key}/members";
    assert_eq!(
        of(&viewer),
        [act(of_members, json!("lapsed"), Value::Null, "forbidden")]
    );
    assert_eq!(
        of(&marketer),
        [
            act(of_members, json!("lapsed"), json!(2), "ok"),
            act(of_members, json!("lapsed"), json!(2), "ok"),
            act("POST /v1/segments", Value::Null, Value::Null, "begun"),
            act("POST /v1/segments", json!("mine"), Value::Null, "ok"),
        ]
    );
    assert_eq!(
        of(&analyst),
        [
            act("POST /v1/sql", Value::Null, json!(1), "ok"),
            act("POST /v1/sql", Value::Null, Value::Null, "needs_pii"),
        ]
    );
    let all = acts.as_array().unwrap();
    let text = "select person_id from people where country = ? or ? = ?";
    let texts = all.iter().map(|act| &act["statement"]["text"]);
    assert!(texts.filter(|found| *found == text).count() == 1, "{acts}");
    let of_admin = all
        .iter()
        .filter(|act| act["caller"] == format!("key:{}", admin.prefix));
    let of_admin: Vec<_> = of_admin.collect();
    assert_eq!(of_admin[0]["person_id"], 2);
    assert_eq!(of_admin[1]["result"], "begun");
    assert_eq!(of_admin[2]["key"], issued["prefix"]);
    // A change is recorded before it is made, too.
    for (place, result) in [(3, "begun"), (4, "ok")] {
        assert_eq!(of_admin[place]["act"], "DELETE /v1/persons/{person_id}");
        assert_eq!(of_admin[place]["person_id"], 2);
        assert_eq!(of_admin[place]["result"], result);
    }
    // A refusal of a caller without a key belongs to no tenant: the command line lists it.
    assert!(all.iter().all(|act| act["caller"] != "unknown"));
    assert!(server.stop());
    let listed = lake.json(&["audit"]);
    assert_eq!(
        acts_of(&listed, "unknown"),
        [
            act(of_members, json!("lapsed"), Value::Null, "unauthenticated"),
            act(
                "GET /v1/persons/{person_id}",
                Value::Null,
                Value::Null,
                "cross_site"
            ),
            act(
                "other /v1/keys",
                Value::Null,
                Value::Null,
                "unauthenticated"
            ),
        ]
    );
    let commands = listed.as_array().unwrap().iter();
    let commands = commands.filter(|act| act["act"] == "api-key create" && act["result"] == "ok");
    assert_eq!(commands.count(), 4);
    let of_viewer = lake.json(&["audit", "--who", &viewer.prefix]);
    assert_eq!(of_viewer.as_array().unwrap().len(), 1);
    let verified = lake.json(&["audit", "verify"]);
    assert_eq!(verified["findings"], json!([]), "{verified}");
    assert_eq!(verified["records"], verified["sealed"]);
    let audit = lake.path("lake/_audit");
    for value in [
        "ann@example.com",
        "'FR'",
        &issued["token"].as_str().unwrap()[15..],
    ] {
        assert!(!holds(&audit, value), "{value}");
    }
}

#[test]
fn acts_say_what_they_were_about() {
    let lake = lake_with_persons("http_access_audit_about");
    let admin = Key::new(&lake, "admin");
    let value = lake.write("value.txt", "hidden-value");
    let put = format!("cat '{}'", value.display());
    lake.json(&["secret", "put", "shop-token", "--from-command", &put]);
    let server = Server::start(&lake, "default");
    let ask = |method: &str, path: &str, body: Option<&str>| {
        let body = body.map(|body| ("application/json", body));
        server.ask_with(&admin.header(), method, path, body)
    };
    let members = "/v1/segments/lapsed/members?fields=country,ann%40example.com";
    check_refused(&ask("GET", members, None), 422, "unknown_column");
    let fields = "/v1/segments/lapsed/members?stream=true&format=csv&fields=email,country";
    assert_eq!(ask("GET", fields, None).status, 200);
    let merge = json!({"a": 1, "b": 99}).to_string();
    assert_eq!(
        ask("POST", "/v1/identity/merges", Some(&merge)).status / 100,
        4
    );
    let later = json!({"later": true}).to_string();
    let reviewed = ask("POST", "/v1/identity/reviews/77", Some(&later));
    assert_eq!(reviewed.status / 100, 4);
    let entry = "00000000-0000-4000-8000-000000000007";
    let undone = ask("DELETE", &format!("/v1/identity/merges/{entry}"), None);
    assert_eq!(undone.status / 100, 4);
    let acts = ask("GET", "/v1/audit", None).json();
    let about: Vec<(&str, &str, &str)> = acts
        .as_array()
        .unwrap()
        .iter()
        .filter(|act| act["result"] != "begun" && act["caller"] != "unknown")
        .map(|act| {
            let text = |name: &str| act[name].as_str().unwrap_or_default();
            (text("act"), text("about"), text("columns"))
        })
        .filter(|(_, about, columns)| !about.is_empty() || !columns.is_empty())
        .collect();
    let undo = format!("decision {entry}");
    assert_eq!(
        about,
        [
            ("secret put", "secret shop-token", ""),
            ("GET /v1/segments/{key}/members", "", "country,?"),
            ("GET /v1/segments/{key}/members", "", "email,country"),
            ("POST /v1/identity/merges", "persons 1 and 99", ""),
            ("POST /v1/identity/reviews/{identity_id}", "review 77", ""),
            ("DELETE /v1/identity/merges/{entry}", undo.as_str(), ""),
        ]
    );
    // The log names the key, by the part of its token that is no secret.
    let key = format!("\"{}\"", admin.prefix);
    let lines = server.log().into_iter();
    let lines: Vec<String> = lines.filter(|line| line.contains("answered")).collect();
    assert!(
        lines.len() > 5 && lines.iter().all(|line| line.contains(&key)),
        "{lines:?}"
    );
    assert!(server.stop());
    let audit = lake.path("lake/_audit");
    assert!(!holds(&audit, "hidden-value") && !holds(&audit, "ann@example.com"));
}

#[test]
fn the_audit_is_a_table_of_who_may_read_it() {
    let lake = lake_with_persons("http_access_audit_table");
    let admin = Key::new(&lake, "admin");
    let [analyst, auditor] = [&[][..], &["--rights", "audit"]].map(|options| {
        let key = created(&lake, "analyst", options);
        format!("Bearer {}", key["token"].as_str().unwrap())
    });
    // The acts of another tenant.
    let shop = created(&lake, "admin", &["--tenants", "shop"]);
    let shop = format!("Bearer {}", shop["token"].as_str().unwrap());
    lake.json(&["--tenant", "shop", "settings"]);
    let persons = lake.write("persons.csv", "external_id\nS1\n");
    lake.json(&[
        "--tenant",
        "shop",
        "ingest",
        "native",
        persons.to_str().unwrap(),
    ]);
    let of_shop = Server::start(&lake, "shop");
    let ask = |server: &Server, bearer: &str, query: &str| {
        let body = json!({ "query": query }).to_string();
        let headers = [("authorization", bearer)];
        server.ask_with(
            &headers,
            "POST",
            "/v1/sql",
            Some(("application/json", &body)),
        )
    };
    assert_eq!(ask(&of_shop, &shop, "select 1 as n").status, 200);
    assert!(of_shop.stop());

    let server = Server::start(&lake, "default");
    let members = "/v1/segments/lapsed/members";
    for _ in 0..3 {
        let page = server.ask_with(&admin.header(), "GET", members, None);
        assert_eq!(page.status, 200);
    }
    let query = "select caller, act, segment, sum(rows) as rows, count(*) as acts from audit \
                 where act like 'GET %' and result = 'ok' group by all";
    let found = ask(&server, &auditor, query);
    let caller = format!("key:{}", admin.prefix);
    let expected = json!([{"caller": caller, "act": "GET /v1/segments/{key}/members",
        "segment": "lapsed", "rows": 6, "acts": 3}]);
    assert_eq!(found.json()["rows"], expected);
    let query = "select distinct act from audit where statement = 'select ? as n'";
    assert_eq!(ask(&server, &auditor, query).json()["rows"], json!([]));
    let query = "select at, address, request_id, key, person_id, statement, statement_code, unlisted from audit \
                 order by at desc limit 2";
    let newest = ask(&server, &auditor, query).json();
    assert_eq!(newest["rows"].as_array().unwrap().len(), 2, "{newest}");
    // For others there is no such table, and in criteria there is none for anybody.
    let missing = ask(&server, &analyst, "select * from audit");
    check_refused(&missing, 422, "unknown_table");
    let nowhere = ask(&server, &analyst, "select * from audid");
    assert_eq!(nowhere.status, 422);
    let body = |answer: &[u8]| String::from_utf8_lossy(answer).replace("audid", "audit");
    assert_eq!(body(&missing.body), body(&nowhere.body));
    let criteria = json!({"criteria": "select person_id from audit"}).to_string();
    let preview = Some(("application/json", criteria.as_str()));
    let refused = server.ask_with(&admin.header(), "POST", "/v1/segments/preview", preview);
    check_refused(&refused, 422, "unknown_table");
    assert!(server.stop());
}

#[test]
fn the_audit_is_listed_by_time_and_tenant() {
    let lake = lake_with_persons("http_access_audit_listed");
    // Nothing can be verified where nothing is.
    let nowhere = OwnLake::new("http_access_audit_nowhere");
    for command in [&["audit", "verify"][..], &["audit"]] {
        let refused = nowhere.run(command);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("no lake"), "{said}");
    }
    let admin = Key::new(&lake, "admin");
    let server = Server::start(&lake, "default");
    for id in 1..=3 {
        let path = format!("/v1/persons/{id}");
        assert_eq!(
            server.ask_with(&admin.header(), "GET", &path, None).status,
            200
        );
    }
    for _ in 0..50 {
        server.ask(None, "GET", "/v1/persons/1", None);
    }
    let listed = |query: &str| {
        let path = format!("/v1/audit{query}");
        server.ask_with(&admin.header(), "GET", &path, None).json()
    };
    let newest = listed("?limit=2");
    let persons: Vec<i64> = newest
        .as_array()
        .unwrap()
        .iter()
        .map(|act| act["person_id"].as_i64().unwrap_or_default())
        .collect();
    assert_eq!(persons, [2, 3]);
    let until = newest[0]["at"].as_str().unwrap();
    let before = listed(&format!("?limit=1&until={until}"));
    assert_eq!(before[0]["person_id"], 1);
    assert!(server.stop());
    // Those of callers without a key are in no tenant; what was only counted is recorded at the end.
    let all = lake.json(&["audit"]);
    let of_tenant = lake.json(&["--tenant", "default", "audit"]);
    let unknown = |acts: &Value| {
        let acts = acts.as_array().unwrap().iter();
        acts.filter(|act| act["caller"] == "unknown").count() as u64
    };
    assert_eq!(unknown(&of_tenant), 0);
    assert_eq!(
        of_tenant.as_array().unwrap().len() as u64 + unknown(&all),
        all.as_array().unwrap().len() as u64
    );
    assert_eq!(lake.json(&["--tenant", "other", "audit"]), json!([]));
    let counted: u64 = all
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|act| act["unlisted"].as_u64())
        .sum();
    let stop = all.as_array().unwrap().last().unwrap();
    assert_eq!(stop["act"], "the server stopped");
    assert_eq!(counted + unknown(&all) - 1, 50);
    assert_eq!(lake.json(&["audit", "--until", "2020-01-01"]), json!([]));
}

#[test]
fn changed_records_fail_the_verification() {
    let lake = lake_with_persons("http_access_audit_changed");
    let marketer = Key::new(&lake, "marketer");
    let server = Server::start(&lake, "default");
    for _ in 0..5 {
        server.ask_with(
            &marketer.header(),
            "GET",
            "/v1/segments/lapsed/members",
            None,
        );
    }
    assert!(server.stop());
    assert!(lake.run(&["audit", "verify"]).status.success());
    let (audit, aside) = (lake.path("lake/_audit"), lake.path("aside"));
    fs::rename(&audit, &aside).unwrap();
    assert_eq!(lake.run(&["audit", "verify"]).status.code(), Some(1));
    fs::rename(&aside, &audit).unwrap();
    let chains = lake.path("lake/_audit/chains");
    let mut objects: Vec<_> = fs::read_dir(&chains)
        .unwrap()
        .map(|chain| chain.unwrap().path())
        .collect();
    objects.sort();
    let object = fs::read_dir(objects.last().unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read_to_string(&object).unwrap();
    fs::write(&object, text.replacen("\"rows\":2", "\"rows\":1", 1)).unwrap();
    let refused = lake.run(&["audit", "verify"]);
    assert_eq!(refused.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(printed.contains("it was changed"), "{printed}");
}

#[test]
fn no_answered_act_is_missing_after_kills() {
    let kills = std::env::var("ROLLBOOK_TEST_KILLS").ok();
    let kills = kills.and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let lake = lake_with_persons("http_access_audit_kills");
    let marketer = Key::new(&lake, "marketer");
    let mut random = rand::rngs::StdRng::seed_from_u64(22);
    let (answered, sent) = (Mutex::new(BTreeSet::new()), AtomicU64::new(0));
    for _ in 0..kills {
        let server = Server::start(&lake, "default");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        let id = format!("act-{}", sent.fetch_add(1, Ordering::SeqCst));
                        let headers = [
                            ("authorization", marketer.bearer.as_str()),
                            ("x-request-id", &id),
                        ];
                        let path = "/v1/segments/lapsed/members?limit=1";
                        if server
                            .try_get_with(path, &headers)
                            .is_some_and(|answer| answer.status == 200)
                        {
                            answered.lock().unwrap().insert(id);
                        }
                    }
                });
            }
            let before = answered.lock().unwrap().len();
            eventually("nobody is answered", || {
                answered.lock().unwrap().len() > before
            });
            std::thread::sleep(Duration::from_millis(random.random_range(0..700)));
            server.kill_now();
            is_over.store(true, Ordering::SeqCst);
        });
    }
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() as u64 > kills, "{} answers", answered.len());
    let listed = lake.json(&["audit", "--limit", "1000000"]);
    let recorded: BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|act| Some(act["request_id"].as_str()?.to_owned()))
        .collect();
    let missing: Vec<_> = answered.difference(&recorded).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let verified = lake.json(&["audit", "verify"]);
    assert_eq!(verified["findings"], json!([]), "{verified}");
    println!(
        "{} answers, {} records, {kills} kills",
        answered.len(),
        recorded.len()
    );
}
