//! Who has a slot, and who gives it up when more want one than there are.
//!
//! A connection earns its slot by requests that are verified, and by nothing else: bytes, heads and
//! answers can be had by anybody. So what is hostile looks the same whatever it does: a connection
//! that has not shown anything yet. The longer it has not, and the more there are of its peer, the
//! sooner it goes. One whose event is on its way to the disk never does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::net::Party;
use crate::planted::{Bug, planted};

/// Of so many slots in a hundred may be taken before anybody has to hurry.
const CALM_PERCENT: usize = 80;
/// How long a connection may then go without a verified request; less and less, down to
const PATIENCE: Duration = Duration::from_secs(10);
/// this when all slots are taken: time for a TLS handshake and a request from far away.
const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// How soon a full house is looked through again.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// All slots of a server.
pub(super) struct Slots {
    max: usize,
    per_peer_max: usize,
    /// Proxies speak for many senders.
    proxies: Vec<IpNet>,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    crowds: HashMap<Party, Arc<Crowd>>,
}

/// The open connections of one peer.
#[derive(Default)]
struct Crowd {
    open: AtomicUsize,
    proven: AtomicUsize,
}

/// What is known of a connection.
struct Seat {
    crowd: Option<Arc<Crowd>>,
    opened: Instant,
    verified: Mutex<Option<Instant>>,
    at_work: AtomicUsize,
    leaving: AtomicBool,
    leave: Notify,
}

/// A connection's place, in the extensions of each of its requests.
#[derive(Clone)]
pub struct Place(Arc<Seat>);

impl Place {
    /// One of its requests is verified; until the guard is dropped it keeps its slot in any case.
    #[must_use]
    pub fn verified(&self) -> AtWork {
        let seat = &self.0;
        let first = seat.verified().replace(Instant::now()).is_none();
        if let (true, Some(crowd)) = (first, &seat.crowd) {
            crowd.proven.fetch_add(1, Ordering::Relaxed);
        }
        seat.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(Arc::clone(seat))
    }

    /// Resolves when the slot is wanted by somebody else.
    pub(super) async fn wanted(&self) {
        self.0.leave.notified().await;
    }
}

/// A verified request under way.
pub struct AtWork(Arc<Seat>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    fn verified(&self) -> MutexGuard<'_, Option<Instant>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, now: Instant) -> Standing {
        let verified = *self.verified();
        let crowd = self.crowd.as_ref().map_or(1, |crowd| {
            let proven = crowd.proven.load(Ordering::Relaxed);
            crowd.open.load(Ordering::Relaxed).saturating_sub(proven)
        });
        Standing {
            proven: verified.is_some(),
            crowd,
            waited: now.saturating_duration_since(verified.unwrap_or(self.opened)),
            stays: self.at_work.load(Ordering::Relaxed) > 0 || self.leaving.load(Ordering::Relaxed),
        }
    }

    fn send_away(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }
}

/// What counts when one has to go.
#[derive(Clone, Copy)]
struct Standing {
    /// It has had a verified request.
    proven: bool,
    /// Connections of its peer that have had none; 1 where the peer speaks for many.
    crowd: usize,
    /// Since its last verified request, or since it was opened.
    waited: Duration,
    /// It has one under way, or is leaving already.
    stays: bool,
}

/// How long a connection may show nothing with `open` of `max` slots taken.
fn patience(open: usize, max: usize) -> Option<Duration> {
    let calm = max * CALM_PERCENT / 100;
    if open <= calm {
        return None;
    }
    let of = u32::try_from(max.saturating_sub(calm).max(1)).unwrap_or(u32::MAX);
    let left = u32::try_from(max.saturating_sub(open)).unwrap_or(u32::MAX);
    Some(PATIENCE_MIN + (PATIENCE - PATIENCE_MIN) / of * left)
}

/// Who makes room for a newcomer that makes it `open` of `max`. Those who have proved themselves
/// are spared as long as there is a slot left, or a stranger who has it for too long soon.
fn first_to_go<K>(
    connections: impl Iterator<Item = (K, Standing)>,
    open: usize,
    max: usize,
) -> Option<K> {
    let patience = patience(open, max)?;
    let rank = |standing: &Standing| (!standing.proven, standing.crowd, standing.waited);
    let mut first: Option<(K, Standing)> = None;
    let mut strangers = false;
    for (key, standing) in connections {
        strangers |= !standing.proven;
        let can_go = !standing.stays && standing.waited >= patience;
        let before = |(_, first): &(K, Standing)| rank(&standing) > rank(first);
        if can_go && first.as_ref().is_none_or(before) {
            first = Some((key, standing));
        }
    }
    let (key, standing) = first?;
    (!standing.proven || (open > max && !strangers)).then_some(key)
}

impl Slots {
    pub(super) fn new(max: usize, per_peer_max: usize, proxies: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_peer_max,
            proxies,
            free: Arc::new(Semaphore::new(max)),
            taken: Mutex::default(),
        })
    }

    /// Counts a connection in, unless its peer has too many.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Entry> {
        let proxy = |peer: &IpAddr| self.proxies.iter().any(|network| network.contains(peer));
        let party = Party::of(peer.filter(|peer| !proxy(peer)));
        let mut taken = self.taken();
        let crowd = party.map(|party| Arc::clone(taken.crowds.entry(party).or_default()));
        if let Some(crowd) = &crowd {
            if crowd.open.load(Ordering::Relaxed) >= self.per_peer_max {
                return None;
            }
            crowd.open.fetch_add(1, Ordering::Relaxed);
        }
        Some(Entry {
            slots: Arc::clone(self),
            party,
            crowd,
        })
    }

    /// Waits for a slot; whether somebody was sent away for it.
    pub(super) async fn take(self: &Arc<Self>, entry: Entry) -> (Slot, bool) {
        let mut crowded = false;
        let permit = loop {
            if let Some(seat) = self.first_to_go() {
                seat.send_away();
                crowded = true;
            }
            let free = Arc::clone(&self.free).acquire_owned();
            // It is never closed.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, free).await {
                break permit;
            }
        };
        let seat = Arc::new(Seat {
            crowd: entry.crowd.clone(),
            opened: Instant::now(),
            verified: Mutex::default(),
            at_work: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        });
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        drop(taken);
        let slot = Slot {
            number,
            place: Place(seat),
            entry,
            permit: Some(permit),
        };
        (slot, crowded)
    }

    fn first_to_go(&self) -> Option<Arc<Seat>> {
        let newcomer = 1;
        let open = self.max - self.free.available_permits().min(self.max) + newcomer;
        patience(open, self.max)?;
        let (taken, now) = (self.taken(), Instant::now());
        let seats = taken.seats.values();
        first_to_go(seats.map(|seat| (seat, seat.standing(now))), open, self.max).cloned()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted for its peer.
pub(super) struct Entry {
    slots: Arc<Slots>,
    party: Option<Party>,
    crowd: Option<Arc<Crowd>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (Some(party), Some(crowd)) = (self.party, &self.crowd) else {
            return;
        };
        let mut taken = self.slots.taken();
        if crowd.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            taken.crowds.remove(&party);
        }
    }
}

/// What an open connection occupies.
pub(super) struct Slot {
    number: u64,
    place: Place,
    entry: Entry,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slot {
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.entry.slots.taken().seats.remove(&self.number);
        if let (Some(crowd), Some(_)) = (&self.entry.crowd, *self.place.0.verified()) {
            crowd.proven.fetch_sub(1, Ordering::Relaxed);
        }
        if planted(Bug::SlotsNeverFreed)
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
