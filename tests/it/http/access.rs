//! Access: which requests a server answers to whom, with API keys, JWTs and sessions.

mod audit;
mod bounds;
mod forgeries;
mod issuer;
mod jwt;
mod key_sources;
mod keys;
mod personal;
mod routes;
mod sessions;
mod tenants;
mod timing;
mod trial;

use serde_json::Value;

use crate::support::own_lake::OwnLake;
use crate::support::server::Answer;

/// Three persons, two segments.
fn lake_with_persons(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let persons = "external_id,email,phone,first_name,country\n\
                   P1,ann@example.com,+14155552671,Ann,US\n\
                   P2,bob@example.com,,Bob,FR\nP3,,,Cid,US\n";
    let persons = lake.write("persons.csv", persons);
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    for key in ["big-spenders", "lapsed"] {
        lake.json(&["segment", "put", key, "--criteria", "country = 'US'"]);
    }
    lake.json(&["segment", "refresh"]);
    lake
}

/// Creates a key and returns it with its token.
pub(super) fn created(lake: &OwnLake, role: &str, options: &[&str]) -> Value {
    let create = ["api-key", "create", "--name", "a test", "--role", role];
    lake.json(&[&create, options].concat())
}

/// The token of a new key.
pub(super) fn token(lake: &OwnLake, role: &str, options: &[&str]) -> String {
    created(lake, role, options)["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Status and code of a problem, and its text.
pub(super) fn problem(answer: &Answer) -> (u16, String, String) {
    let problem = answer.json();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("detail"))
}

/// Fails unless a request was refused with a code.
pub(super) fn check_refused(answer: &Answer, status: u16, code: &str) {
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{said}");
    assert_eq!(problem(answer).1, code, "{said}");
}
