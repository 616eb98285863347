//! Addresses of the proxies that a server trusts.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Bits of the prefix of IPv4 addresses within those of IPv6, `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// The addresses of a proxy: one address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

/// A text that names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyNetwork {
    /// Neither an address nor a network.
    #[error("`{0}` is neither an address, such as 10.0.0.5, nor a network, such as 10.0.0.0/24")]
    NoNetwork(String),
    /// A network of all addresses.
    #[error("`{0}` holds every address, and then any caller could write any address")]
    Everybody(String),
}

impl ProxyNetwork {
    /// Whether it holds an address. IPv4 addresses within IPv6 ones are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for ProxyNetwork {
    type Err = InvalidProxyNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidProxyNetwork> {
        let text = text.trim();
        let network = match text.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address)),
            Err(_) => text.parse::<IpNet>(),
        };
        let network = network.map_err(|_| InvalidProxyNetwork::NoNetwork(text.to_owned()))?;
        let network = without_mapping(network);
        match network.prefix_len() {
            0 => Err(InvalidProxyNetwork::Everybody(text.to_owned())),
            _ => Ok(Self(network)),
        }
    }
}

/// The network of IPv4 addresses that one of IPv6 addresses stands for, if it does.
fn without_mapping(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let bits = mapped.prefix_len().checked_sub(MAPPED_BITS);
    let address = mapped.addr().to_ipv4_mapped();
    let unmapped = address
        .zip(bits)
        .map(|(address, bits)| Ipv4Net::new(address, bits));
    match unmapped {
        Some(Ok(unmapped)) => IpNet::V4(unmapped),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidProxyNetwork, ProxyNetwork};

    #[test]
    fn networks_hold_their_addresses() {
        let check = |network: &str, inside: &[&str], outside: &[&str]| {
            let network: ProxyNetwork = network.parse().unwrap();
            let holds = |address: &&str| network.contains(address.parse().unwrap());
            assert!(
                inside.iter().all(holds),
                "{network:?} lacks one of {inside:?}"
            );
            assert!(
                !outside.iter().any(holds),
                "{network:?} has one of {outside:?}"
            );
        };
        check(
            "10.0.0.5",
            &["10.0.0.5", "::ffff:10.0.0.5"],
            &["10.0.0.6", "::1"],
        );
        check(
            "10.0.0.0/8",
            &["10.255.0.1", "::ffff:10.1.1.1"],
            &["11.0.0.1", "::10.0.0.1"],
        );
        // Bits behind the prefix do not count.
        check("10.1.2.3/8", &["10.0.0.1"], &["9.0.0.1"]);
        check("::1", &["::1"], &["127.0.0.1", "::2"]);
        check("2001:db8::/32", &["2001:db8:1::1"], &["2001:db9::1"]);
        check(
            "::ffff:10.0.0.0/104",
            &["10.1.1.1", "::ffff:10.1.1.1"],
            &["11.0.0.1"],
        );
        check("::ffff:10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]);
        check(
            " 192.0.2.0/31 ",
            &["192.0.2.0", "192.0.2.1"],
            &["192.0.2.2"],
        );
    }

    #[test]
    fn other_texts_name_no_proxy() {
        for text in [
            "",
            "proxy",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "/8",
            "10.0.0.1:80",
            "[::1]",
        ] {
            let parsed = text.parse::<ProxyNetwork>();
            assert_eq!(parsed, Err(InvalidProxyNetwork::NoNetwork(text.to_owned())));
        }
        for text in ["0.0.0.0/0", "10.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            let parsed = text.parse::<ProxyNetwork>();
            assert_eq!(parsed, Err(InvalidProxyNetwork::Everybody(text.to_owned())));
        }
    }
}
