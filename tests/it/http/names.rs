//! Names in requests: one spelling for ids and numbers, no segment keys that equal routes, no
//! duplicates in lists.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

fn three_persons(name: &str) -> (OwnLake, Server) {
    let lake = OwnLake::new(name);
    let server = Server::start(&lake, "default");
    let persons = "external_id,email,country\na,ann@example.com,DE\nb,,FR\nc,,DE\n";
    let path = "/v1/ingest/native/persons";
    let taken = server.send_text("POST", path, "text/csv", &[], persons);
    assert_eq!(taken.status, 200);
    (lake, server)
}

fn refused(answer: &Answer) -> (u16, Value) {
    let problem = answer.json();
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    (answer.status, problem["code"].clone())
}

#[test]
fn ids_and_numbers_have_one_spelling() {
    let (_lake, server) = three_persons("http_spelling");
    let new = json!({"key": "all", "criteria": "true"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let refreshed = server.send("POST", "/v1/segments/all/refresh", &json!({}));
    assert_eq!(refreshed.status, 200);
    for path in [
        "/v1/persons/1",
        "/v1/persons/1/timeline",
        "/v1/segments/all/explain/1",
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
        for other in [
            "0", "001", "+1", "%2B1", "-1", "1.0", "1e0", "%201", "1%20", "٣",
        ] {
            let path = path
                .replace('1', "ID")
                .replace("vID", "v1")
                .replace("ID", other);
            let expected = (400, json!("invalid_path"));
            assert_eq!(refused(&server.get(&path)), expected, "{path}");
        }
    }
    let erased = server.delete("/v1/persons/+1");
    assert_eq!(refused(&erased), (400, json!("invalid_path")));
    assert_eq!(server.get("/v1/persons/1").status, 200);
    for (path, code) in [
        ("/v1/segments/all/members?limit=002", "invalid_query"),
        ("/v1/segments/all/members?limit=%2B2", "invalid_query"),
        ("/v1/segments/all/calendar?days=007", "invalid_query"),
        ("/v1/segments/all/calendar?days=367", "invalid_days"),
        ("/v1/persons/1/timeline?limit=01", "invalid_query"),
        ("/v1/persons/1/timeline?limit=0", "invalid_limit"),
        ("/v1/persons/1/timeline?limit=1001", "invalid_limit"),
        ("/v1/persons/1/timeline?type=orders", "invalid_query"),
        ("/v1/persons/1/timeline?next=%2B1.0.0", "invalid_page_token"),
        ("/v1/persons/1/timeline?next=1.-0.00", "invalid_page_token"),
        ("/v1/segments/all/changes?since=007", "invalid_since"),
        ("/v1/segments/all/changes?since=%2B7", "invalid_since"),
        ("/v1/scores/lead?min=nan", "invalid_min"),
        ("/v1/scores/lead?min=-0.1", "invalid_min"),
        ("/v1/scores/lead?min=1.5", "invalid_min"),
    ] {
        assert_eq!(refused(&server.get(path)), (400, json!(code)), "{path}");
    }
    // In a body an id is a number, and nothing else. JSON tells `1.0` not apart from `1`.
    for id in [json!("1"), json!(1.5), json!(0), json!(-1), json!(true)] {
        let merge = json!({"a": id, "b": 2, "dry_run": true});
        let answer = server.send("POST", "/v1/identity/merges", &merge);
        assert_eq!(refused(&answer), (400, json!("invalid_body")), "{merge}");
    }
    let merge = json!({"a": 1.0, "b": 2, "dry_run": true});
    let answer = server.send("POST", "/v1/identity/merges", &merge);
    assert_eq!(answer.status, 200);
    let question = json!({"query": "select 1", "snapshot": 1.0});
    let answer = server.send("POST", "/v1/sql", &question);
    assert_eq!(answer.json()["snapshot"], 1);
    let searches = [
        "phone=0",
        "phone=12",
        "phone=%2B1",
        "email=null",
        "email=a@b@c",
        "email=%40b",
    ];
    for search in searches {
        let path = format!("/v1/persons?{search}");
        assert_eq!(refused(&server.get(&path)), (400, json!("invalid_search")));
    }
    for prefer in ["\u{84}".to_owned(), "x".repeat(256)] {
        let prefer = [("prefer", prefer.as_str())];
        let path = "/v1/ingest/native/persons";
        let answer = server.send_text("POST", path, "text/csv", &prefer, "external_id\nz\n");
        assert_eq!(refused(&answer), (400, json!("invalid_prefer")));
    }
    let nobody = refused(&server.get("/v1/persons?phone=null"));
    assert_eq!(nobody, (400, json!("invalid_search")));
    let twice = json!({"models": ["last", "first", "last"]});
    let answer = server.send("POST", "/v1/attribution/runs", &twice);
    assert_eq!(refused(&answer), (422, json!("repeated_model")));
    assert!(server.stop());
}

#[test]
fn segment_keys_that_equal_route_names_are_refused() {
    let (lake, server) = three_persons("http_reserved");
    for key in ["overlap", "preview", "refresh"] {
        let new = json!({"key": key, "criteria": "true"});
        let answer = server.send("POST", "/v1/segments", &new);
        assert_eq!(refused(&answer), (422, json!("reserved_key")), "{key}");
        let mut put = lake.command(&["segment", "put", key, "--criteria", "true"]);
        let put = put.output().unwrap();
        let said = String::from_utf8_lossy(&put.stderr);
        assert!(!put.status.success() && said.contains(key), "{said}");
        // Of a folder with such a segment none is saved.
        lake.write("code/aaa.sql", "true\n");
        lake.write(&format!("code/{key}.sql"), "true\n");
        let folder = lake.path("code");
        let folder = folder.to_str().unwrap();
        let applied = lake.run(&["segment", "apply", folder]);
        let said = String::from_utf8_lossy(&applied.stderr);
        assert!(!applied.status.success() && said.contains(key), "{said}");
        assert_eq!(server.get("/v1/segments/aaa").status, 404);
        std::fs::remove_dir_all(folder).unwrap();
    }
    // Only the words themselves.
    for key in ["overlaps", "preview-2", "refreshed", "members"] {
        let new = json!({"key": key, "criteria": "true"});
        assert_eq!(
            server.send("POST", "/v1/segments", &new).status,
            201,
            "{key}"
        );
        assert_eq!(server.get(&format!("/v1/segments/{key}")).status, 200);
    }
    assert_eq!(
        server.get("/v1/segments").json().as_array().unwrap().len(),
        4
    );
    assert!(server.stop());
}

#[test]
fn repeated_fields_appear_once_and_an_empty_token_means_the_first_page() {
    let (_lake, server) = three_persons("http_lists");
    let new = json!({"key": "all", "criteria": "true"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let refreshed = server.send("POST", "/v1/segments/all/refresh", &json!({}));
    assert_eq!(refreshed.status, 200);
    let path = "/v1/segments/all/members?page_token=&fields=country,person_id,country";
    let page = server.get(path).json();
    assert_eq!(page["members"], json!([1, 2, 3]));
    let expected = json!([
        {"person_id": 1, "country": "DE"},
        {"person_id": 2, "country": "FR"},
        {"person_id": 3, "country": "DE"},
    ]);
    assert_eq!(page["persons"], expected);
    let many = vec!["all"; 101].join(",");
    let answer = server.get(&format!("/v1/segments/all/members?or={many}"));
    assert_eq!(refused(&answer), (400, json!("invalid_query")));
    let first = server.get("/v1/persons/1/timeline?next=");
    assert_eq!(first.status, 200);
    assert!(server.stop());
}

#[test]
fn erased_person_has_no_timeline() {
    let (_lake, server) = three_persons("http_erased_timeline");
    let orders = "external_id,person_external_id,status,currency,total,placed_at\n\
                  O1,a,paid,EUR,10,2025-01-01T00:00:00Z\nO2,a,paid,EUR,10,2025-01-02T00:00:00Z\n";
    let path = "/v1/ingest/native/orders";
    let taken = server.send_text("POST", path, "text/csv", &[], orders);
    assert_eq!(taken.status, 200);
    let page = server.get("/v1/persons/1/timeline?limit=1").json();
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(server.delete("/v1/persons/1").status, 200);
    for path in [
        "/v1/persons/1".to_owned(),
        "/v1/persons/1/timeline".to_owned(),
        format!("/v1/persons/1/timeline?limit=1&next={next}"),
    ] {
        let expected = (404, json!("unknown_person"));
        assert_eq!(refused(&server.get(&path)), expected, "{path}");
    }
    assert_eq!(server.get("/v1/persons/2/timeline").status, 200);
    assert!(server.stop());
}
