//! Concurrent changes of one segment: each caller gets the outcome of its own request, and nothing
//! acknowledged is lost or comes back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

const CALLERS: usize = 8;

fn serving(lake: &OwnLake) -> Server {
    let server = Server::start(lake, "default");
    let rows: String = (0..500).map(|n| format!("p{n},C{}\n", n % 10)).collect();
    let rows = format!("external_id,city\n{rows}");
    let path = "/v1/ingest/native/persons";
    assert_eq!(
        server
            .send_text("POST", path, "text/csv", &[], &rows)
            .status,
        200
    );
    server
}

/// The statuses and answers of concurrent requests.
fn at_once(
    requests: impl IntoIterator<Item = (&'static str, String, Value)>,
    server: &Server,
) -> Vec<(u16, Value)> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = requests
            .into_iter()
            .map(|(method, path, body)| {
                scope.spawn(move || {
                    let answer = match method {
                        "DELETE" => server.delete(&path),
                        _ => server.send(method, &path, &body),
                    };
                    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
                    (answer.status, body)
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    })
}

#[test]
fn concurrent_puts_become_separate_revisions() {
    let lake = OwnLake::new("http_puts_at_once");
    let server = serving(&lake);
    let criteria = |n: usize| format!("city = 'C{n}'");
    let puts = (0..CALLERS).map(|n| {
        let body = json!({"criteria": criteria(n), "owner": format!("owner {n}")});
        ("PUT", "/v1/segments/shared".to_owned(), body)
    });
    let mut revisions = BTreeMap::new();
    for (n, (status, answer)) in at_once(puts, &server).into_iter().enumerate() {
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["criteria"],
            criteria(n),
            "it is the answer of another caller"
        );
        assert_eq!(answer["owner"], format!("owner {n}"));
        let known = revisions.insert(answer["revision"].as_u64().unwrap(), answer);
        assert!(known.is_none(), "two callers have one revision");
    }
    let expected: Vec<u64> = (1..=CALLERS as u64).collect();
    assert_eq!(revisions.keys().copied().collect::<Vec<_>>(), expected);
    let (_, last) = revisions.pop_last().unwrap();
    let standing = server.get("/v1/segments/shared").json();
    for column in ["revision", "criteria", "owner"] {
        assert_eq!(standing[column], last[column]);
    }
    assert!(server.stop());
}

#[test]
fn one_of_concurrent_creations_succeeds() {
    let lake = OwnLake::new("http_posts_of_one_segment");
    let server = serving(&lake);
    for round in 0..3 {
        let key = format!("made-{round}");
        let posts = (0..CALLERS).map(|n| {
            let body = json!({"key": key, "criteria": format!("city = 'C{n}'")});
            ("POST", "/v1/segments".to_owned(), body)
        });
        let answers = at_once(posts, &server);
        let made: Vec<_> = answers
            .iter()
            .filter(|(status, _)| *status == 201)
            .collect();
        assert_eq!(made.len(), 1, "{answers:?}");
        let others = answers.iter().filter(|(status, _)| *status != 201);
        for (status, answer) in others {
            assert_eq!((*status, &answer["code"]), (409, &json!("segment_exists")));
        }
        let standing = server.get(&format!("/v1/segments/{key}")).json();
        assert_eq!(standing["criteria"], made[0].1["criteria"]);
        assert_eq!(standing["revision"], 1);
    }
    assert!(server.stop());
}

#[test]
fn segment_deleted_during_refresh_is_gone() {
    let lake = OwnLake::new("http_deleted_while_refreshed");
    let server = serving(&lake);
    let path = "/v1/segments/brief";
    for round in 0..6 {
        let new = json!({"key": "brief", "criteria": "city <> 'C1'"});
        let made = server.send("POST", "/v1/segments", &new);
        assert_eq!(made.status, 201, "{}", made.json());
        // It begins anew, whatever was computed of one of its name before.
        assert_eq!(
            (&made.json()["count"], &made.json()["status"]),
            (&json!(null), &json!("stale"))
        );
        if round % 2 == 0 {
            let refreshed = server.send("POST", &format!("{path}/refresh"), &json!({}));
            assert_eq!(refreshed.json()["count"], 450);
        }
        let refresh = || ("POST", format!("{path}/refresh"), json!({"full": true}));
        let delete = ("DELETE", path.to_owned(), Value::Null);
        let all = (
            "POST",
            "/v1/segments/refresh".to_owned(),
            json!({"full": true}),
        );
        let answers = at_once([refresh(), delete, refresh(), all], &server);
        for (at, (status, answer)) in answers.iter().enumerate() {
            let expected: &[u16] = match at {
                1 => &[204],
                3 => &[200],
                _ => &[200, 404],
            };
            assert!(expected.contains(status), "{at}: {status} {answer}");
        }
        for question in ["", "/count", "/members", "/changes", "/reach"] {
            let gone = server.get(&format!("{path}{question}"));
            assert_eq!(gone.status, 404, "{question}: {}", gone.json());
        }
        assert_eq!(server.get("/v1/segments").json(), json!([]));
    }
    assert!(server.stop());
    let checked = lake.json(&["check"]);
    assert!(
        checked["problems"].as_array().unwrap().is_empty(),
        "{checked}"
    );
}
