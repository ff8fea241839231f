//! Who really sent a request that came through proxies.
//!
//! Only `X-Forwarded-For` is read. `Forwarded` (RFC 7239) is not: a proxy that writes one of them
//! passes the other on as the sender wrote it, and nobody could tell which of the two to believe.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::planted::{Bug, planted};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word is taken.
pub(super) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(super) fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    /// The socket's peer, or, if that is a trusted proxy, the last hop in `X-Forwarded-For` that is
    /// not one. Each proxy appends whom it saw, so only the right end can be believed.
    pub(super) fn sender(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut sender = peer?;
        if self.0.is_empty() {
            return Some(sender);
        }
        let values: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let hops = values
            .iter()
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        if planted(Bug::LeftmostForwardedFor) && self.trusts(sender) {
            return hops.last().and_then(address).or(Some(sender));
        }
        for hop in hops {
            if !self.trusts(sender) {
                break;
            }
            // What follows a hop that cannot be read was not written by anybody who is trusted.
            let Some(hop) = address(hop) else { break };
            sender = hop;
        }
        Some(sender)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of a hop. Some proxies (Azure's, IIS) add the port, and an IPv6 address then has
/// brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => match hop.parse::<SocketAddr>() {
            Ok(with_port) => with_port.ip(),
            Err(_) => hop.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who counts as the sender with trusted proxies in 10.0.0.0/8 and 2001:db8:a::/48.
    fn sender(peer: &str, headers: &[(&str, &str)]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8:a::/48"];
        let proxies = Proxies::new(networks.map(|network| network.parse().unwrap()).to_vec());
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (
                name,
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        });
        let sender = proxies.sender(Some(peer.parse().unwrap()), &headers.collect());
        sender.unwrap().to_string()
    }

    /// The same with these values of `X-Forwarded-For`.
    fn forwarded(peer: &str, hops: &[&str]) -> String {
        let headers: Vec<_> = hops.iter().map(|hop| ("x-forwarded-for", *hop)).collect();
        sender(peer, &headers)
    }

    #[test]
    fn only_hops_named_by_trusted_proxies_are_believed() {
        for (peer, hops, expected) in [
            // Whoever is no proxy may write what it likes.
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("192.0.2.9", &["10.0.0.1"], "192.0.2.9"),
            ("127.0.0.1", &["198.51.100.1"], "127.0.0.1"),
            // One proxy: the last hop is whom it saw, the others are the sender's words.
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7,198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["203.0.113.7 ,\t198.51.100.1 "],
                "198.51.100.1",
            ),
            // Several proxies.
            ("10.0.0.1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["1.2.3.4, 198.51.100.1, 10.0.0.3, 10.0.0.2"],
                "198.51.100.1",
            ),
            // Several headers are one list.
            (
                "10.0.0.1",
                &["203.0.113.7", "198.51.100.1, 10.0.0.2"],
                "198.51.100.1",
            ),
            (
                "10.0.0.1",
                &["198.51.100.1", "10.0.0.2", "10.0.0.3"],
                "198.51.100.1",
            ),
            // All of them trusted: the first is as far as anybody knows.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // IPv6, and IPv4 in its clothes.
            ("2001:db8:a::1", &["2001:db8:b::7"], "2001:db8:b::7"),
            (
                "2001:db8:a::1",
                &["2001:DB8:B::7, 2001:db8:a::2"],
                "2001:db8:b::7",
            ),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["198.51.100.1, ::ffff:10.0.0.2"],
                "198.51.100.1",
            ),
            ("10.0.0.1", &["[2001:db8:b::7]"], "2001:db8:b::7"),
            // With ports.
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["203.0.113.7, 198.51.100.1:4711, 10.0.0.2:80"],
                "198.51.100.1",
            ),
            ("10.0.0.1", &["[2001:db8:b::7]:4711"], "2001:db8:b::7"),
            // What cannot be read ends the list: the proxy that wrote it is the last one known.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, forged, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1,,10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1", ""], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, \"10.0.0.2\""], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1 10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100"], "10.0.0.1"),
            ("10.0.0.1", &["0xc6336401"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:99999"], "10.0.0.1"),
            ("10.0.0.1", &["[198.51.100.1]"], "10.0.0.1"),
            ("10.0.0.1", &["[2001:db8:b::7"], "10.0.0.1"),
            ("10.0.0.1", &["2001:db8:b::7%eth0"], "10.0.0.1"),
            ("10.0.0.1", &["\u{1d7d8}.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(forwarded(peer, hops), expected, "{peer} {hops:?}");
        }
    }

    #[test]
    fn other_headers_that_name_a_sender_are_not_believed() {
        for (name, value) in [
            ("forwarded", "for=198.51.100.1"),
            ("x-real-ip", "198.51.100.1"),
            ("x_forwarded_for", "198.51.100.1"),
            ("x-client-ip", "198.51.100.1"),
            ("true-client-ip", "198.51.100.1"),
            ("cf-connecting-ip", "198.51.100.1"),
        ] {
            assert_eq!(sender("10.0.0.1", &[(name, value)]), "10.0.0.1", "{name}");
            let both = [(name, value), ("x-forwarded-for", "203.0.113.7")];
            assert_eq!(sender("10.0.0.1", &both), "203.0.113.7", "{name}");
        }
    }

    #[test]
    fn a_list_as_long_as_a_head_allows_is_read_from_the_right() {
        let long = format!("{}198.51.100.1, 10.0.0.2", "203.0.113.7, ".repeat(2000));
        assert_eq!(
            sender("10.0.0.1", &[("x-forwarded-for", &long)]),
            "198.51.100.1"
        );
    }
}
