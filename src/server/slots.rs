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

/// A head up to this size is in a buffer that every connection has anyway.
const HEAD_BYTES: usize = 8 * 1024;
/// Heads that are larger have this much together, beyond what each has anyway.
const HEADS_KIB_MAX: usize = 4 * 1024;
/// A connection with as many bytes and no request is not about to make one.
const HEAD_BYTES_MAX: usize = 36 * 1024;

/// All slots of a server.
pub(super) struct Slots {
    max: usize,
    per_peer_max: usize,
    /// Proxies speak for many senders.
    proxies: Vec<IpNet>,
    free: Arc<Semaphore>,
    /// KiB for heads that are larger than most.
    heads: Arc<Semaphore>,
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

impl Crowd {
    fn strangers(&self) -> usize {
        let open = self.open.load(Ordering::Relaxed);
        open.saturating_sub(self.proven.load(Ordering::Relaxed))
    }
}

/// What is known of a connection.
struct Seat {
    crowd: Option<Arc<Crowd>>,
    opened: Instant,
    verified: Mutex<Option<Instant>>,
    at_work: AtomicUsize,
    /// Requests without an answer.
    requests: AtomicUsize,
    head: Mutex<Head>,
    leaving: AtomicBool,
    leave: Notify,
}

/// What has been read of a request that is not there yet.
struct Head {
    bytes: usize,
    room: Arc<Semaphore>,
    has: Option<OwnedSemaphorePermit>,
}

impl Head {
    /// Whether there is room for it, which it then has.
    fn has_room(&mut self) -> bool {
        let needs = self.bytes.saturating_sub(HEAD_BYTES).div_ceil(1024);
        let has = self
            .has
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(needs.saturating_sub(has)).unwrap_or(u32::MAX);
        if more == 0 || self.bytes > HEAD_BYTES_MAX {
            return self.bytes <= HEAD_BYTES_MAX;
        }
        let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.has {
            Some(has) => has.merge(more),
            None => self.has = Some(more),
        }
        true
    }
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

    /// A request has come whole, but for its body; until the guard is dropped it has no answer.
    pub(super) fn request(&self) -> Open {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let mut head = self.0.head();
        (head.bytes, head.has) = (0, None);
        Open(Arc::clone(&self.0))
    }

    /// Counts bytes that may belong to a head.
    pub(super) fn has_read(&self, bytes: usize) {
        if self.0.requests.load(Ordering::Relaxed) == 0 {
            self.0.head().bytes += bytes;
        }
    }

    /// Whether there is room for a head as long as it is already, and more of it.
    pub(super) fn may_read_on(&self) -> bool {
        self.0.head().has_room()
    }

    /// Whether it has had a verified request.
    pub(super) fn is_proven(&self) -> bool {
        self.0.verified().is_some()
    }

    /// Resolves when the slot is wanted by somebody else.
    pub(super) async fn wanted(&self) {
        self.0.leave.notified().await;
    }
}

/// A request without an answer.
pub(super) struct Open(Arc<Seat>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
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

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, now: Instant) -> Standing {
        let verified = *self.verified();
        let crowd = self.crowd.as_ref().map_or(1, |crowd| crowd.strangers());
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

/// What a newcomer finds.
#[derive(Debug, PartialEq, Eq)]
enum Welcome<K> {
    /// Room.
    Free,
    /// Room that this connection makes.
    Instead(K),
    /// No room, and those who are here have a better claim.
    Refused,
    /// No room yet.
    Wait,
}

/// How a newcomer is received that makes it `open` of `max`, and `crowd` strangers of its peer.
/// Those who have proved themselves are spared as long as there is a slot left or a stranger.
fn welcome<K>(
    connections: impl Iterator<Item = (K, Standing)>,
    crowd: usize,
    open: usize,
    max: usize,
) -> Welcome<K> {
    let Some(patience) = patience(open, max) else {
        return Welcome::Free;
    };
    let rank = |standing: &Standing| (!standing.proven, standing.crowd, standing.waited);
    let is_full = open > max;
    // Who has fewer connections need not wait until one of those who have more has had its time.
    let has_had_its_time = |standing: &Standing| {
        standing.waited >= patience || (is_full && !standing.proven && standing.crowd > crowd)
    };
    let mut first: Option<(K, Standing)> = None;
    let mut strangers = false;
    for (key, standing) in connections {
        strangers |= !standing.proven;
        let can_go = !standing.stays && has_had_its_time(&standing);
        let before = |(_, first): &(K, Standing)| rank(&standing) > rank(first);
        if can_go && first.as_ref().is_none_or(before) {
            first = Some((key, standing));
        }
    }
    match first {
        Some((key, standing)) if !standing.proven || (is_full && !strangers) => {
            Welcome::Instead(key)
        }
        _ if !is_full => Welcome::Free,
        _ if strangers && crowd > 1 => Welcome::Refused,
        _ => Welcome::Wait,
    }
}

impl Slots {
    pub(super) fn new(max: usize, per_peer_max: usize, proxies: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_peer_max,
            proxies,
            free: Arc::new(Semaphore::new(max)),
            heads: Arc::new(Semaphore::new(HEADS_KIB_MAX)),
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

    /// Waits for a slot; `None` if others have a better claim to it. `sent_away` hears of each
    /// connection that has to go.
    pub(super) async fn take(
        self: &Arc<Self>,
        entry: Entry,
        mut sent_away: impl FnMut(),
    ) -> Option<Slot> {
        let permit = loop {
            let patience = match self.welcome(&entry) {
                Welcome::Free => PATIENCE,
                Welcome::Instead(seat) => {
                    seat.send_away();
                    sent_away();
                    PATIENCE
                }
                Welcome::Refused => return None,
                Welcome::Wait => LOOK_AGAIN,
            };
            let free = Arc::clone(&self.free).acquire_owned();
            // It is never closed.
            if let Ok(Ok(permit)) = timeout(patience, free).await {
                break permit;
            }
        };
        let seat = Arc::new(Seat {
            crowd: entry.crowd.clone(),
            opened: Instant::now(),
            verified: Mutex::default(),
            at_work: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            head: Mutex::new(Head {
                bytes: 0,
                room: Arc::clone(&self.heads),
                has: None,
            }),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        });
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        drop(taken);
        Some(Slot {
            number,
            place: Place(seat),
            entry,
            permit: Some(permit),
        })
    }

    fn welcome(&self, entry: &Entry) -> Welcome<Arc<Seat>> {
        let newcomer = 1;
        let open = self.max - self.free.available_permits().min(self.max) + newcomer;
        if patience(open, self.max).is_none() {
            return Welcome::Free;
        }
        let (taken, now) = (self.taken(), Instant::now());
        let seats = taken.seats.values();
        let seats = seats.map(|seat| (Arc::clone(seat), seat.standing(now)));
        let crowd = entry.crowd.as_ref().map_or(1, |crowd| crowd.strangers());
        welcome(seats, crowd, open, self.max)
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
