//! Who has a slot, and who gives it up when more want one than there are.
//!
//! A connection earns its slot by requests that are verified, and by nothing else: bytes, heads and
//! answers can be had by anybody. So what is hostile looks the same whatever it does: a connection
//! that has not shown anything yet. The longer it has not, and the more there are of its peer, the
//! sooner it goes. One whose event is on its way to the disk never does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::place::{Crowd, HEADS_KIB_MAX, Place, Seat, Standing};
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
/// Connections that have given up their slots and are not closed yet: closing takes its turn among all
/// that others do, and a newcomer need not wait for that.
const LEAVING_MAX: usize = 64;
/// HTTP/2 connections without a verified request. Each can make h2 keep half a mebibyte: what is in the
/// table for header compression keeps the frames that it came in.
const HTTP2_STRANGERS_MAX: usize = 32;

/// All slots of a server.
pub(super) struct Slots {
    max: usize,
    per_peer_max: usize,
    /// Proxies speak for many senders.
    proxies: Vec<IpNet>,
    free: Arc<Semaphore>,
    leaving: Arc<Semaphore>,
    /// KiB for heads that are larger than most.
    heads: Arc<Semaphore>,
    /// Places for strangers with HTTP/2.
    http2: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    crowds: HashMap<Party, Arc<Crowd>>,
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
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
            heads: Arc::new(Semaphore::new(HEADS_KIB_MAX)),
            http2: Arc::new(Semaphore::new(HTTP2_STRANGERS_MAX)),
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

    /// Waits for a slot; `None` if others have a better claim to it.
    pub(super) async fn take(self: &Arc<Self>, entry: Entry) -> Option<Slot> {
        let permit = loop {
            let patience = match self.welcome(&entry) {
                Welcome::Free => PATIENCE,
                Welcome::Instead(seat) if self.send_away(&seat) => PATIENCE,
                Welcome::Refused => return None,
                Welcome::Instead(_) | Welcome::Wait => LOOK_AGAIN,
            };
            let free = Arc::clone(&self.free).acquire_owned();
            // It is never closed.
            if let Ok(Ok(permit)) = timeout(patience, free).await {
                break permit;
            }
        };
        let seat = Arc::new(Seat::new(entry.crowd.clone(), Arc::clone(&self.heads)));
        seat.permits().slot = Some(permit);
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        drop(taken);
        Some(Slot {
            number,
            place: Place(seat),
            entry,
        })
    }

    /// Asks a connection to leave, unless too many are about to, or it is already.
    fn send_away(&self, seat: &Seat) -> bool {
        let leaving = Arc::clone(&self.leaving).try_acquire_owned();
        leaving.is_ok_and(|leaving| seat.send_away(leaving))
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

    /// Waits until this connection may speak HTTP/2, or until it is sent away: others may have a better
    /// claim to that.
    pub(super) async fn may_speak_http2(&self, place: &Place) {
        let mut permit = std::pin::pin!(Arc::clone(&self.http2).acquire_owned());
        let end = Instant::now() + PATIENCE;
        let mut made_room = false;
        loop {
            let welcome = match self.http2.available_permits() {
                0 if !made_room => self.welcome_http2(&place.0, end),
                _ => Welcome::Free,
            };
            match welcome {
                Welcome::Instead(seat) => made_room = self.send_away(&seat),
                Welcome::Refused => made_room = self.send_away(&place.0),
                Welcome::Free | Welcome::Wait => {}
            }
            // Those who wait are served in order, and each makes room for one. It is never closed.
            if let Ok(Ok(permit)) = timeout(PATIENCE_MIN, &mut permit).await {
                place.0.permits().http2 = Some((permit, Instant::now()));
                return;
            }
        }
    }

    fn welcome_http2(&self, newcomer: &Seat, end: Instant) -> Welcome<Arc<Seat>> {
        let (taken, now) = (self.taken(), Instant::now());
        let open = self.max - self.free.available_permits().min(self.max);
        let patience = patience(open, self.max);
        let crowd = newcomer.standing(now).crowd;
        let strangers = taken.seats.values().filter_map(|seat| {
            let waited = now.saturating_duration_since(seat.permits().http2.as_ref()?.1);
            let standing = Standing {
                waited,
                ..seat.standing(now)
            };
            let has_had_its_time = waited >= patience.unwrap_or(PATIENCE);
            let can_go = !standing.stays && (has_had_its_time || standing.crowd > crowd);
            can_go.then_some((standing.crowd, standing.waited, seat))
        });
        let first = strangers.max_by_key(|(crowd, waited, _)| (*crowd, *waited));
        match first {
            Some((.., seat)) => Welcome::Instead(Arc::clone(seat)),
            None if (patience.is_some() && crowd > 1) || now >= end => Welcome::Refused,
            None => Welcome::Wait,
        }
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
}

impl Slot {
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.entry.slots.taken().seats.remove(&self.number);
        if let (Some(crowd), true) = (&self.entry.crowd, self.place.is_proven()) {
            crowd.proven.fetch_sub(1, Ordering::Relaxed);
        }
        // Tasks of its streams may have the seat for longer.
        let mut permits = self.place.0.permits();
        drop(permits.leaving.take());
        if let Some(slot) = permits.slot.take()
            && planted(Bug::SlotsNeverFreed)
        {
            slot.forget();
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
