//! The client of a request is known behind the proxies that the server trusts, and cannot be invented.

use super::{serve, token};
use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

/// The status of a request without a key, with these headers.
fn status(server: &Server, forwarded: &[&str]) -> u16 {
    let headers: Vec<_> = forwarded
        .iter()
        .map(|value| ("x-forwarded-for", *value))
        .collect();
    server.ask_with(&headers, "GET", "/v1/schema", None).status
}

#[test]
fn limits_are_those_of_the_client_behind_a_proxy() {
    let lake = OwnLake::new("http_proxies");
    token(&lake);
    let options = [
        "--trusted-proxies",
        "127.0.0.1,10.0.0.0/8",
        "--rate-limit",
        "3/60",
    ];
    let server = Server::start_with(serve(&lake, &options));
    for _ in 0..3 {
        assert_eq!(status(&server, &["198.51.100.1"]), 401);
    }
    // However the client writes itself, it is the one that the proxy saw.
    for forwarded in [
        &["198.51.100.1"][..],
        &["192.0.2.77, 198.51.100.1"],
        &["127.0.0.1, 198.51.100.1"],
        &["unknown, 198.51.100.1"],
        &["192.0.2.77", "198.51.100.1"],
        &["198.51.100.1, 10.1.2.3"],
        &["::ffff:198.51.100.1"],
        &["198.51.100.1:4711"],
    ] {
        assert_eq!(status(&server, forwarded), 429, "{forwarded:?}");
    }
    // Others are not affected, not even those that name it.
    assert_eq!(status(&server, &["198.51.100.2"]), 401);
    assert_eq!(status(&server, &["198.51.100.1, 198.51.100.3"]), 401);
    assert_eq!(status(&server, &["2001:db8::1"]), 401);
    // All addresses of a subscriber are one client.
    assert_eq!(status(&server, &["2001:db8::2"]), 401);
    assert_eq!(status(&server, &["2001:db8::ffff:3"]), 401);
    assert_eq!(status(&server, &["2001:db8::4"]), 429);
    assert_eq!(status(&server, &["2001:db8:0:1::4"]), 401);
    // Without an address, the proxy itself is the client.
    for forwarded in [&[][..], &["unknown"], &[""]] {
        assert_eq!(status(&server, forwarded), 401, "{forwarded:?}");
    }
    assert_eq!(status(&server, &[]), 429);
    assert!(server.stop());
}
