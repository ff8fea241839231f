//! The memory for requests under way: heads and bodies, before anybody knows who is genuine.
//!
//! All together have a budget. While there is room, whoever comes gets what it needs. When there is
//! none, the peers that have the most give up unfinished requests for whoever has less; who has the
//! most waits a moment, and is then told to come again. So nobody is kept out by those who take much.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::request::Parts;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::net::Party;
use crate::planted::{Bug, planted};

/// What is set aside for requests up to this size, in bytes: most are, and a few large uploads must
/// not keep everybody else out.
const SMALL: usize = 64 * 1024;
/// A request under way costs this beside its head and body: what its answer needs to come about,
const REQUEST_BYTES: usize = 6 * 1024;
/// and in HTTP/2 a stream and a task of its own.
const STREAM_BYTES: usize = 6 * 1024;
/// How long to wait for room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may wait, each with a part of a body in its hands. Others do not take all these places
/// from a peer's only request,
const WAITING_MAX: usize = 128;
/// nor those for whom nobody gives anything up all places of the others.
const LIGHT_WAITING_MAX: usize = 64;
const HEAVY_WAITING_MAX: usize = 32;

/// Memory for all requests under way: `max` bytes, and a quarter more for small ones.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Budget>);

struct Budget {
    max: usize,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Default)]
struct Used {
    /// Of these, bodies without their heads.
    bodies: usize,
    bytes: usize,
    waiting: usize,
    /// Bytes for which others give something up,
    wanted: usize,
    /// and what those have who were asked and have not yet.
    leaving: usize,
    next: u64,
    holders: HashMap<Holder, Held>,
}

/// Whose requests are weighed together: a peer's, or one alone where the peer speaks for many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Peer(Party),
    Request(u64),
}

#[derive(Default)]
struct Held {
    bytes: usize,
    requests: usize,
    /// Those whose bodies are not complete, by what they occupy.
    unfinished: BTreeMap<(usize, u64), Arc<Notify>>,
    /// What those occupied that were asked to give up, by number.
    leaving: BTreeMap<u64, usize>,
}

impl Held {
    /// What it will have when those have left that were asked to.
    fn weight(&self) -> usize {
        self.bytes - self.leaving.values().sum::<usize>()
    }

    /// Whether it has an unfinished request that occupies anything.
    fn can_give(&self) -> bool {
        let largest = self.unfinished.last_key_value();
        largest.is_some_and(|((bytes, _), _)| *bytes > 0)
    }
}

/// What a request takes memory for.
#[derive(Clone, Copy)]
enum Piece {
    Head(usize),
    Body(usize),
}

impl Piece {
    fn bytes(self) -> usize {
        match self {
            Self::Head(bytes) | Self::Body(bytes) => bytes,
        }
    }
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl BodyBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Budget {
            max,
            used: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// An empty share for a request of this peer, given back when dropped.
    pub(crate) fn share(&self, party: Option<Party>) -> BodyShare {
        let give_up = Arc::new(Notify::new());
        let mut used = self.0.used();
        let number = used.next;
        used.next += 1;
        let holder = party.map_or(Holder::Request(number), Holder::Peer);
        let held = used.holders.entry(holder).or_default();
        held.requests += 1;
        held.unfinished.insert((0, number), Arc::clone(&give_up));
        drop(used);
        BodyShare {
            budget: Arc::clone(&self.0),
            number,
            holder,
            bytes: 0,
            bodies: 0,
            give_up,
        }
    }
}

impl Budget {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// Whether a request of `held` bytes may have `more`.
    fn has_room(&self, max: usize, held: usize, more: Piece) -> bool {
        let in_all = self.bytes.saturating_add(more.bytes()) <= max.saturating_add(max / 4);
        let is_small = held.saturating_add(more.bytes()) <= SMALL;
        let fits = match more {
            Piece::Body(bytes) if !is_small => self.bodies.saturating_add(bytes) <= max,
            Piece::Head(_) | Piece::Body(_) => true,
        };
        (in_all && fits) || planted(Bug::UnboundedBody)
    }

    /// Whether somebody gives something up for a peer that has `weight`, or is about to.
    fn is_heaviest(&self, weight: usize) -> bool {
        let gives = |held: &Held| held.can_give() || !held.leaving.is_empty();
        let mut holders = self.holders.values();
        !holders.any(|held| held.bytes > weight && gives(held))
    }

    /// Asks those who have more than `weight` for their largest unfinished requests, who has the most
    /// first, until there will be what is wanted; `holder` is who asks.
    fn make_room(&mut self, holder: Holder, weight: usize) {
        while self.leaving < self.wanted {
            let others = self
                .holders
                .iter_mut()
                .filter(|(other, _)| **other != holder);
            let can_give = others.filter(|(_, held)| held.weight() > weight && held.can_give());
            let heaviest = can_give.max_by_key(|(_, held)| held.weight());
            let Some((_, heaviest)) = heaviest else {
                return;
            };
            let Some(((bytes, number), give_up)) = heaviest.unfinished.pop_last() else {
                return;
            };
            give_up.notify_one();
            heaviest.leaving.insert(number, bytes);
            self.leaving += bytes;
        }
    }

