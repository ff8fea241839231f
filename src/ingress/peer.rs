//! Who really sent a request that came through proxies.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

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
        for hop in hops {
            if !self.trusts(sender) {
                break;
            }
            let hop = std::str::from_utf8(hop)
                .ok()
                .and_then(|hop| hop.trim().parse::<IpAddr>().ok());
            let Some(hop) = hop else { break };
            sender = hop.to_canonical();
        }
        Some(sender)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(peer: &str, forwarded_for: &[&str]) -> String {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded_for {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        proxies
            .sender(Some(peer.parse().unwrap()), &headers)
            .unwrap()
            .to_string()
    }

    #[test]
    fn only_hops_named_by_trusted_proxies_are_believed() {
        assert_eq!(sender("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(
            sender("10.0.0.1", &["203.0.113.7, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            sender("10.0.0.1", &["203.0.113.7", "198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(sender("10.0.0.1", &["forged, 10.0.0.3"]), "10.0.0.3");
        assert_eq!(sender("10.0.0.1", &[]), "10.0.0.1");
    }
}
