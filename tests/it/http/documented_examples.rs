//! Every route is in the OpenAPI document, and each of its examples works.

use serde_json::Value;

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

const ROUTES: [&str; 46] = [
    "GET /healthz",
    "GET /v1/audit",
    "GET /metrics",
    "GET /readyz",
    "GET /v1/identity/reviews",
    "GET /v1/identity/stats",
    "GET /v1/keys",
    "GET /v1/persons",
    "GET /v1/persons/{person_id}",
    "GET /v1/persons/{person_id}/timeline",
    "GET /v1/schema",
    "GET /v1/scores/{kind}",
    "GET /v1/segments",
    "GET /v1/segments/{key}",
    "GET /v1/segments/overlap",
    "GET /v1/segments/{key}/calendar",
    "GET /v1/segments/{key}/changes",
    "GET /v1/segments/{key}/count",
    "GET /v1/segments/{key}/explain/{person_id}",
    "GET /v1/segments/{key}/history",
    "GET /v1/segments/{key}/near-miss",
    "GET /v1/segments/{key}/reach",
    "POST /v1/segments/{key}/impact",
    "GET /v1/segments/{key}/members",
    "GET /v1/tables",
    "GET /v1/tenants",
    "GET /v1/traits",
    "POST /v1/attribution/runs",
    "POST /v1/keys",
    "POST /v1/identity/merges",
    "POST /v1/identity/reviews/{identity_id}",
    "POST /v1/ingest/{provider}/{source}",
    "POST /v1/segments",
    "POST /v1/segments/preview",
    "POST /v1/segments/refresh",
    "POST /v1/segments/{key}/refresh",
    "POST /v1/session",
    "POST /v1/sql",
    "POST /v1/tenants",
    "PUT /v1/segments/{key}",
    "DELETE /v1/identity/merges/{entry}",
    "DELETE /v1/keys/{prefix}",
    "DELETE /v1/persons/{person_id}",
    "DELETE /v1/segments/{key}",
    "DELETE /v1/session",
    "DELETE /v1/tenants/{tenant}",
];

/// Operations for which the demo has no data: their examples name things that do not exist.
const ABSENT: [&str; 4] = [
    "DELETE /v1/identity/merges/{entry}",
    "DELETE /v1/keys/{prefix}",
    "DELETE /v1/tenants/{tenant}",
    "POST /v1/identity/reviews/{identity_id}",
];

/// One operation of the document with the example of its request.
pub(super) struct Example {
    pub(super) method: String,
    /// The path in the document.
    pub(super) route: String,
    /// The path with the examples of its parameters.
    path: String,
    /// The content type and the body.
    body: Option<(String, String)>,
    /// The documented statuses.
    statuses: Vec<u16>,
}

/// The example of every operation of a document, deletions last.
pub(super) fn examples(document: &Value) -> Vec<Example> {
    let mut found = Vec::new();
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            found.push(example(document, route, method, operation));
        }
    }
    // Deletions come last, since the other examples need what they delete.
    found.sort_by_key(|one| one.method == "DELETE");
    found
}

fn example(document: &Value, route: &str, method: &str, operation: &Value) -> Example {
    let (mut path, mut query) = (route.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let schema = &parameter["schema"];
        let given = [
            &parameter["example"],
            &schema["example"],
            // Optional parameters whose example is one of several are left out.
            match parameter["in"] == "path" {
                true => schema.pointer("/examples/0").unwrap_or(&Value::Null),
                false => &Value::Null,
            },
        ];
        let given = given.into_iter().find(|value| !value.is_null());
        let text = given.map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        });
        match (parameter["in"].as_str().unwrap(), text) {
            ("path", Some(text)) => path = path.replace(&format!("{{{name}}}"), &text),
            ("path", None) => panic!("{method} {route}: `{name}` has no example"),
            ("query", Some(text)) => query.push(format!("{name}={text}")),
            _ => {}
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let content = operation["requestBody"]["content"].as_object();
    let body = content.map(|content| {
        let with_example = content.iter().find_map(|(kind, media)| {
            let schema = match media["schema"]["$ref"].as_str() {
                Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
                None => &media["schema"],
            };
            let first = schema.pointer("/examples/0").unwrap_or(&Value::Null);
            let given = [&media["example"], &schema["example"], first];
            let given = given.into_iter().find(|value| !value.is_null())?;
            let text = given
                .as_str()
                .map_or_else(|| given.to_string(), str::to_owned);
            Some((kind.clone(), text))
        });
        with_example.unwrap_or_else(|| panic!("{method} {route} has no example of its body"))
    });
    let statuses = operation["responses"].as_object().unwrap().keys();
    Example {
        method: method.to_uppercase(),
        route: route.to_owned(),
        path,
        body,
        statuses: statuses.map(|status| status.parse().unwrap()).collect(),
    }
}

/// Sends the request of an example with an API key.
pub(super) fn ask(server: &Server, token: Option<&str>, example: &Example) -> Answer {
    let body = example.body.as_ref();
    let body = body.map(|(kind, body)| (kind.as_str(), body.as_str()));
    server.ask(token, &example.method, &example.path, body)
}

#[test]
fn every_route_is_documented_and_its_example_works() {
    let lake = OwnLake::new("http_document");
    let demo = lake.run(&["demo"]);
    let complaint = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{complaint}");
    let key = [
        "--tenant", "demo", "api-key", "create", "--name", "all", "--role", "admin", "--rights",
        "tenants",
    ];
    let key = lake.json(&key);
    let token = key["token"].as_str();
    let server = Server::start(&lake, "demo");
    let document = server.get("/openapi.json").json();
    let examples = examples(&document);

    let mut described: Vec<_> = examples
        .iter()
        .map(|one| format!("{} {}", one.method, one.route))
        .collect();
    let mut expected = ROUTES.map(str::to_owned).to_vec();
    described.sort();
    expected.sort();
    assert_eq!(described, expected);

    for example in &examples {
        let answer = ask(&server, token, example);
        let what = format!("{} {}", example.method, example.path);
        let body = String::from_utf8_lossy(&answer.body);
        let route = format!("{} {}", example.method, example.route);
        let is_answered = match ABSENT.contains(&route.as_str()) {
            true => answer.status == 404,
            false => (200..300).contains(&answer.status),
        };
        assert!(is_answered, "{what}: {} {body}", answer.status);
        assert!(
            example.statuses.contains(&answer.status),
            "{what}: {} is not in the document",
            answer.status
        );
    }
    let figures = String::from_utf8(server.ask(token, "GET", "/metrics", None).body).unwrap();
    let expected =
        "rollbook_http_requests_total{method=\"POST\",route=\"/v1/sql\",status=\"200\"} 1";
    assert!(figures.contains(expected), "{figures}");
    let rows = "rollbook_ingested_rows_total{table=\"activities\",outcome=\"accepted\"} 1";
    assert!(figures.contains(rows), "{figures}");
}
