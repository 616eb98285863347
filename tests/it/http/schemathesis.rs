//! schemathesis generates requests from the OpenAPI document: valid ones must be accepted, others refused,
//! and every answer must be documented.

use std::path::Path;
use std::process::Command;

use rollbook_app::access::Role;

use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

/// Requests per operation in a normal run.
const REQUESTS: &str = "2";

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn schemathesis_finds_no_violation() {
    check_as(Role::Admin);
}

/// Every answer to them is documented, too, and most are refusals.
#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn schemathesis_finds_no_violation_with_fewer_rights() {
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
        check_as(role);
    }
}

/// Fails unless schemathesis finds no violation with a key of a role.
fn check_as(role: Role) {
    let python = rollbook_tests::python();
    let (requests, seed) = (asked("REQUESTS", REQUESTS), asked("SEED", "1"));
    let is_short = requests == REQUESTS;
    let phases = match is_short {
        // Edges of each parameter come to thousands of requests, which the long form makes.
        true => "examples,fuzzing",
        false => "examples,coverage,fuzzing,stateful",
    };
    // A calendar of a year takes a while where the program is not optimized.
    let but: &[&str] = match is_short {
        true => &["--exclude-operation-id", "show_calendar"],
        false => &[],
    };
    let lake = OwnLake::new(&format!("http_peer_{role}"));
    let persons = "external_id,email,country\nP1,ann@example.com,US\nP2,,FR\nP3,,US\n";
    let persons = lake.write("persons.csv", persons);
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    // Those that examples name.
    for key in ["big-spenders", "lapsed"] {
        lake.json(&["segment", "put", key, "--criteria", "country = 'US'"]);
    }
    lake.json(&["segment", "refresh"]);
    let key = lake.json(&["api-key", "create", "--name", "peer", "--role", role.name()]);
    let server = Server::start(&lake, "default");
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let run = Command::new(python)
        // It writes its findings into the current folder.
        .current_dir(lake.path(""))
        .env("PYTHONPATH", &peers)
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
        ])
        .args(["--no-color", "--config-file"])
        .arg(peers.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", server.address))
        .arg("--header")
        .arg(format!(
            "Authorization: Bearer {}",
            key["token"].as_str().unwrap()
        ))
        // A check in the hooks replaces it.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ])
        .args(["--request-timeout", "120", "--max-response-time", "120"])
        .args(["--phases", phases])
        .args(["--max-examples", &requests, "--seed", &seed])
        .args(but)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{role}: {said}\n{complaint}");
    let tested = if is_short { "Tested: 45" } else { "Tested: 46" };
    assert!(said.contains(tested), "{role}: {said}");
    assert!(server.stop());
}

/// The value of a variable, or a default.
fn asked(name: &str, otherwise: &str) -> String {
    let variable = format!("ROLLBOOK_TEST_API_{name}");
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}
