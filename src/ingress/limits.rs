//! Ceilings: rates per peer and per source, and the memory for bodies.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

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

/// Failed verifications by remote address. A peer with too many is refused unread for a while,
/// so that forgeries cost it more than they cost us. Verified requests never count.
pub(super) struct PeerRecord {
    failures: Option<DefaultKeyedRateLimiter<IpAddr>>,
    refused_until: Mutex<HashMap<IpAddr, Instant>>,
    refused: AtomicUsize,
}

impl PeerRecord {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            failures: rate.map(|rate| RateLimiter::dashmap(rate.quota())),
            refused_until: Mutex::default(),
            refused: AtomicUsize::new(0),
        }
    }

    /// Whether a request of this peer is looked at; otherwise the time until then.
    pub(super) fn admit(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        if self.refused.load(Ordering::Relaxed) == 0 {
            return Ok(()); // the usual case takes no lock
        }
        let Some(peer) = peer.map(network) else {
            return Ok(());
        };
        let mut refused = self
            .refused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match refused.get(&peer) {
            Some(until) if *until > now => Err(until.duration_since(now)),
            Some(_) => {
                refused.remove(&peer);
                self.refused.store(refused.len(), Ordering::Relaxed);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts a failed verification. A loopback peer is a proxy of this machine or its owner:
    /// refusing it would refuse everybody behind it.
    pub(super) fn charge(&self, peer: Option<IpAddr>) {
        let (Some(failures), Some(peer)) = (&self.failures, peer) else {
            return;
        };
        if peer.is_loopback() {
            return;
        }
        let peer = network(peer);
        if failures.len() > PEERS_MAX {
            failures.retain_recent();
        }
        if let Err(until) = failures.check_key(&peer) {
            let wait = until
                .wait_time_from(DefaultClock::default().now())
                .max(Duration::from_secs(1));
            let mut refused = self
                .refused_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if refused.len() >= PEERS_MAX {
                refused.retain(|_, until| *until > now);
            }
            if refused.len() < PEERS_MAX {
                refused.insert(peer, now + wait);
            }
            self.refused.store(refused.len(), Ordering::Relaxed);
        }
    }
}

/// Whoever has an IPv6 address usually has a whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Memory for the bodies of all requests under way.
#[derive(Clone)]
pub(super) struct BodyBudget {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl BodyBudget {
    pub(super) fn new(max: usize) -> Self {
        Self {
            used: Arc::default(),
            max,
        }
    }

    /// An empty share, given back when dropped.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

/// What one body occupies.
pub(super) struct BodyShare {
    budget: BodyBudget,
    bytes: usize,
}

impl BodyShare {
    /// Takes `bytes` more; false, and nothing taken, if there is no room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.budget.max {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
    fn a_peer_that_keeps_failing_is_refused_and_others_are_not() {
        let record = PeerRecord::new(Some(rate(1, 3)));
        let (bad, good) = (
            Some("192.0.2.1".parse().unwrap()),
            Some("192.0.2.2".parse().unwrap()),
        );
        for _ in 0..4 {
            assert!(record.admit(bad).is_ok());
            record.charge(bad);
        }
        assert!(record.admit(bad).is_err());
        assert!(record.admit(good).is_ok());
        assert!(record.admit(None).is_ok());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_peer_and_loopback_never_does() {
        let record = PeerRecord::new(Some(rate(1, 1)));
        for host in 0..3 {
            record.charge(Some(format!("2001:db8::{host}").parse().unwrap()));
            record.charge(Some("127.0.0.1".parse().unwrap()));
        }
        assert!(
            record
                .admit(Some("2001:db8::ffff".parse().unwrap()))
                .is_err()
        );
        assert!(record.admit(Some("127.0.0.1".parse().unwrap())).is_ok());
    }

    #[test]
    fn body_memory_is_given_back() {
        let budget = BodyBudget::new(10);
        let mut share = budget.share();
        assert!(share.grow(6) && share.grow(4) && !share.grow(1));
        drop(share);
        assert!(budget.share().grow(10));
    }
}
