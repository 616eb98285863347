//! Tokens of an issuer are accepted as its key set says.

use serde_json::{Value, json};

use super::issuer::{Issuer, claims, key_set, now, serve, write_keys};
use super::{check_refused, lake_with_persons, problem};
use crate::support::polling::found_within;
use crate::support::server::Server;
use std::time::Duration;

/// A file of keys is read again within this time.
const FILE_TIME: Duration = Duration::from_secs(2);

fn status(server: &Server, token: &str) -> u16 {
    let answer = server.ask(Some(token), "GET", "/v1/segments", None);
    answer.status
}

/// Fails unless requests get this status within a time.
pub(super) fn check_within(time: Duration, server: &Server, token: &str, expected: u16) {
    let seen = found_within(time, || match status(server, token) {
        seen if seen == expected => Ok(()),
        seen => Err(seen),
    });
    assert_eq!(seen, Ok(()), "{expected} was expected");
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn tokens_of_each_algorithm_have_the_rights_of_their_role() {
    let lake = lake_with_persons("http_jwt_accepted");
    let mut issuer = Issuer::start();
    let keys = ["RS256", "ES256", "EdDSA"].map(|algorithm| issuer.key(algorithm, algorithm));
    let path = write_keys(&lake, &keys.each_ref());
    let server = serve(&lake, path.to_str().unwrap());
    // No key of the lake exists: without `--jwks` everybody would be answered.
    let missing = server.ask(None, "GET", "/v1/segments", None);
    check_refused(&missing, 401, "unauthenticated");
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let count = json!({"query": "select count(*) as n from persons"}).to_string();
    let sql = |token: &str| {
        let body = Some(("application/json", count.as_str()));
        server.ask(Some(token), "POST", "/v1/sql", body)
    };
    for key in &keys {
        let viewer = issuer.token(key, &claims("viewer"));
        assert_eq!(status(&server, &viewer), 200, "{}", key.jwk);
        check_refused(&sql(&viewer), 403, "forbidden");
        let analyst = issuer.token(key, &claims("analyst"));
        assert_eq!(sql(&analyst).json()["rows"], json!([{"n": 3}]));
    }
    let mut of_several = claims("viewer");
    of_several["tenant"] = json!(["other", "default"]);
    let of_several = issuer.token(&keys[0], &of_several);
    check_refused(
        &server.ask(Some(&of_several), "GET", "/v1/segments", None),
        400,
        "tenant_needed",
    );
    let bearer = format!("Bearer {of_several}");
    let named = [
        ("authorization", bearer.as_str()),
        ("x-rollbook-tenant", "default"),
    ];
    let answer = server.ask_with(&named, "GET", "/v1/segments", None);
    assert_eq!(answer.status, 200);
    // An administrator by JWT creates keys, which are accepted beside JWTs.
    let admin = issuer.token(&keys[2], &claims("admin"));
    let new = json!({"name": "app", "role": "viewer"}).to_string();
    let body = Some(("application/json", new.as_str()));
    let created = server.ask(Some(&admin), "POST", "/v1/keys", body);
    assert_eq!(created.status, 201);
    let created = created.json();
    let key = created["token"].as_str().unwrap();
    check_within(Duration::from_secs(1), &server, key, 200);
    assert_eq!(status(&server, &admin), 200);
    assert!(server.stop());
    // Another server of the lake knows no issuer.
    let server = Server::start(&lake, "default");
    let refused = server.ask(Some(&admin), "GET", "/v1/segments", None);
    check_refused(&refused, 401, "unauthenticated");
    assert!(server.stop());
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn claims_have_the_names_that_the_command_line_gives() {
    let lake = lake_with_persons("http_jwt_names");
    let mut issuer = Issuer::start();
    let key = issuer.key("a", "EdDSA");
    let path = write_keys(&lake, &[&key]);
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--rate-limit",
        "0",
        "--jwks",
        path.to_str().unwrap(),
    ];
    let accept = [
        "--issuer",
        super::issuer::ISSUER,
        "--audience",
        super::issuer::AUDIENCE,
    ];
    let names = [
        "--tenant-claim",
        "https://example.com/tenant",
        "--role-claim",
        "groups",
    ];
    let server = Server::start_with(lake.command(&[&serve[..], &accept, &names].concat()));
    let mut named = claims("viewer");
    // Those of the defaults do not count.
    named["tenant"] = json!("other");
    named["role"] = json!("root");
    named["https://example.com/tenant"] = json!("default");
    named["groups"] = json!("viewer");
    assert_eq!(status(&server, &issuer.token(&key, &named)), 200);
    let usual = issuer.token(&key, &claims("viewer"));
    let refused = server.ask(Some(&usual), "GET", "/v1/segments", None);
    check_refused(&refused, 401, "invalid_token");
    assert!(problem(&refused).2.contains("`https://example.com/tenant`"));
    assert!(server.stop());
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn file_of_keys_is_read_again_when_it_changes() {
    let lake = lake_with_persons("http_jwt_file");
    let mut issuer = Issuer::start();
    let [old, new] = ["old", "new"].map(|kid| issuer.key(kid, "EdDSA"));
    let path = write_keys(&lake, &[&old]);
    let server = serve(&lake, path.to_str().unwrap());
    let [with_old, with_new] = [&old, &new].map(|key| issuer.token(key, &claims("viewer")));
    assert_eq!(status(&server, &with_old), 200);
    let unknown = server.ask(Some(&with_new), "GET", "/v1/segments", None);
    check_refused(&unknown, 401, "invalid_token");
    write_keys(&lake, &[&old, &new]);
    check_within(FILE_TIME, &server, &with_new, 200);
    assert_eq!(status(&server, &with_old), 200);
    write_keys(&lake, &[&new]);
    check_within(FILE_TIME, &server, &with_old, 401);
    assert_eq!(status(&server, &with_new), 200);
    // A file that cannot be used changes nothing, and the log says so.
    std::fs::write(&path, "{").unwrap();
    let is_logged = || {
        let used = status(&server, &with_new);
        let logged = server
            .log()
            .iter()
            .any(|line| line.contains("no set of keys"));
        if logged { Ok(used) } else { Err(used) }
    };
    assert_eq!(found_within(FILE_TIME, is_logged), Ok(200));
    std::fs::write(&path, key_set(&[])).unwrap();
    check_within(FILE_TIME, &server, &with_new, 401);
    assert!(server.stop());
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn a_jwt_leaves_no_trace() {
    let lake = lake_with_persons("http_jwt_trace");
    let mut issuer = Issuer::start();
    let key = issuer.key("a", "ES256");
    let path = write_keys(&lake, &[&key]);
    let server = serve(&lake, path.to_str().unwrap());
    let mut late = claims("viewer");
    late["sub"] = json!("ann.smith@example.com");
    let good = issuer.token(&key, &late);
    late["exp"] = json!(now() - 600);
    let bad = issuer.token(&key, &late);
    for token in [&good, &bad] {
        let said = server.ask(Some(token), "GET", "/v1/segments", None);
        let answer: Value = said.json();
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!answer.to_string().contains(signature));
        for line in server.log() {
            assert!(
                !line.contains(signature) && !line.contains("ann.smith"),
                "{line}"
            );
        }
    }
    assert!(server.stop());
}

#[test]
fn command_line_says_what_is_wrong_with_an_issuer() {
    let lake = lake_with_persons("http_jwt_command");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--rate-limit", "0"];
    let accept = [
        "--issuer",
        "https://id.example.com",
        "--audience",
        "rollbook",
    ];
    let refused = |arguments: &[&str]| {
        let output = lake.run(&[&serve[..], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&["--jwks", "keys.json"]);
    assert!(
        said.contains("--issuer") && said.contains("--audience"),
        "{said}"
    );
    let said = refused(&accept);
    assert!(said.contains("--jwks"), "{said}");
    for (place, reason) in [
        ("http://id.example.com/keys", "https"),
        ("https://kim:secret@id.example.com/", "password"),
        ("nowhere.json", "cannot read the keys"),
    ] {
        let said = refused(&[&["--jwks", place], &accept[..]].concat());
        assert!(said.contains(reason), "{said}");
    }
    let empty = lake.write("empty.json", r#"{"keys": []}"#);
    let said = refused(&[&["--jwks", empty.to_str().unwrap()], &accept[..]].concat());
    assert!(said.contains("no public key"), "{said}");
}
