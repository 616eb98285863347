//! Previews from the cache equal those from the lake, and streamed members equal the pages.

use std::time::{Duration, Instant};

use rollbook_app::identity::Decider;
use rollbook_app::{Workspace, retention, segments};
use rollbook_model::config::Limits;
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

const AS_OF: &str = "2025-06-15T00:00:00Z";

const CRITERIA: [&str; 16] = [
    "did('page_viewed', at_least => 2, within => interval '30 days')",
    "not did('email_clicked', within => interval '90 days') and country in ('DE', 'US')",
    "first_time('page_viewed') < '2025-01-01'",
    "last_time('email_opened') between now() - interval '60 days' and now()",
    "did('page_viewed', within => last_month())",
    "did('page_viewed', from => '2025-01-01', until => '2025-06-10')",
    "did('order_paid', at_least => 2)",
    "ordered(at_least => 2, within => interval '180 days')",
    "spent(within => interval '365 days') >= 200",
    "spent() < 100 or last_time('order_placed') > now() - interval '30 days'",
    "total_spent > 500 and order_count >= 2",
    "sequence('email_opened', 'page_viewed', within => interval '7 days')",
    "bought('clothing') or has_deal(status => 'open')",
    "did('page_viewed', where => 'person_id % 2 = 0')",
    "email like '%a%' and did('page_viewed')",
    "in_segment('germans') and did('never_happens', at_least => 1) is not null",
];

fn lake(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let data = lake.path("data");
    let data = data.to_str().unwrap();
    lake.json(&["generate", "--persons", "300", "--out", data]);
    lake.json(&["ingest", "native", data]);
    let criteria = ["--criteria", "country = 'DE'"];
    lake.json(&[["segment", "put", "germans"].as_slice(), &criteria].concat());
    lake
}

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let begin = format!("rollbook_{name} ");
    let line = metrics.lines().find(|line| line.starts_with(&begin));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn answers_from_memory(server: &Server) -> u64 {
    metric(server, "kept_answers")
}

#[test]
fn criteria_are_parsed_once() {
    let lake = lake("http_parsed_once");
    let server = Server::start(&lake, "default");
    let parsed_by = |criteria: &str| {
        let before = metric(&server, "texts_parsed");
        preview(&server, criteria, Some(AS_OF));
        metric(&server, "texts_parsed") - before
    };
    // The session's own texts are parsed now, and the caches filled.
    warm(&server);
    let clauses = [
        "did('page_viewed', at_least => 2, within => interval '30 days')",
        "(country in ('DE', 'US') or not created_at > now() - interval '20 days')",
        "total_spent > 12.5",
    ]
    .join(" and ");
    assert_eq!(parsed_by(&clauses), 1);
    assert_eq!(parsed_by(&clauses), 0);
    // What stands in quotes within a call is a text of its own.
    let quoted = format!("{clauses} and did('email_clicked', where => 'person_id % 3 = 0')");
    assert_eq!(parsed_by(&quoted), 2);
    assert_eq!(parsed_by(&quoted), 0);
}

fn preview(server: &Server, criteria: &str, as_of: Option<&str>) -> Value {
    let body = json!({ "criteria": criteria, "as_of": as_of });
    let answer = server.send("POST", "/v1/segments/preview", &body);
    assert_eq!(answer.status, 200, "{criteria}: {}", answer.json());
    answer.json()
}

/// Sends all queries until all that can be are answered from the cache.
fn warm(server: &Server) {
    let begun = Instant::now();
    loop {
        let before = answers_from_memory(server);
        for criteria in CRITERIA {
            preview(server, criteria, Some(AS_OF));
        }
        // All but the one that reads personal values.
        if answers_from_memory(server) - before >= CRITERIA.len() as u64 - 1 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is kept");
    }
}

/// A workspace without a cache.
fn cold(lake: &OwnLake) -> Workspace {
    let location = lake.path("lake").to_str().unwrap().to_owned();
    Workspace::new(location, "default".parse().unwrap(), Limits::default())
}