    /// That request has left, or is complete before it could; whether it had been asked.
    fn gone(&mut self, holder: Holder, number: u64) -> bool {
        let held = self.holders.get_mut(&holder);
        let bytes = held.and_then(|held| held.leaving.remove(&number));
        self.leaving -= bytes.unwrap_or(0);
        bytes.is_some()
    }
}

/// What one request occupies.
pub(crate) struct BodyShare {
    budget: Arc<Budget>,
    number: u64,
    holder: Holder,
    bytes: usize,
    bodies: usize,
    give_up: Arc<Notify>,
}

impl BodyShare {
    /// Takes what a request needs before its body comes.
    pub(super) async fn grow_by_head(&mut self, head: &Parts) -> Result<(), NoRoom> {
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + 2 * size_of::<http::HeaderValue>()
        };
        let fields: usize = head.headers.iter().map(field).sum();
        let target = head.uri.path_and_query();
        let target = target.map_or(0, |target| target.as_str().len());
        let stream = match head.version {
            http::Version::HTTP_2 => STREAM_BYTES,
            _ => 0, // its connection is counted
        };
        self.grow(Piece::Head(REQUEST_BYTES + stream + fields + target))
            .await
    }

    /// Takes `bytes` more of the body.
    pub(super) async fn grow_by(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.grow(Piece::Body(bytes)).await
    }

    /// Counts what is in memory whether there is room or not.
    pub(super) fn occupy(&mut self, bytes: usize) {
        let budget = Arc::clone(&self.budget);
        self.add(&mut budget.used(), Piece::Body(bytes));
    }

    /// Takes more, as soon as there is room.
    async fn grow(&mut self, more: Piece) -> Result<(), NoRoom> {
        if self.take(more) {
            return Ok(());
        }
        let budget = Arc::clone(&self.budget);
        let mut waiting = Waiting::start(&budget, self.holder, more.bytes()).ok_or(NoRoom)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut freed = std::pin::pin!(budget.freed.notified());
            freed.as_mut().enable(); // what is freed from here on is not missed
            if self.take(more) {
                return Ok(());
            }
            waiting.ask();
            tokio::select! {
                biased;
                () = self.wanted() => return Err(NoRoom),
                freed = timeout_at(end, freed) => freed.map_err(|_| NoRoom)?,
            }
        }
    }

    /// Resolves when the memory is needed by somebody who has less.
    pub(super) async fn wanted(&self) {
        self.give_up.notified().await;
    }

    /// It will not be long now: from here on nobody asks for its memory.
    pub(crate) fn complete(&self) {
        let mut used = self.budget.used();
        if let Some(held) = used.holders.get_mut(&self.holder) {
            held.unfinished.remove(&(self.bytes, self.number));
        }
        if used.gone(self.holder, self.number) {
            drop(used);
            self.budget.freed.notify_waiters(); // who must ask somebody else
        }
    }

    fn take(&mut self, more: Piece) -> bool {
        let budget = Arc::clone(&self.budget);
        let mut used = budget.used();
        let has_room = used.has_room(budget.max, self.bytes, more);
        if has_room {
            self.add(&mut used, more);
        }
        has_room
    }

    fn add(&mut self, used: &mut Used, more: Piece) {
        used.bytes += more.bytes();
        let before = (self.bytes, self.number);
        self.bytes += more.bytes();
        if let Piece::Body(bytes) = more {
            used.bodies += bytes;
            self.bodies += bytes;
        }
        if let Some(held) = used.holders.get_mut(&self.holder) {
            held.bytes += more.bytes();
            if let Some(give_up) = held.unfinished.remove(&before) {
                held.unfinished.insert((self.bytes, self.number), give_up);
            }
        }
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.bytes -= self.bytes;
        used.bodies -= self.bodies;
        used.gone(self.holder, self.number);
        if let Some(held) = used.holders.get_mut(&self.holder) {
            held.bytes -= self.bytes;
            held.requests -= 1;
            held.unfinished.remove(&(self.bytes, self.number));
            if held.requests == 0 {
                used.holders.remove(&self.holder);
            }
        }
        let waiting = used.waiting > 0;
        drop(used);
        if waiting {
            self.budget.freed.notify_waiters();
        }
    }
}

/// One of those who wait.
struct Waiting<'a> {
    budget: &'a Budget,
    holder: Holder,
    bytes: usize,
    /// For which others give something up: all or nothing, as things stand.
    wanted: usize,
}

impl<'a> Waiting<'a> {
    fn start(budget: &'a Budget, holder: Holder, bytes: usize) -> Option<Self> {
        let mut used = budget.used();
        let held = used.holders.get(&holder);
        let weight = bytes + held.map_or(0, |held| held.bytes);
        let is_only = held.is_some_and(|held| held.requests == 1);
        let places = match (used.is_heaviest(weight), is_only) {
            (true, _) => HEAVY_WAITING_MAX,
            (false, false) => LIGHT_WAITING_MAX,
            (false, true) => WAITING_MAX,
        };
        if used.waiting >= places {
            return None;
        }
        used.waiting += 1;
        Some(Self {
            budget,
            holder,
            bytes,
            wanted: 0,
        })
    }

    /// Sees to it that others give up what it needs, if they have more.
    fn ask(&mut self) {
        let mut used = self.budget.used();
        let held = used.holders.get(&self.holder).map_or(0, |held| held.bytes);
        let weight = self.bytes + held;
        let wanted = if used.is_heaviest(weight) {
            0
        } else {
            self.bytes
        };
        used.wanted = used.wanted - self.wanted + wanted;
        self.wanted = wanted;
        used.make_room(self.holder, weight);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.waiting -= 1;
        used.wanted -= self.wanted;
    }
}

#[cfg(test)]
#[path = "bodies_tests.rs"]
mod tests;
