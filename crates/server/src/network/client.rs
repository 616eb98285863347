//! The client of a request: its address, and how the request was transported.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::proxies::ProxyNetwork;

/// The header to which each proxy appends the address that it was called from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Whether the server encrypts the connection.
    pub(crate) is_encrypted: bool,
}

/// The address of the client of a request, behind the proxies that the server trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// How a request came to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over a connection that the server encrypts.
    Tls,
    /// Over a trusted proxy, which encrypts the connection to the client.
    Proxy,
    /// From this machine.
    Loopback,
    /// Readable for everybody in between.
    Exposed,
}

impl Transport {
    /// How a request of this peer came.
    pub(crate) fn of(peer: Peer, proxies: &[ProxyNetwork]) -> Self {
        let address = peer.address.to_canonical();
        match peer.is_encrypted {
            true => Self::Tls,
            false if is_proxy(address, proxies) => Self::Proxy,
            false if address.is_loopback() => Self::Loopback,
            false => Self::Exposed,
        }
    }

    /// Whether the client sees an address with `https`.
    pub(crate) fn is_https(self) -> bool {
        matches!(self, Self::Tls | Self::Proxy)
    }
}

impl<S: Sync> FromRequestParts<S> for Transport {
    type Rejection = Infallible;

    /// How the request came: from this machine if nobody noted it, as for workers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let noted = parts.extensions.get().copied();
        Ok(noted.unwrap_or(Self::Loopback))
    }
}

fn is_proxy(address: IpAddr, proxies: &[ProxyNetwork]) -> bool {
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// The address of the client: the last one, from the right, that is not a trusted proxy.
///
/// Each proxy appends the address that it was called from, so what is left of an address that nobody vouches for may be
/// invented. An entry that is no address ends the search: the client is then the last known proxy.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    proxies: &[ProxyNetwork],
) -> ClientAddress {
    let mut client = peer.to_canonical();
    let values: Vec<_> = headers.get_all(FORWARDED_FOR).into_iter().collect();
    let values = values.into_iter().rev();
    let mut entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_proxy(client, proxies) {
        match entries.next().and_then(entry_address) {
            Some(address) => client = address,
            None => break,
        }
    }
    ClientAddress(client)
}

/// The address of an entry, which some proxies write with the port.
fn entry_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|found| found.ip()));
    let address = address.or_else(|| {
        let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
        bracketed.parse().ok().map(IpAddr::V6)
    });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Peer, ProxyNetwork, Transport, client_address};

    fn proxies(texts: &[&str]) -> Vec<ProxyNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Fails unless the client of a request from `peer` with these headers is `expected`.
    fn check(peer: &str, forwarded: &[&[u8]], trusted: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append("x-forwarded-for", value);
        }
        let client = client_address(peer.parse().unwrap(), &headers, &proxies(trusted));
        assert_eq!(
            client.0.to_string(),
            expected,
            "{peer} {forwarded:?} {trusted:?}"
        );
    }

    const PROXIES: &[&str] = &["10.0.0.0/8", "2001:db8::/32"];

    #[test]
    fn peer_is_the_client_unless_it_is_trusted() {
        check("203.0.113.7", &[], &[], "203.0.113.7");
        check("203.0.113.7", &[b"198.51.100.1"], &[], "203.0.113.7");
        check("203.0.113.7", &[b"198.51.100.1"], PROXIES, "203.0.113.7");
        check("127.0.0.1", &[b"198.51.100.1"], PROXIES, "127.0.0.1");
        check("10.0.0.1", &[], PROXIES, "10.0.0.1");
        check("::ffff:203.0.113.7", &[], PROXIES, "203.0.113.7");
    }

    #[test]
    fn client_is_the_rightmost_address_that_is_not_trusted() {
        check("10.0.0.1", &[b"198.51.100.1"], PROXIES, "198.51.100.1");
        check(
            "10.0.0.1",
            &[b"198.51.100.1, 10.2.0.1,10.3.0.1"],
            PROXIES,
            "198.51.100.1",
        );
        check(
            "2001:db8::1",
            &[b"2001:db9::7, 10.0.0.2"],
            PROXIES,
            "2001:db9::7",
        );
        check(
            "::ffff:10.0.0.1",
            &[b"::ffff:198.51.100.1"],
            PROXIES,
            "198.51.100.1",
        );
        // All are trusted: the one that called first.
        check("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], PROXIES, "10.0.0.3");
    }

    #[test]
    fn invented_addresses_do_not_count() {
        // The client wrote the first ones; the proxy appended the address that it saw.
        check(
            "10.0.0.1",
            &[b"192.0.2.9, 198.51.100.1"],
            PROXIES,
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &[b"10.0.0.9, 198.51.100.1"],
            PROXIES,
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &[b"127.0.0.1, ::1, 198.51.100.1"],
            PROXIES,
            "198.51.100.1",
        );
        // Several headers are one list.
        check(
            "10.0.0.1",
            &[b"192.0.2.9", b"198.51.100.1"],
            PROXIES,
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &[b"192.0.2.9, 198.51.100.1", b"10.0.0.2"],
            PROXIES,
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &[b"10.0.0.2", b"198.51.100.1, 192.0.2.9"],
            PROXIES,
            "192.0.2.9",
        );
    }

    #[test]
    fn entries_that_are_no_address_end_the_search() {
        for entry in [
            &b"unknown"[..],
            b"_hidden",
            b"",
            b" ",
            b"198.51.100",
            b"198.51.100.256",
            b"0198.51.100.1",
            b"for=198.51.100.1",
            b"\"198.51.100.1\"",
            b"198.51.100.1 10.0.0.2",
            b"198.51.100.1:http",
            b"fe80::1%eth0",
            b"[198.51.100.1]",
            b"[::1",
            b"198.51.100.1\xff",
        ] {
            check("10.0.0.1", &[entry], PROXIES, "10.0.0.1");
            let list = [&b"192.0.2.9,"[..], entry, b", 10.0.0.2"].concat();
            check("10.0.0.1", &[&list], PROXIES, "10.0.0.2");
        }
    }

    #[test]
    fn addresses_may_have_a_port() {
        check("10.0.0.1", &[b"198.51.100.1:4711"], PROXIES, "198.51.100.1");
        check("10.0.0.1", &[b"[2001:db9::7]:4711"], PROXIES, "2001:db9::7");
        check("10.0.0.1", &[b"[2001:db9::7]"], PROXIES, "2001:db9::7");
    }

    #[test]
    fn transport_is_that_of_the_peer() {
        let check = |address: &str, is_encrypted: bool, expected: Transport| {
            let address = address.parse().unwrap();
            let peer = Peer {
                address,
                is_encrypted,
            };
            assert_eq!(Transport::of(peer, &proxies(PROXIES)), expected, "{peer:?}");
        };
        check("203.0.113.7", true, Transport::Tls);
        check("10.0.0.1", true, Transport::Tls);
        check("10.0.0.1", false, Transport::Proxy);
        check("::ffff:10.0.0.1", false, Transport::Proxy);
        check("127.0.0.1", false, Transport::Loopback);
        check("::1", false, Transport::Loopback);
        check("::ffff:127.0.0.1", false, Transport::Loopback);
        check("203.0.113.7", false, Transport::Exposed);
        assert!(Transport::Proxy.is_https() && Transport::Tls.is_https());
        assert!(!Transport::Loopback.is_https() && !Transport::Exposed.is_https());
    }
}
