//! A server that other machines can reach needs a key from everybody, and gives the first one to its operator.

use serde_json::json;

use super::{serve, serve_encrypted, serve_with_files, token};
use crate::support::own_lake::OwnLake;
use crate::support::personal_values::holds;
use crate::support::server::Server;
use crate::support::tls::{TestCertificate, TlsConnection};

const EVERYWHERE: &str = "0.0.0.0:0";

/// The token that a server printed when it started, if it did.
fn printed(server: &Server) -> Option<String> {
    let said = server.said();
    let mut tokens = said
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("rbk_"));
    let token = tokens.next().map(str::to_owned);
    assert_eq!(tokens.next(), None, "{said:?}");
    token
}

/// The status of a request over TLS, to this machine's own address.
fn status(server: &Server, certificate: &TestCertificate, token: Option<&str>) -> String {
    let port = server.address.rsplit(':').next().unwrap();
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let bearer = bearer.unwrap_or_default();
    let request = format!("GET /v1/schema HTTP/1.1\r\nhost: rollbook.example.com\r\n{bearer}\r\n");
    let connection = TlsConnection::open(&format!("127.0.0.1:{port}"), certificate);
    let answer = connection.unwrap().exchange(&request).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn first_start_beyond_loopback_prints_the_first_key_once() {
    let (lake, certificate) = (OwnLake::new("http_exposed"), TestCertificate::new());
    let start = || Server::start_with(serve_encrypted(&lake, &certificate, EVERYWHERE));
    let server = start();
    let first = printed(&server).expect("the first start prints a key");
    assert!(
        server
            .said()
            .iter()
            .any(|line| line.contains("api-key create"))
    );
    assert_eq!(status(&server, &certificate, None), "401");
    assert_eq!(status(&server, &certificate, Some(&first)), "200");
    assert!(server.log().iter().all(|line| !line.contains(&first)));
    assert!(server.stop());
    assert!(!holds(&lake.path("lake"), &first[15..]));
    let listed = lake.json(&["api-key", "list"]);
    assert_eq!(listed[0]["name"], "first admin");
    assert_eq!(listed[0]["role"], "admin");
    assert_eq!(listed[0]["tenants"], json!(["default"]));
    let server = start();
    assert_eq!(printed(&server), None);
    assert_eq!(status(&server, &certificate, None), "401");
    assert_eq!(status(&server, &certificate, Some(&first)), "200");
    assert!(server.stop());
    // Whoever loses it makes another; a revoked one does not come back.
    lake.json(&["api-key", "revoke", listed[0]["prefix"].as_str().unwrap()]);
    let other = token(&lake);
    let server = start();
    assert_eq!(printed(&server), None);
    assert_eq!(status(&server, &certificate, Some(&first)), "401");
    assert_eq!(status(&server, &certificate, Some(&other)), "200");
    assert!(server.stop());
}

#[test]
fn servers_that_start_at_once_create_one_key() {
    let (lake, certificate) = (OwnLake::new("http_exposed_two"), TestCertificate::new());
    certificate.write(&lake);
    let servers = std::thread::scope(|scope| {
        let start = || Server::start_with(serve_with_files(&lake, EVERYWHERE));
        let starting = [(); 3].map(|()| scope.spawn(start));
        starting.map(|server| server.join().unwrap())
    });
    let tokens: Vec<String> = servers.iter().filter_map(printed).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    for server in servers {
        assert_eq!(status(&server, &certificate, Some(&tokens[0])), "200");
        assert_eq!(status(&server, &certificate, None), "401");
        assert!(server.stop());
    }
}

#[test]
fn server_on_loopback_prints_no_key_and_says_that_it_is_open() {
    let lake = OwnLake::new("http_exposed_not");
    let server = Server::start_with(serve(&lake, &[]));
    assert_eq!(printed(&server), None);
    let said = server.said().last().unwrap();
    assert!(
        said.contains("no API keys") && said.contains("without limits"),
        "{said}"
    );
    assert_eq!(server.get("/v1/schema").status, 200);
    assert!(server.stop());
    assert_eq!(lake.json(&["api-key", "list"]), json!([]));
}

#[test]
fn server_behind_a_proxy_is_reached_from_outside() {
    let lake = OwnLake::new("http_exposed_proxy");
    // The proxy is on this machine, so the server listens on loopback.
    let server = Server::start_with(serve(&lake, &["--trusted-proxies", "127.0.0.1"]));
    let first = printed(&server).expect("the first start prints a key");
    assert_eq!(server.get("/v1/schema").status, 401);
    assert_eq!(
        server.ask(Some(&first), "GET", "/v1/schema", None).status,
        200
    );
    // The proxy encrypts: pages of the server have `https`.
    let origin = |scheme: &str| {
        let (bearer, origin) = (
            format!("Bearer {first}"),
            format!("{scheme}://{}", server.address),
        );
        let headers = [
            ("authorization", bearer.as_str()),
            ("origin", origin.as_str()),
        ];
        server.ask_with(&headers, "GET", "/v1/schema", None).status
    };
    assert_eq!(origin("https"), 200);
    assert_eq!(origin("http"), 403);
    assert!(server.stop());
}

#[test]
fn proxies_are_addresses() {
    let lake = OwnLake::new("http_exposed_wrong");
    for wrong in [
        "",
        "proxy.example.com",
        "10.0.0.0/33",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.1,x",
    ] {
        let refused = lake.run(&["serve", "--listen", EVERYWHERE, "--trusted-proxies", wrong]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{wrong}: {said}");
    }
    assert!(!lake.path("lake").exists());
}
