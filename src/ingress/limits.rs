//! Rates per peer and per source.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::net::Party;

/// Peers remembered at most; past that, old ones are forgotten first.
const PEERS_MAX: usize = 10_000;

/// A rate with room for bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Sustained rate.
    pub per_second: NonZeroU32,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

impl Rate {
    fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// A limit for verified events of one source.
pub(super) struct SourceRate(DefaultDirectRateLimiter);

impl SourceRate {
    pub(super) fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct(rate.quota()))
    }

    /// One more event; otherwise the time after which there is room for it.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        self.0
            .check()
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Failed verifications by remote address. It never keeps a request from being verified, for a
/// genuine sender may share the address with a forger; it only makes failures cheap.
pub(super) struct PeerRecord(Option<DefaultKeyedRateLimiter<Party>>);

impl PeerRecord {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| RateLimiter::dashmap(rate.quota())))
    }

    /// Counts a failed verification; past the rate, the time after which there is room for
    /// another.
    pub(super) fn charge(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        let (Some(failures), Some(party)) = (&self.0, Party::of(peer)) else {
            return Ok(());
        };
        if failures.len() > PEERS_MAX {
            failures.retain_recent();
        }
        let charged = failures.check_key(&party);
        charged.map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: per_second.try_into().unwrap(),
            burst: burst.try_into().unwrap(),
        }
    }

    #[test]
    fn a_peer_that_keeps_failing_is_told_to_wait_and_others_are_not() {
        let record = PeerRecord::new(Some(rate(1, 3)));
        let (bad, good) = (
            Some("192.0.2.1".parse().unwrap()),
            Some("192.0.2.2".parse().unwrap()),
        );
        for _ in 0..3 {
            assert!(record.charge(bad).is_ok());
        }
        assert!(record.charge(bad).is_err());
        assert!(record.charge(good).is_ok());
        assert!(record.charge(None).is_ok());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_peer_and_loopback_never_does() {
        let record = PeerRecord::new(Some(rate(1, 1)));
        let v6 = |host: u8| Some(format!("2001:db8::{host}").parse().unwrap());
        assert!(record.charge(v6(1)).is_ok());
        assert!(record.charge(v6(2)).is_err());
        for _ in 0..3 {
            assert!(record.charge(Some("127.0.0.1".parse().unwrap())).is_ok());
        }
    }
}