fn same(lake: &OwnLake, server: &Server, as_of: &str) {
    let (cold, moment) = (cold(lake), as_of.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for criteria in CRITERIA {
        let warm = preview(server, criteria, Some(as_of));
        let cold = runtime.block_on(segments::preview(&cold, criteria, moment));
        let cold = serde_json::to_value(cold.unwrap()).unwrap();
        for what in ["count", "sample", "clauses", "warnings", "snapshot"] {
            assert_eq!(warm[what], cold[what], "{what} of {criteria} at {as_of}");
        }
    }
}

#[test]
fn cached_answers_equal_answers_from_the_lake() {
    let lake = lake("warm");
    let server = Server::start(&lake, "default");
    warm(&server);
    same(&lake, &server, AS_OF);
    // From other moments, and when more came in.
    same(&lake, &server, "2025-03-01T12:30:00Z");
    let body = "external_id,person_external_id,type,occurred_at\n\
                w1,P7,page_viewed,2025-06-14T10:00:00Z\nw2,P7,page_viewed,2025-06-14T11:00:00Z\n\
                w3,P8,email_clicked,2025-06-14T11:00:00Z\n";
    let posted = server.send_text(
        "POST",
        "/v1/ingest/native/activities",
        "text/csv",
        &[],
        body,
    );
    assert_eq!(posted.status, 200, "{}", posted.json());
    same(&lake, &server, AS_OF);
    warm(&server);
    same(&lake, &server, AS_OF);
    // Two persons become one.
    lake.json(&["identity", "merge", "3", "9"]);
    same(&lake, &server, AS_OF);
    warm(&server);
    same(&lake, &server, AS_OF);
    // Without `as_of`, requests share one moment for a while, as long as no data arrive.
    let moments = [0, 1].map(|_| preview(&server, CRITERIA[0], None)["as_of"].clone());
    assert_eq!(moments[0], moments[1]);
    // All segments are computed in one request, and say what became of them.
    let body = json!({ "as_of": AS_OF, "full": true });
    let refreshed = server.send("POST", "/v1/segments/refresh", &body).json();
    let count = lake.value("select count(*) from people where country = 'DE'");
    assert_eq!(refreshed[0]["status"], "computed", "{refreshed}");
    assert_eq!(refreshed[0]["count"], count);
}

#[test]
fn cached_answers_equal_answers_from_the_lake_after_retention() {
    let lake = lake("warm_retention");
    lake.json(&["segment", "refresh"]);
    let server = Server::start(&lake, "default");
    warm(&server);
    let members = "/v1/segments/germans/members";
    let page = server.get(&format!("{members}?limit=2"));
    let token = page.header("x-next-page-token");
    assert!(!token.is_empty());
    let at = |at: &str| Decider {
        by: "kim".to_owned(),
        at: at.parse().unwrap(),
        dry_run: false,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cold = cold(&lake);
    for (rule, days) in [("activities", 200), ("orders", 400), ("personal", 300)] {
        let set = retention::set(&cold, rule, Some(days), at(AS_OF).at);
        runtime.block_on(set).unwrap();
    }
    let done = runtime.block_on(retention::run(&cold, &at(AS_OF))).unwrap();
    assert!(
        done.rows["activities"] > 0 && done.rows["orders"] > 0,
        "{done:?}"
    );
    assert!(done.persons_unseen > 0, "{done:?}");
    same(&lake, &server, AS_OF);
    warm(&server);
    same(&lake, &server, AS_OF);
    same(&lake, &server, "2025-03-01T12:30:00Z");
    // Pages of members that are still in force go on.
    let next = server.get(&format!("{members}?limit=2&page_token={token}"));
    assert_eq!(next.status, 200, "{}", next.json());
    let sql = json!({"query": "select 1", "snapshot": 1});
    let gone = server.send("POST", "/v1/sql", &sql);
    assert_eq!(
        (gone.status, &gone.json()["code"]),
        (410, &json!("removed_snapshot"))
    );
    let person = lake.value("select min(person_id) from people");
    lake.json(&["person", "hold", &person.to_string()]);
    let held = server.delete(&format!("/v1/persons/{person}"));
    assert_eq!(
        (held.status, &held.json()["code"]),
        (409, &json!("legal_hold"))
    );
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

#[test]
fn streamed_members_equal_members_of_all_pages() {
    let lake = lake("whole");
    let everybody = ["--criteria", "true"];
    lake.json(&[["segment", "put", "everybody"].as_slice(), &everybody].concat());
    lake.json(&["segment", "refresh", "--as-of", AS_OF]);
    let server = Server::start(&lake, "default");
    for what in [
        "",
        "&fields=country,order_count",
        "&fields=email&hash=sha256",
    ] {
        for form in ["ndjson", "csv", "arrow", "parquet"] {
            let path = format!("/v1/segments/everybody/members?format={form}{what}");
            let whole = server.get(&format!("{path}&stream=true"));
            let page = server.get(&format!("{path}&limit=100000"));
            assert_eq!(whole.status, 200, "{path}");
            assert_eq!(whole.header("content-type"), page.header("content-type"));
            assert_eq!(whole.header("x-count"), "300");
            // The framing of the other forms tells parts apart; what is in them is tested there.
            if ["ndjson", "csv"].contains(&form) {
                assert_eq!(whole.body, page.body, "{path}");
            }
        }
    }
    let path = "/v1/segments/everybody/members?stream=true&format=ndjson";
    let tag = server.get(path).header("etag");
    let request = ureq::get(format!("http://{}{path}", server.address));
    assert_eq!(
        request
            .header("if-none-match", &tag)
            .call()
            .unwrap()
            .status(),
        304
    );
    for wrong in [
        "format=json",
        "format=csv&limit=5",
        "format=csv&fields=contry",
    ] {
        let path = format!("/v1/segments/everybody/members?stream=true&{wrong}");
        let refused = server.get(&path);
        let code = refused.json()["code"].clone();
        let expected = match wrong.contains("contry") {
            true => (422, json!("unknown_column")),
            false => (400, json!("invalid_stream")),
        };
        assert_eq!((refused.status, code), expected, "{wrong}");
    }
}
