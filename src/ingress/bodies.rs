//! The memory for requests under way: heads and bodies, before anybody knows who is genuine.
//!
//! All together have a budget. While there is room, whoever comes gets what it needs. When there is
//! none, the peer that has the most gives up an unfinished request for whoever has less; who has
//! more waits a moment, and is then told to come again. So nobody is kept out by one who takes much.

use std::collections::HashMap;
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
/// A request under way costs this beside its head and body: its task, its stream, its buffers.
const REQUEST_BYTES: usize = 4 * 1024;
/// How long to wait for room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may wait, each with a part of a body in its hands.
const WAITING_MAX: usize = 64;

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
    next: u64,
    parties: HashMap<Party, Sum>,
    /// Requests whose bodies are not complete.
    unfinished: HashMap<u64, Unfinished>,
}

/// The requests of one peer.
#[derive(Clone, Copy, Default)]
struct Sum {
    bytes: usize,
    requests: usize,
}

struct Unfinished {
    party: Option<Party>,
    bytes: usize,
    giving_up: bool,
    give_up: Arc<Notify>,
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
        if let Some(party) = party {
            used.parties.entry(party).or_default().requests += 1;
        }
        let unfinished = Unfinished {
            party,
            bytes: 0,
            giving_up: false,
            give_up: Arc::clone(&give_up),
        };
        used.unfinished.insert(number, unfinished);
        drop(used);
        BodyShare {
            budget: Arc::clone(&self.0),
            number,
            party,
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
    /// What the peer of a request holds; the request alone where the peer speaks for many.
    fn weight(&self, party: Option<Party>, bytes: usize) -> usize {
        let sum = party.and_then(|party| self.parties.get(&party));
        sum.map_or(bytes, |sum| sum.bytes)
    }

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

    fn add(&mut self, number: u64, party: Option<Party>, more: Piece) {
        self.bytes += more.bytes();
        if let Piece::Body(bytes) = more {
            self.bodies += bytes;
        }
        if let Some(sum) = party.and_then(|party| self.parties.get_mut(&party)) {
            sum.bytes += more.bytes();
        }
        if let Some(unfinished) = self.unfinished.get_mut(&number) {
            unfinished.bytes += more.bytes();
        }
    }

    /// Tells the largest unfinished request of the peer with the most to give up, if that is more
    /// than `weight`. Nobody else is told until it has.
    fn make_room(&mut self, weight: usize) {
        if self.unfinished.values().any(|one| one.giving_up) {
            return;
        }
        let rank = |one: &Unfinished| (self.weight(one.party, one.bytes), one.bytes);
        let all = self.unfinished.iter();
        let most = all.map(|(number, one)| (rank(one), *number)).max();
        let Some(((most, _), number)) = most else {
            return;
        };
        if most > weight
            && let Some(one) = self.unfinished.get_mut(&number)
        {
            one.giving_up = true;
            one.give_up.notify_one();
        }
    }
}

/// What one request occupies.
pub(crate) struct BodyShare {
    budget: Arc<Budget>,
    number: u64,
    party: Option<Party>,
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
        self.grow(Piece::Head(REQUEST_BYTES + fields + target))
            .await
    }

    /// Takes `bytes` more of the body.
    pub(super) async fn grow_by(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.grow(Piece::Body(bytes)).await
    }

    /// Takes more, as soon as there is room.
    async fn grow(&mut self, more: Piece) -> Result<(), NoRoom> {
        if self.take(more) {
            return Ok(());
        }
        let budget = Arc::clone(&self.budget);
        let _waiting = Waiting::start(&budget).ok_or(NoRoom)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut freed = std::pin::pin!(budget.freed.notified());
            freed.as_mut().enable(); // what is freed from here on is not missed
            if self.take(more) {
                return Ok(());
            }
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
        self.budget.used().unfinished.remove(&self.number);
    }

    fn take(&mut self, more: Piece) -> bool {
        let mut used = self.budget.used();
        if used.has_room(self.budget.max, self.bytes, more) {
            used.add(self.number, self.party, more);
            self.bytes += more.bytes();
            if let Piece::Body(bytes) = more {
                self.bodies += bytes;
            }
            return true;
        }
        let weight = used.weight(self.party, self.bytes) + more.bytes();
        used.make_room(weight);
        false
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.unfinished.remove(&self.number);
        used.bytes -= self.bytes;
        used.bodies -= self.bodies;
        if let Some(party) = self.party
            && let Some(sum) = used.parties.get_mut(&party)
        {
            sum.bytes -= self.bytes;
            sum.requests -= 1;
            if sum.requests == 0 {
                used.parties.remove(&party);
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
struct Waiting<'a>(&'a Budget);

impl<'a> Waiting<'a> {
    fn start(budget: &'a Budget) -> Option<Self> {
        let mut used = budget.used();
        if used.waiting >= WAITING_MAX {
            return None;
        }
        used.waiting += 1;
        Some(Self(budget))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.used().waiting -= 1;
    }
}

#[cfg(test)]
#[path = "bodies_tests.rs"]
mod tests;
