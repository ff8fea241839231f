//! Taking an event to the app: the lease, and what is reported back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::backlog::{Backlog, Ready};
use crate::clock::UnixMillis;
use crate::event::Event;
use crate::planted::{Bug, planted};

/// One event, claimed for one attempt. Hand it to [`settle`](super::Store::settle) or
/// [`release`](super::Store::release); a lease that is only dropped goes back to the front of its
/// source's queue, so nothing is lost when a task panics.
#[must_use = "an event waits for its lease to be settled"]
pub struct Lease {
    /// The event.
    pub event: Arc<Event>,
    /// Which attempt this is: 1, 2, ... A replay or a re-armed dead letter starts at 1 again.
    pub attempt: u32,
    /// A person asked for this delivery.
    pub replay: bool,
    /// Since when it waits for delivery ([`steady`](crate::clock::Clock::steady) time): accepted,
    /// re-armed or replayed. `give_up_after` counts from here.
    pub pending_since: UnixMillis,
    pub(super) seq: u64,
    /// Where it goes when dropped; `None` once settled.
    pub(super) home: Option<Arc<Backlog>>,
}

impl Lease {
    pub(super) fn new(ready: Ready, home: Arc<Backlog>) -> Self {
        Self {
            event: ready.event,
            attempt: ready.attempt,
            replay: ready.replay,
            pending_since: ready.pending_since,
            seq: ready.seq,
            home: Some(home),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if planted(Bug::LeaseLost) {
            return;
        }
        if let Some(home) = self.home.take() {
            home.give_back(Ready {
                seq: self.seq,
                event: Arc::clone(&self.event),
                attempt: self.attempt,
                replay: self.replay,
                pending_since: self.pending_since,
            });
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("event", &self.event.id)
            .field("attempt", &self.attempt)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}

/// The result of a lease.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// The app has it.
    Delivered(Attempt),
    /// Not yet; try again at `next_at` ([`steady`](crate::clock::Clock::steady) time).
    Retry {
        /// When it is due again.
        next_at: UnixMillis,
        /// What happened this time.
        attempt: Attempt,
    },
    /// Given up: a dead letter.
    Dead {
        /// The last attempt, if there was one.
        attempt: Option<Attempt>,
        /// Why.
        reason: DeadReason,
    },
}

/// One try to hand the event to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The outcome, from a closed list that the forwarder owns.
    pub outcome: &'static str,
    /// The app's status, if it answered.
    pub status: Option<u16>,
    /// The start of the app's answer; cut at 64 KiB.
    pub answer: Bytes,
    /// What failed, in words.
    pub error: Option<String>,
}

/// Why an event became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// Out of tries or time.
    GaveUp,
    /// The app's answer was final.
    Refused,
    /// Its record on disk is damaged; nothing of it was delivered.
    Unreadable,
    /// Its body was erased before it was delivered.
    Erased,
}

impl DeadReason {
    /// The word for logs, metrics and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Erased => "erased",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::GaveUp, Self::Refused, Self::Unreadable, Self::Erased]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}
